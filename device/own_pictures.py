"""A device's own labelled JPEGs: some are trained on beside what was received, the others are held out to test on.

They are read one by one and kept at the training size in 8 bits, at most so many of each kind as the job says: a canvas
of 320x240 pixels is 230 kB.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from device.holding_out import held_out
from rinr.folders import spread
from rinr.frames import Frame, ImageError, check_picture, working_frame
from rinr.training.jpegs import JpegDataset
from storage.credentials import Secrets
from storage.devices import DeviceError, DeviceFile, DeviceStorage
from storage.fleet import Device
from storage.intake.device_labels import CocoLabels, LabelFileError, PictureLabels, UnsettledError, labels_of

_UNUSABLE = (DeviceError, ImageError, UnsettledError, LabelFileError)


@dataclass(frozen=True)
class Share:
    """How a device's own pictures are used.

    Attributes:
        held_out: the share that is tested on, more than 0 and at most 1; with 1 none is trained on.
        tested: pictures that are tested on at most, spread evenly over all that are held out.
        trained: likewise that are trained on.
    """

    held_out: float = 1 / 3
    tested: int = 500
    trained: int = 1_000

    def __post_init__(self) -> None:
        if not 0.01 <= self.held_out <= 1:
            raise ValueError(f"held_out is {self.held_out}, expected 0.01 to 1")
        if self.tested < 1:
            raise ValueError(f"tested is {self.tested}, expected at least 1")
        if self.trained < 0:
            raise ValueError(f"trained is {self.trained}, expected 0 or more")


@dataclass(frozen=True)
class OwnPictures:
    """A device's own labelled pictures.

    Attributes:
        training: those that are trained on.
        held_out: those that are tested on.
        notes: what a reader has to know of them, in sentences.
    """

    training: JpegDataset
    held_out: JpegDataset
    notes: tuple[str, ...]


def own_pictures(
    device: Device,
    secrets: Secrets,
    share: Share,
    received: Collection[str],
    size: tuple[int, int],
    torch_device: str,
) -> OwnPictures:
    """Read a device's own pictures. What is wrong with them is noted, and is never an error.

    Args:
        device: whose.
        secrets: gives those of its storage.
        share: how they are used.
        received: ids of images that came from the fog node: they are trained on as such, and are no test.
        size: ``(width, height)`` of the canvas, in pixels.
        torch_device: of the datasets' batches.
    """
    if device.captures is not None:  # what was captured, not what was made of it to be uploaded
        device = device.model_copy(update={"storage": device.captures, "storage_options": {}})
    reader = _Reader(device, secrets, set(received))
    for_training, for_test = reader.split(share.held_out)
    if len(for_test) > share.tested:
        reader.notes.append(
            f"Tested on {share.tested:,} of the device's {len(for_test):,} labelled pictures that are held out."
        )
    if len(for_training) > share.trained:
        reader.notes.append(
            f"Trained on {share.trained:,} of the device's {len(for_training):,} own labelled pictures."
        )
    # What is held out is read first: a picture that stands there twice is then no longer trained on.
    test = JpegDataset(reader.frames(spread(for_test, share.tested)), size=size, device=torch_device)
    training = JpegDataset(reader.frames(spread(for_training, share.trained)), size=size, device=torch_device)
    if not any(test.boxes):
        reader.notes.append(
            "The device has no labelled pictures of its own to test on, so precision on them is not known."
        )
    return OwnPictures(training, test, tuple(reader.notes))


class _Reader:
    """Reads pictures with their labels, and notes what is wrong."""

    def __init__(self, device: Device, secrets: Secrets, used: set[str]) -> None:
        self.notes: list[str] = []
        self._storage = DeviceStorage(device, secrets)
        self._labels: CocoLabels | PictureLabels | None = None
        self._used = used
        self._own: set[str] = set()

    def split(self, share: float) -> tuple[list[DeviceFile], list[DeviceFile]]:
        """The labelled pictures that are for training, and those that are held out.

        Blocks are counted over all pictures, labelled or not, so that labels that come late move none.
        """
        try:
            listing = self._storage.list()
            labels = labels_of(self._storage, listing)
            labels.prepare([file.path for file in listing.pictures])
        except _UNUSABLE as error:
            self.notes.append(f"The device's own pictures cannot be used: {error}.")
            return [], []
        self._labels = labels
        kinds: tuple[list[DeviceFile], list[DeviceFile]] = ([], [])
        for file, is_held_out in zip(listing.pictures, held_out(len(listing.pictures), share), strict=True):
            if labels.has(file.path):
                kinds[is_held_out].append(file)
        return kinds

    def frames(self, files: Sequence[DeviceFile]) -> Iterator[Frame]:
        """The working frames of those that can be read and were not read before."""
        for file in files:
            try:
                frame = self._frame(file)
            except _UNUSABLE as error:
                self.notes.append(f"The device's own {file.path!r} was passed over: {error}.")
                continue
            if frame.image_id in self._used:
                self.notes.append(f"The device's own {file.path!r} was received as well, so it is no test.")
            elif frame.image_id not in self._own:
                self._own.add(frame.image_id)
                yield frame

    def _frame(self, file: DeviceFile) -> Frame:
        assert self._labels is not None  # files come from `split` alone
        jpeg = self._storage.read(file.path)
        upright = check_picture(jpeg).size if self._labels.needs_size else None
        return working_frame(jpeg, self._labels.read(file.path, upright))
