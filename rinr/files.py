"""Local files written wholly or not at all."""

from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name first and move it into place, so that a kill leaves the old one or the new one.

    Folders that are missing are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
