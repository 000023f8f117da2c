"""The frames that the benchmarks share: some of every folder of labelled JPEGs below ``RINR_DATA``, or the sample."""

import argparse
import os
from pathlib import Path

from rinr.folders import FolderError, LabelledFolder, frames_of, labelled_folders
from rinr.frames import Frame


def arguments(description: str, frames: int) -> argparse.Namespace:
    """``folders`` and ``--frames`` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--frames", type=int, default=frames, help=f"of each folder, evenly spread (default {frames})")
    return parser.parse_args()


def find_folders(given: list[Path]) -> list[LabelledFolder]:
    """The given folders, or those below ``RINR_DATA``, or the sample's; only such as have labels."""
    default = Path(os.environ.get("RINR_DATA") or Path(__file__).parent.parent / "sample")
    found: list[LabelledFolder] = []
    for path in given or [default, *sorted(p for p in default.iterdir() if p.is_dir())]:
        try:
            found += labelled_folders(path)
        except FolderError:
            if given:
                raise
    unique = {folder.path: folder for folder in found if any(labels.boxes for labels in folder.labels.values())}
    return [unique[path] for path in sorted(unique)]


def read(folder: LabelledFolder, count: int) -> list[tuple[Frame, int]]:
    """Frames of a folder with the bytes of their captured JPEGs."""
    return [(frame, file.stat().st_size) for file, frame in frames_of(folder, count) if isinstance(frame, Frame)]
