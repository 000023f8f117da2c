"""The ledger of shrunk captures: one JSON object a line, appended when a picture stands where it belongs.

Of several lines of one capture the last counts. A line that a kill cut off, or anything else damaged, is passed over:
the capture is then shrunk once more, to the same bytes.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Shrunk:
    """What was made of a capture.

    Attributes:
        path: of the capture among the captures.
        state: its size and time, as listed.
        upload: path among the uploads.
        captured: ``(width, height)`` of the upright capture, in pixels.
        orientation: EXIF's, 1 to 8, which was applied.
        uploaded: ``(width, height)`` of the upload, in pixels.
    """

    path: str
    state: str
    upload: str
    captured: tuple[int, int]
    orientation: int
    uploaded: tuple[int, int]


class Ledger:
    """What was made of which capture.

    Args:
        file: opened to be read and appended to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        data = file.read()
        self._by_path = {entry.path: entry for entry in _entries(data)}
        self._takers = {entry.upload: entry.path for entry in self._by_path.values()}
        if data and not data.endswith(b"\n"):
            self._file.write(b"\n")

    def __iter__(self) -> Iterator[Shrunk]:
        """Sorted by the upload's path."""
        return iter(sorted(self._by_path.values(), key=lambda entry: entry.upload))

    @property
    def paths(self) -> list[str]:
        """Of all captures."""
        return list(self._by_path)

    def get(self, path: str) -> Shrunk | None:
        """What was made of a capture last."""
        return self._by_path.get(path)

    def is_free(self, upload: str, path: str) -> bool:
        """Whether no other capture than this one was uploaded under a name."""
        return self._takers.get(upload, path) == path

    def add(self, entry: Shrunk) -> None:
        """Write down what stands among the uploads now."""
        self._file.write(json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        self._by_path[entry.path] = entry
        self._takers[entry.upload] = entry.path


def _entries(data: bytes) -> Iterator[Shrunk]:
    for line in data.splitlines():
        try:
            found = json.loads(line)
            captured, uploaded = ((int(w), int(h)) for w, h in (found["captured"], found["uploaded"]))
            path, state, upload = (str(found[name]) for name in ("path", "state", "upload"))
            yield Shrunk(path, state, upload, captured, int(found["orientation"]), uploaded)
        except (ValueError, TypeError, KeyError):
            continue
