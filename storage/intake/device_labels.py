"""A device's labels: which file of its storage speaks of which picture, in COCO, YOLO and Pascal VOC.

A COCO file speaks of all pictures at once; in the other formats each picture has a file of its own, which may be
late, or be corrected, or be broken, without the other pictures having to wait for it.
"""

import hashlib
from collections.abc import Collection, Mapping

from rinr.labels import MAX_FILE_BYTES, ImageLabels, LabelError, parse_coco
from rinr.voc import parse_voc
from rinr.yolo import parse_classes, parse_yolo
from storage.devices import DeviceError, DeviceFile, DeviceStorage, Listing, path_fault, safe_spelling
from storage.quarantine import MAX_REASON, quarantine_path
from storage.tables import Refusal

MAX_STRAYS = 1_000
"""Labels of no picture that one file may bring into the quarantine: more of them say nothing more."""

_SUFFIX = {"yolo": ".txt", "voc": ".xml"}
_PICTURES = "images/"


class UnsettledError(RuntimeError):
    """A file that is not what was listed: it is being written."""


class UnreadableError(UnsettledError):
    """A file that its storage does not give."""


class LabelFileError(ValueError):
    """A label file that cannot be used.

    Attributes:
        file: as listed; ``None`` where there is none although there should be.
    """

    def __init__(self, path: str, file: DeviceFile | None, reason: str) -> None:
        super().__init__(reason)
        self.path, self.file = path, file


class CocoLabels:
    """The one file that speaks of all pictures of a device.

    Attributes:
        file: as listed; ``None`` where there is none.
        state: of the file.
    """

    needs_size = False

    def __init__(self, storage: DeviceStorage, listing: Listing) -> None:
        self._storage = storage
        self.path = storage.device.labels.path
        self.file = listing.others.get(self.path)
        self.state = self.file.state if self.file else None
        self._assigned: dict[str, ImageLabels] = {}

    def prepare(self, paths: Collection[str], gone: Collection[str] = ()) -> list[Refusal]:
        """Read the file; returns refusals of its entries that speak of no picture.

        Args:
            paths: of the pictures in the storage.
            gone: of pictures that were taken and are no longer there: labels may speak of them as well.

        Raises:
            UnsettledError: it is being written, or cannot be read.
            LabelFileError: it is broken.
        """
        if self.file is None:
            return []
        try:
            labels = parse_coco(_read_labels(self._storage, self.file))
        except LabelError as error:
            raise LabelFileError(self.path, self.file, str(error)) from None
        self._assigned, refusals = assign_labels(labels, paths, self._storage.device.name, self.path, gone)
        return refusals

    def has(self, path: str) -> bool:
        """Whether a picture has labels."""
        return path in self._assigned

    def state_of(self, path: str) -> str | None:
        """The state of the file that speaks of a picture."""
        return self.state

    def read(self, path: str, size: tuple[int, int] | None) -> ImageLabels | None:
        """What the file says of a picture."""
        return self._assigned.get(path)


class PictureLabels:
    """One file a picture, beside it or in a folder of its own, in YOLO's or Pascal VOC's format."""

    def __init__(self, storage: DeviceStorage, listing: Listing) -> None:
        self._storage = storage
        self._others = listing.others
        self._place = storage.device.labels
        self._classes: tuple[str, ...] = ()
        self.needs_size = self._place.format == "yolo"
        self._classes_state = ""
        if isinstance(self._place.classes, str):
            self.classes_file = listing.others.get(self._place.classes)
            self._classes_state = f" {self.classes_file.state}" if self.classes_file else ""
        else:
            self.classes_file = None
            if self._place.classes:
                digest = hashlib.sha256("\0".join(self._place.classes).encode()).hexdigest()
                self._classes_state = f" {digest[:12]}"

    def prepare(self, paths: Collection[str], gone: Collection[str] = ()) -> list[Refusal]:
        """Read the names of the classes, where the format has such and a picture has labels.

        Raises:
            UnsettledError: their file is being written, or cannot be read.
            LabelFileError: it is broken or not there.
        """
        if not isinstance(self._place.classes, str):
            self._classes = tuple(self._place.classes or ())
        elif self.classes_file is not None:
            try:
                self._classes = parse_classes(_read_labels(self._storage, self.classes_file))
            except LabelError as error:
                raise LabelFileError(self._place.classes, self.classes_file, str(error)) from None
        elif any(map(self.has, paths)):
            raise LabelFileError(self._place.classes, None, "the device's storage has no such file of class names")
        return []

    def has(self, path: str) -> bool:
        """Whether a picture has a label file."""
        return self.file_of(path) is not None

    def file_of(self, path: str) -> DeviceFile | None:
        """The label file of a picture: of the same name and folder, or of those below the labels' own folder.

        There, as is usual, the pictures' folder ``images`` need not be named.
        """
        name = path.rpartition(".")[0] + _SUFFIX[self._place.format]
        folder = f"{self._place.path.rstrip('/')}/" if self._place.path else ""
        found = self._others.get(folder + name)
        if found is None and folder and name.startswith(_PICTURES):
            found = self._others.get(folder + name.removeprefix(_PICTURES))
        return found

    def state_of(self, path: str) -> str | None:
        """What says whether the labels of a picture are still those that were read."""
        file = self.file_of(path)
        return file.state + self._classes_state if file else None

    def read(self, path: str, size: tuple[int, int] | None) -> ImageLabels | None:
        """The labels of a picture; ``None`` where it has no label file.

        Args:
            path: of the picture.
            size: ``(width, height)`` in pixels of the upright picture, which YOLO's fractions are of.

        Raises:
            UnsettledError: its label file is being written, or cannot be read.
            LabelFileError: it is broken.
        """
        file = self.file_of(path)
        if file is None:
            return None
        try:
            data = _read_labels(self._storage, file)
            if not self.needs_size:
                return parse_voc(data)
            if size is None:
                raise ValueError("labels in fractions of a picture of unknown size")
            return parse_yolo(data, self._classes, size)
        except LabelError as error:
            raise LabelFileError(file.path, file, str(error)) from None


def labels_of(storage: DeviceStorage, listing: Listing) -> CocoLabels | PictureLabels:
    """A device's labels, in the format that the fleet file names; nothing is read yet."""
    return (CocoLabels if storage.device.labels.format == "coco" else PictureLabels)(storage, listing)


def read_listed(storage: DeviceStorage, file: DeviceFile, *, labels: bool = False) -> bytes:
    """The bytes of a file, if it is from before the reading until after it what was listed.

    Raises:
        UnsettledError: it is not; its subclass :class:`UnreadableError` where it cannot be read.
    """
    try:
        data = storage.read_label(file.path) if labels else storage.read(file.path)
        if len(data) != file.size:
            raise UnsettledError(f"it is being written (listed with {file.size:,} bytes, read with {len(data):,})")
        if not same_state(storage.stat(file.path), file):
            raise UnsettledError("it is being written (it has changed since it was listed)")
    except DeviceError as error:
        raise UnreadableError(str(error)) from None
    return data


def same_state(one: DeviceFile, other: DeviceFile) -> bool:
    """Whether a file is the same as before, as far as its storage says.

    Some storages give a file's time in whole seconds in one place and more exactly in another.
    """
    if one.size != other.size or one.regular != other.regular:
        return False
    if one.etag and other.etag:
        return one.etag == other.etag
    times = (one.modified, other.modified)
    if any(time.microsecond == 0 for time in times):
        times = (times[0].replace(microsecond=0), times[1].replace(microsecond=0))
    return times[0] == times[1]


def assign_labels(
    labels: Mapping[str, ImageLabels], paths: Collection[str], device: str, labels_path: str, gone: Collection[str] = ()
) -> tuple[dict[str, ImageLabels], list[Refusal]]:
    """A COCO file's labels by path of the picture they speak of, and refusals of those that speak of none.

    A bare file name, as COCO files often have them, also stands for the one picture of that name in a sub-folder.

    Args:
        labels: by file name.
        paths: of the pictures in the storage.
        device: its name.
        labels_path: of the COCO file, for messages.
        gone: paths of pictures that were taken and are no longer there: labels may speak of them as well.
    """
    places: list[tuple[set[str], dict[str, list[str]]]] = []
    for among in (set(paths), set(gone)):
        by_name: dict[str, list[str]] = {}
        for path in among:
            by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
        places.append((among, by_name))
    assigned: dict[str, ImageLabels] = {}
    strays: list[tuple[str, str]] = []
    for name, entry in labels.items():
        fault = path_fault(name)
        candidates: list[str] = []
        if fault is None:
            for exact in (True, False):
                for among, by_name in places:
                    candidates = candidates or (([name] if name in among else []) if exact else by_name.get(name, []))
        if len(candidates) == 1 and candidates[0] not in assigned:
            assigned[candidates[0]] = entry
            continue
        if fault:
            reason = f"{fault}; correct `file_name`"
        elif len(candidates) > 1:
            reason = "several files of the device have this name; write the path in `file_name`"
        elif candidates:
            reason = "another entry speaks of the same file; remove one"
        else:
            reason = "no picture of the device's storage has this name; add the file or remove the entry"
        strays.append((name, reason))
    refusals = [
        Refusal(
            device,
            quarantine_path(name),
            None,
            None,
            f"{safe_spelling(labels_path)} names {safe_spelling(name)}: {reason}"[:MAX_REASON],
        )
        for name, reason in strays[:MAX_STRAYS]
    ]
    if len(strays) > MAX_STRAYS:
        shown = safe_spelling(labels_path)
        more = f"{shown} has more than {MAX_STRAYS:,} entries that speak of no picture; the others are not listed"
        refusals.append(Refusal(device, quarantine_path(labels_path), None, None, more))
    return assigned, refusals


def _read_labels(storage: DeviceStorage, file: DeviceFile) -> bytes:
    if file.size > MAX_FILE_BYTES:
        raise LabelError(f"the file has {file.size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    return read_listed(storage, file, labels=True)
