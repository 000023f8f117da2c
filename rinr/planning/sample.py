"""A sample of a folder's frames, for a plan, and how many bytes its pictures and their labels have.

Bytes of captured JPEGs and of label files are those of the whole folder, since they cost no more than a look.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

import numpy as np

from rinr.codec.frame import EncodedFrame
from rinr.folders import LABELS_FILE, FolderError, LabelledFolder, labelled_folders
from rinr.frames import Frame, ImageError
from rinr.metrics import object_mask

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class FolderSample:
    """Frames of a folder, or of its sub-folders, and what all of its pictures have.

    Attributes:
        images: JPEGs in the folder.
        picture_bytes: of a JPEG, the mean over all.
        label_bytes: of the label files, divided by all JPEGs.
        frames: working frames of the sample.
        packed_label_bytes: of a payload that holds nothing but labels, boxes and header, the mean over the sample.
        open_seconds: to decode a JPEG and bring it to the working size, of processor time, the mean over the sample.
        box_share: of a frame's pixels those in boxes, the mean over the sample's labelled frames; zero without any.
        left_out: files of the sample that are no pictures, with why.
    """

    folders: tuple[LabelledFolder, ...]
    images: int
    picture_bytes: float
    label_bytes: float
    frames: tuple[Frame, ...]
    packed_label_bytes: float
    open_seconds: float
    box_share: float
    left_out: tuple[str, ...]

    @property
    def labelled(self) -> int:
        """Frames of the sample that have boxes."""
        return sum(bool(frame.boxes) for frame in self.frames)


def sample_folder(path: Path, count: int, seed: int = 0, progress: Progress | None = None) -> FolderSample:
    """Open a sample of a folder's JPEGs: one of each of ``count`` stretches of equal length, drawn by the seed.

    Raises:
        FolderError: it holds no JPEG, or none of the sample can be read as a picture.
    """
    folders = labelled_folders(path)
    files = [(folder, file) for folder in folders for file in folder.files]
    chosen = stretches(len(files), count, seed)
    frames: list[Frame] = []
    left_out: list[str] = []
    seconds = 0.0
    for done, number in enumerate(chosen):
        folder, file = files[number]
        started = time.process_time()
        try:
            frames.append(folder.frame(file))
            seconds += time.process_time() - started
        except ImageError as error:
            left_out.append(str(error))
        if progress:
            progress(done + 1, len(chosen))
    if not frames:
        raise FolderError(f"{path}: none of {len(chosen)} files that were tried is a picture; the first: {left_out[0]}")
    shares = [float(object_mask(frame.size, frame.boxes).mean()) for frame in frames if frame.boxes]
    return FolderSample(
        folders=tuple(folders),
        images=len(files),
        picture_bytes=mean(file.stat().st_size for _, file in files),
        label_bytes=sum(map(_label_bytes, folders)) / len(files),
        frames=tuple(frames),
        packed_label_bytes=mean(EncodedFrame(*frame.size, b"", frame.boxes).bytes_total for frame in frames),
        open_seconds=seconds / len(frames),
        box_share=float(np.mean(shares)) if shares else 0.0,
        left_out=tuple(left_out),
    )


def stretches(total: int, count: int, seed: int) -> Sequence[int]:
    """One number of each of ``count`` equal stretches of ``range(total)``; all of them where there are no more."""
    if count >= total:
        return range(total)
    chance = random.Random(seed)
    bounds = [index * total // count for index in range(count + 1)]
    return [chance.randrange(start, stop) for start, stop in pairwise(bounds)]


def _label_bytes(folder: LabelledFolder) -> int:
    file = folder.path / LABELS_FILE
    return file.stat().st_size if file.exists() else 0
