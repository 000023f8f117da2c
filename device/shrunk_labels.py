"""Labels of shrunk captures: COCO's are scaled with their pictures; YOLO's, being fractions, and VOC's, which say the
size that they are of, go along as they are.
"""

import json
from collections.abc import Iterator
from pathlib import PurePosixPath

from device.shrunk_ledger import Ledger, Shrunk
from rinr.boxes import Annotation
from rinr.frames import PictureFacts, annotations_in
from rinr.labels import ImageLabels, LabelError
from rinr.voc import parse_voc
from storage.devices import DeviceError, DeviceStorage
from storage.intake.device_labels import CocoLabels, PictureLabels

_DIGITS = 6
"""After the point: less than what the fitting of boxes to whole pixels takes for a rounding error."""


def label_files(
    storage: DeviceStorage, labels: CocoLabels | PictureLabels, ledger: Ledger, notes: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Label files of the uploads: path and content.

    Args:
        storage: of the captures.
        labels: of the captures, prepared.
        ledger: of what was made of them.
        notes: what cannot be carried along is added.
    """
    if isinstance(labels, CocoLabels):
        if labels.file is not None:
            yield labels.path, coco_of_uploads(labels, ledger)
        return
    if labels.classes_file is not None:
        yield labels.classes_file.path, storage.read_label(labels.classes_file.path)
    for entry in ledger:
        file = labels.file_of(entry.path)
        if file is None:
            continue
        if PurePosixPath(entry.upload).stem != PurePosixPath(entry.path).stem:
            notes.append(f"{entry.path}: another capture has its stem, so {file.path} is not uploaded for it")
            continue
        try:
            data = storage.read_label(file.path)
            if not labels.needs_size and entry.uploaded != entry.captured and parse_voc(data).size is None:
                raise LabelError("it says no size of the picture, so its boxes cannot be scaled; add `size`")
        except (DeviceError, LabelError) as error:
            notes.append(f"{file.path}: not uploaded: {error}")
            continue
        yield file.path, data


def coco_of_uploads(labels: CocoLabels, ledger: Ledger) -> bytes:
    """A COCO file of the uploads: what the captures' own says of them, in the uploads' pixels."""
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    names: dict[str, int] = {}
    for entry in ledger:
        said = labels.read(entry.path, None)
        if said is None:
            continue
        number = len(images) + 1
        images.append(_image(number, entry, said))
        for box in _scaled(said, entry):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": names.setdefault(box.label, len(names) + 1),
                    "bbox": [round(value, _DIGITS) for value in (box.x, box.y, box.width, box.height)],
                }
            )
    categories = [{"id": number, "name": name} for name, number in names.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(document, separators=(",", ":")).encode()


def _image(number: int, entry: Shrunk, said: ImageLabels) -> dict[str, object]:
    width, height = entry.uploaded
    image: dict[str, object] = {"id": number, "file_name": entry.upload, "width": width, "height": height}
    return image | ({"date_captured": said.captured_at.isoformat()} if said.captured_at else {})


def _scaled(said: ImageLabels, entry: Shrunk) -> Iterator[Annotation]:
    """In pixels of the upload."""
    across, down = (new / old for new, old in zip(entry.uploaded, entry.captured, strict=True))
    for box in annotations_in(said, PictureFacts(entry.captured, entry.orientation, None)):
        yield Annotation(box.x * across, box.y * down, box.width * across, box.height * down, box.label)
