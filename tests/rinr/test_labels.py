import hashlib
import json
from datetime import UTC, datetime

import pytest

from rinr import labels
from rinr.boxes import Annotation
from rinr.labels import LabelError, boxes_from_canonical, canonical_labels, labels_id, parse_coco


def coco(**changes):
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 20, "height": 10, "date_captured": "2024-05-06 07:08:09"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 2, "bbox": [5, 1, 3, 4]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [0.5, 1, 3, 4]},
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
    }
    return json.dumps(document | changes).encode()


def test_coco_is_read():
    read = parse_coco(coco())["a.jpg"]
    assert read.boxes == (Annotation(0.5, 1, 3, 4, "car"), Annotation(5, 1, 3, 4, "bus"))
    assert read.size == (20, 10)
    assert read.captured_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_a_file_without_annotations_has_no_boxes():
    assert parse_coco(coco(annotations=[]))["a.jpg"].boxes == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"{" * 100_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (coco(images="x"), "`images`"),
        (coco(images=[{"id": 1}]), "images[0].file_name"),
        (coco(images=[{"id": "1", "file_name": "a.jpg"}]), "images[0].id"),
        (coco(images=[{"id": 1, "file_name": "a.jpg"}] * 2), "stands twice"),
        (
            coco(annotations=[{"image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]}]),
            "annotations[0].category_id",
        ),
        (coco(annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3]}]), "annotations[0].bbox"),
        (
            coco(annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 1e300]}]),
            "annotations[0].bbox",
        ),
        (
            coco(annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 2, True, 4]}]),
            "annotations[0].bbox",
        ),
        (coco().replace(b"[5, 1, 3, 4]", b"[5, NaN, 3, 4]"), "annotations[0].bbox"),
        (coco().replace(b"[5, 1, 3, 4]", b"[5, Infinity, 3, 4]"), "annotations[0].bbox"),
        (coco(categories=[{"id": 1, "name": "a\nb"}, {"id": 2, "name": "b"}]), "categories[0].name"),
        (coco(categories=[{"id": 1, "name": "x" * 101}, {"id": 2, "name": "b"}]), "categories[0].name"),
    ],
)
def test_a_bad_file_is_refused_by_the_name_of_its_field(data, says):
    with pytest.raises(LabelError) as caught:
        parse_coco(data)
    assert says in str(caught.value)


def test_more_boxes_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(labels, "MAX_BOXES_PER_IMAGE", 1)
    with pytest.raises(LabelError, match="more than 1 boxes"):
        parse_coco(coco())


def test_labels_id_is_the_hash_of_sorted_boxes():
    a, b = Annotation(1, 2, 3, 4, "x"), Annotation(0, 9, 3, 4, "ü")
    assert canonical_labels([a, b]) == '[[0,9,3,4,"ü"],[1,2,3,4,"x"]]'.encode()
    assert labels_id([a, b]) == labels_id([b, a]) == hashlib.sha256(canonical_labels([b, a])).hexdigest()
    assert boxes_from_canonical(canonical_labels([a, b])) == (b, a)
    assert labels_id([a]) != labels_id([Annotation(1, 2, 3, 4, "y")])
