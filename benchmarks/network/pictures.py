"""What ten devices have captured: shares of sequences of labelled frames, and the same frames for every way to send."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rinr.folders import LABELS_FILE, LabelledFolder, spread


@dataclass(frozen=True)
class Captures:
    """What one device has captured.

    Attributes:
        device: its name.
        files: bytes of the pictures by the names that they have on the device, and of the file of their labels.
    """

    device: str
    files: dict[str, bytes]

    @property
    def pictures(self) -> dict[str, bytes]:
        """The pictures alone."""
        return {name: data for name, data in self.files.items() if name != LABELS_FILE}


def shared_out(folders: Sequence[LabelledFolder], devices: Sequence[str], frames: int) -> list[Captures]:
    """Some frames for every device: its own part of the sequences one after another, evenly spread over that part.

    Every device has others' pictures, neighbours in time may lie on two devices, and a long sequence weighs more than
    a short one.

    Raises:
        ValueError: there are fewer frames than devices.
    """
    everything = [(folder, file) for folder in folders for file, _ in folder.in_order()]
    if len(everything) < len(devices):
        raise ValueError(
            f"{len(everything)} frames for {len(devices)} devices: give folders with more, or fewer devices"
        )
    bounds = [number * len(everything) // len(devices) for number in range(len(devices) + 1)]
    return [
        _captures(name, spread(everything[start:end], frames))
        for name, start, end in zip(devices, bounds[:-1], bounds[1:], strict=True)
    ]


def _captures(device: str, frames: Sequence[tuple[LabelledFolder, Path]]) -> Captures:
    files: dict[str, bytes] = {}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    labels: dict[str, int] = {}
    for number, (folder, file) in enumerate(frames, 1):
        name = f"{folder.name}-{file.name}"
        files[name] = file.read_bytes()
        found = folder.labels.get(file.relative_to(folder.path).as_posix())
        if found is None:
            continue
        size = dict(zip(("width", "height"), found.size, strict=True)) if found.size else {}
        images.append({"id": number, "file_name": name, **size})
        for box in found.boxes:
            category = labels.setdefault(box.label, len(labels) + 1)
            place = [box.x, box.y, box.width, box.height]
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": place})
    categories = [{"id": number, "name": label} for label, number in labels.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    files[LABELS_FILE] = json.dumps(document, separators=(",", ":")).encode()
    return Captures(device, files)
