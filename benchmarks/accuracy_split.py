"""Which frames a detector is pre-trained on, fine-tuned on and tested on.

A new sequence is cut in blocks of time: the first part is for training, then comes a gap that nobody sees, and the last
part is the test. Neighbouring frames of a film are nearly the same picture: drawn at random, or without the gap, a
test would ask for what was learned by heart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rinr.folders import LabelledFolder, spread
from rinr.frames import Frame

NEW = ("Biker", "Couple", "Crossing", "DragonBaby", "S1301", "boat1", "person12_1", "wakeboard4")
"""The sequences that arrive after the pre-training: eight of all kinds, of 64 frames or more."""

TRAIN_SHARE, GAP_SHARE = 0.55, 0.15


@dataclass(frozen=True)
class NewSequence:
    """A sequence of which a detector gets the first part, and is tested on the last.

    Attributes:
        folder: of the sequence; its files' names are in the order of time.
        train: files.
        test: files, all later.
    """

    folder: LabelledFolder
    train: tuple[Path, ...]
    test: tuple[Path, ...]

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.name

    def frames(self, files: Sequence[Path]) -> Iterator[Frame]:
        """Working frames, read when they are taken."""
        return (self.folder.frame(file) for file in files)

    def captured_bytes(self) -> float:
        """Mean bytes of a training frame's JPEG."""
        return sum(file.stat().st_size for file in self.train) / len(self.train)


def blocks(count: int) -> tuple[range, range]:
    """Places of the training block and of the test block among so many frames in the order of time.

    Raises:
        ValueError: too few for a training frame, a gap of one and a test frame.
    """
    train, test = int(count * TRAIN_SHARE), int(count * (TRAIN_SHARE + GAP_SHARE))
    if train < 1 or test - train < 1 or test >= count:
        raise ValueError(f"{count} frames cannot be split in blocks for training and test with a gap between them")
    return range(train), range(test, count)


def new_sequence(folder: LabelledFolder, train: int, test: int) -> NewSequence:
    """The two blocks of a folder, at most so many files of each, evenly spread.

    Raises:
        ValueError: too few files; the message names the folder.
    """
    try:
        first, last = blocks(len(folder.files))
    except ValueError as error:
        raise ValueError(f"{folder.path}: {error}") from None
    return NewSequence(
        folder,
        tuple(folder.files[place] for place in spread(first, train)),
        tuple(folder.files[place] for place in spread(last, test)),
    )


def divide(folders: Sequence[LabelledFolder], new: Sequence[str]) -> tuple[list[LabelledFolder], list[LabelledFolder]]:
    """The folders named as new, in that order, and all others.

    Raises:
        ValueError: a name is not among them, or none is left to pre-train on.
    """
    by_name = {folder.name: folder for folder in folders}
    if missing := [name for name in new if name not in by_name]:
        raise ValueError(f"no sequence is named {', '.join(missing)}; there are {', '.join(sorted(by_name))}")
    others = [folder for name, folder in sorted(by_name.items()) if name not in new]
    if not others:
        raise ValueError("all sequences are new: at least one has to be left to pre-train on")
    return [by_name[name] for name in new], others
