import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from rinr import labels
from rinr.boxes import Annotation
from rinr.labels import LabelError, boxes_from_canonical, canonical_labels, labels_id, parse_coco, parse_date


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
        (coco().replace(b"[5, 1, 3, 4]", b"[5, 1e999, 3, 4]"), "annotations[0].bbox is [5, inf, 3, 4]"),
        (coco().replace(b"[5, 1, 3, 4]", b"[" * 900 + b"]" * 900), "annotations[0].bbox is [a list], expected"),
        (coco().replace(b"[5, 1, 3, 4]", b"[" + b"1," * 5000 + b"1]"), "bbox is [1, 1, 1, 1, 1, \u2026], expected"),
        (coco().replace(b"[5, 1, 3, 4]", b"[5, 1, 3, 1" + b"0" * 4000 + b"]"), "a number of more than 64 bits"),
        (coco().replace(b"[5, 1, 3, 4]", b"[5, 1, 3, 1" + b"0" * 5000 + b"]"), "not JSON"),
        (
            coco().replace(b'"image_id": 7', b'"image_id": 1' + b"0" * 4000),
            "annotations[0].image_id is a number of more",
        ),
        (coco().replace(b'"image_id": 7', b'"image_id": NaN'), "annotations[0].image_id is nan"),
        (coco().replace(b'"category_id": 2', b'"category_id": true'), "annotations[0].category_id is True"),
        (coco().replace(b'"category_id": 2', b'"category_id": [[2]]'), "annotations[0].category_id is [a list]"),
        (
            coco().replace(b'"category_id": 2', b'"category_id": 1, "category_id": 2'),
            "has the field 'category_id' twice",
        ),
        (b'{"images": [], "images": []}', "has the field 'images' twice"),
        (
            coco(images=[{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}]),
            "images[1].id 7 stands twice",
        ),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "categories[1].id 1 stands twice"),
        (coco(categories=[{"id": 1, "name": "\udfff"}, {"id": 2, "name": "b"}]), "categories[0].name"),
        (coco(images=[[]]), "`images` is missing or not a list of objects"),
        (b'{"images": [' + b"[" * 3000, "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
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


def test_a_million_boxes_of_one_image_are_refused_at_the_first_too_many():
    one = {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4]}
    with pytest.raises(LabelError, match=r"annotations\[4096\]: more than 4,096 boxes"):
        parse_coco(coco(annotations=[one] * 5000))


def test_polygons_and_sizes_that_say_nothing_are_passed_over():
    read = parse_coco(
        coco(
            images=[{"id": 7, "file_name": "a.jpg", "width": 0, "height": 10**12}],
            annotations=[{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3]]}],
        )
    )
    assert read["a.jpg"].size is None
    assert read["a.jpg"].boxes == (Annotation(1, 2, 3, 4, "car"),)


HUGE = """
import resource, sys
from rinr.labels import MAX_FILE_BYTES, LabelError, parse_coco
assert "numpy" not in sys.modules
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for piece in (b"{", b"[", b",", b"{},", b"[],", b"1,", b'"ab",', b'{"a":1},', bytes(1), b" "):
    for head in (b"", b'{"images": ['):
        data = (head + piece * (MAX_FILE_BYTES // len(piece)))[:MAX_FILE_BYTES]
        try:
            parse_coco(data)
        except LabelError as error:
            assert len(str(error)) < 300
        else:
            raise SystemExit(f"{piece} was read")
        del data
try:
    parse_coco(bytes(MAX_FILE_BYTES + 1))
except LabelError as error:
    print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_hostile_file_of_the_largest_size_is_refused_in_bounded_memory():
    done = subprocess.run([sys.executable, "-c", HUGE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    message, megabytes = done.stdout.splitlines()
    assert "at most 67,108,864 are read" in message
    assert int(megabytes) < 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-06 07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024:05:06 07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-5-6 7:8:9", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("2024-05-06T07:08:09+02:00", datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:59", None),
        ("0000:00:00 00:00:00", None),
        ("2024-05-06 07:08:09" + " " * 30, None),
        (7, None),
    ],
)
def test_dates_are_read_in_utc(text, expected):
    assert parse_date(text) == expected
