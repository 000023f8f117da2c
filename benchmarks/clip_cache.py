"""What was measured once, in JSON files: curves of controls take half an hour, and change with nothing of ours."""

import json
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

_Measured = TypeVar("_Measured")


class Cache:
    """A folder with one file a measurement; without a folder nothing is kept.

    Args:
        folder: where to keep them; ``None``: nowhere.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, kind: Callable[..., _Measured], name: str, key: object, make: Callable[[], _Measured]) -> _Measured:
        """What was measured under this name and key, or what ``make`` measures now.

        Args:
            kind: the dataclass that is kept, of numbers, text and tuples of text.
            name: starts the file's name.
            key: of which the text says all that the measurement depends on.
            make: measures.
        """
        if not self.folder:
            return make()
        digest = sha256(repr(key).encode()).hexdigest()[:12]
        file = self.folder / f"{name.replace('/', '_').replace(' ', '-')}-{digest}.json"
        if file.exists():
            fields = json.loads(file.read_text())
            return kind(
                **{field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()}
            )
        made = make()
        new = file.with_suffix(".new")
        new.write_text(json.dumps(asdict(made), indent=1))  # type: ignore[call-overload]
        new.replace(file)
        return made
