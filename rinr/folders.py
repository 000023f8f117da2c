"""Local folders of labelled pictures, for the command line and the benchmarks: a set of frames without any storage."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rinr.frames import Frame, ImageError, capture_time, working_frame
from rinr.labels import ImageLabels, LabelError, image_id, labels_id, parse_coco
from rinr.picture_files import PICTURE_SUFFIXES

LABELS_FILE = "annotations.json"
_ROBOFLOW_LABELS = "_annotations.coco.json"  # as its COCO exports call them

_DIGITS = re.compile("([0-9]+)")

_Item = TypeVar("_Item")


class FolderError(ValueError):
    """A folder that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class LabelledFolder:
    """A device's frames: pictures and, where there is an ``annotations.json`` or ``_annotations.coco.json``, labels."""

    path: Path
    files: tuple[Path, ...]
    labels: dict[str, ImageLabels]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    def ids(self, file: Path) -> tuple[str, str]:
        """``(image_id, labels_id)`` of one of the files, which is not opened as a picture."""
        labels = self.labels.get(file.relative_to(self.path).as_posix())
        return image_id(file.read_bytes()), labels_id(labels.boxes if labels else ())

    def frame(self, file: Path) -> Frame:
        """The working frame of one of the files.

        Raises:
            ImageError: it is not a picture that is taken; the message names the file.
        """
        try:
            return working_frame(file.read_bytes(), self.labels.get(file.relative_to(self.path).as_posix()))
        except ImageError as error:
            raise ImageError(f"{file}: {error}") from None

    def in_order(self) -> list[tuple[Path, float | None]]:
        """Files as they were taken, with when that was in seconds since 1970: by time where all say it, in EXIF or in
        the labels, and of equal times by name; otherwise by name, :func:`counting`."""
        named = sorted(self.files, key=lambda file: counting(file.name))
        timed = [(file, self._taken(file)) for file in named]
        known = [time for _, time in timed if time is not None]
        return timed if len(known) < len(timed) else sorted(timed, key=lambda each: each[1] or 0.0)

    def _taken(self, file: Path) -> float | None:
        try:
            said = capture_time(file.read_bytes())
        except (ImageError, OSError):  # which is said when it is opened as a picture
            said = None
        labels = self.labels.get(file.relative_to(self.path).as_posix())
        time = said or (labels.captured_at if labels else None)
        return time.timestamp() if time else None


def counting(name: str) -> list[tuple[int, str]]:
    """What puts names in the order in which cameras count: ``frame 10`` comes after ``frame 9``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in _DIGITS.split(name)]


def labelled_folders(path: Path) -> list[LabelledFolder]:
    """The folder itself where pictures lie in it, otherwise its sub-folders in which pictures lie, sorted by name.

    Raises:
        FolderError: it does not exist, holds no picture at all, or its labels cannot be read.
    """
    if not path.is_dir():
        raise FolderError(f"{path} is not a folder; give a folder of pictures, or of sub-folders of pictures")
    candidates = [path] if _pictures(path) else sorted(p for p in path.iterdir() if p.is_dir() and _pictures(p))
    if not candidates:
        raise FolderError(f"{path} holds no .jpg, .webp or .avif file, nor does any folder directly in it")
    return [LabelledFolder(p, _pictures(p), _labels(p)) for p in candidates]


def spread(items: Sequence[_Item], count: int | None) -> list[_Item]:
    """At most ``count`` of them, evenly spread over all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def frames_of(folder: LabelledFolder, count: int | None = None) -> Iterator[tuple[Path, Frame | ImageError]]:
    """Each file with its frame, or with the reason why it has none."""
    for file in spread(folder.files, count):
        try:
            yield file, folder.frame(file)
        except ImageError as error:
            yield file, error


def _pictures(path: Path) -> tuple[Path, ...]:
    return tuple(sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES and f.is_file()))


def _labels(folder: Path) -> dict[str, ImageLabels]:
    files = (folder / LABELS_FILE, folder / _ROBOFLOW_LABELS)
    file = next((file for file in files if file.exists()), None)
    if file is None:
        return {}
    try:
        return parse_coco(file.read_bytes())
    except LabelError as error:
        raise FolderError(f"{file}: {error}") from None
