"""``rinr sample``: the pictures that travel with the package, copied to where they can be tried."""

from pathlib import Path
from typing import Annotated

import typer

from rinr.cli.console import escaped, fail, out
from rinr.files import write_whole

SAMPLE = Path(__file__).resolve().parents[1] / "sample"
"""Three folders of labelled JPEGs, one a device, and a README that says where they come from."""


def sample(folder: Annotated[Path, typer.Argument(help="Where to put them.")] = Path("sample")) -> None:
    """Copy the sample: 36 labelled JPEGs of three synthetic cameras, made from public-domain photographs.

    What is there already is left as it is where it is the same, and is no error.

    Exit codes: 0 all is there; 1 failed, for example because other files of these names are there.
    """
    files = [path.relative_to(SAMPLE) for path in sorted(SAMPLE.rglob("*")) if path.suffix in (".jpg", ".json", ".md")]
    try:
        other = [file for file in files if (folder / file).exists() and not _same(folder / file, SAMPLE / file)]
        if other:
            raise fail(f"{folder / other[0]} is there already and is another file; name another folder")
        for file in files:
            if not (folder / file).exists():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                write_whole(folder / file, (SAMPLE / file).read_bytes())
    except OSError as error:
        raise fail(f"the sample cannot be written to {folder}: {error.strerror}; name another folder") from None
    pictures = sum(file.suffix == ".jpg" for file in files)
    out.print(f"{pictures} labelled JPEGs are in {escaped(str(folder))}, one sub-folder a device", soft_wrap=True)


def _same(there: Path, ours: Path) -> bool:
    return there.is_file() and there.read_bytes() == ours.read_bytes()
