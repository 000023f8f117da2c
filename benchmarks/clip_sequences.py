"""Sequences for the benchmarks of clips: folders that are runs of frames of one camera."""

import os
from dataclasses import dataclass
from pathlib import Path

from rinr.folders import FolderError, labelled_folders
from rinr.frames import Frame

FRAMES_A_SECOND = 10
_ROOMS = ("otb", "uav123", "uavdt", "uav-biker")


@dataclass(frozen=True)
class Sequence:
    """The first frames of a folder, in the order of their names."""

    name: str
    frames: tuple[Frame, ...]

    @property
    def times(self) -> list[float]:
        """Seconds from the first frame."""
        return [number / FRAMES_A_SECOND for number in range(len(self.frames))]


def sequences(given: list[Path], count: int, names: set[str] | None = None) -> list[Sequence]:
    """The given folders, or all below ``RINR_DATA`` that are runs of frames.

    Raises:
        FolderError: no folder is given and ``RINR_DATA`` names none, or one cannot be read.
        ImageError: a file is not a picture that is taken.
    """
    if not given:
        root = os.environ.get("RINR_DATA")
        if not root:
            raise FolderError("name folders that are runs of frames, or set RINR_DATA to a folder of such")
        given = [Path(root) / room for room in _ROOMS if (Path(root) / room).is_dir()]
    found: list[Sequence] = []
    for path in given:
        for folder in labelled_folders(path):
            if names is None or folder.name in names:
                found.append(Sequence(folder.name, tuple(folder.frame(file) for file in folder.files[:count])))
    return sorted(found, key=lambda sequence: sequence.name)
