import pytest

from rinr.boxes import Annotation
from rinr.frames import PictureFacts, fit_annotations
from rinr.labels import LabelError
from rinr.yolo import MAX_YOLO_BYTES, parse_classes, parse_yolo

CLASSES = ("car", "bus")


def test_fractions_become_pixels_of_the_upright_picture():
    read = parse_yolo(b"1 0.5 0.25 0.1 0.5\r\n\n0 .5 5e-1 +1. 1 0.93\n", CLASSES, (200, 100))
    assert read.size == (200, 100)
    # By hand: centre (100, 25), size 20x50; then the whole picture.
    assert read.boxes == (Annotation(0, 0, 200, 100, "car"), Annotation(90, 0, 20, 50, "bus"))


@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t\n"])
def test_an_empty_file_says_that_there_are_no_boxes(data):
    assert parse_yolo(data, CLASSES, (200, 100)).boxes == ()


def test_a_box_beyond_the_picture_is_clipped_later_with_a_note():
    read = parse_yolo(b"0 1.0 0.5 0.5 0.5\n0 -0.4 0.5 0.1 0.1\n0 0.5 0.5 0 0.1", CLASSES, (200, 100))
    boxes, notes = fit_annotations(read, PictureFacts((200, 100), 1, None))
    assert [(box.x, box.width) for box in boxes] == [(150, 50)]
    assert len(notes) == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"0 0.5 0.5 0.1", "line 1 lacks height; expected"),
        (b"0 0.5 0.5 0.1 0.1\n1", "line 2 lacks cx, cy, width, height"),
        (b"0 0.1 0.1 0.2 0.1 0.2 0.2", "7 columns in 25 bytes.*polygons are not read, export boxes"),
        (b"0 " + b"0.123 " * 9999, "polygons are not read"),
        (b"0 0.1 0.1 0.2 0." + b"1" * 2000, "line 1 has 5 columns in 2,0"),
        (b"2 0.5 0.5 0.1 0.1", "line 1: class is 2, but the list of classes has 2 names"),
        (b"-1 0.5 0.5 0.1 0.1", "line 1: class is '-1', expected the index"),
        (b"1.0 0.5 0.5 0.1 0.1", "line 1: class is '1.0'"),
        (b"9999999999 0.5 0.5 0.1 0.1", "line 1: class is '9999999999'"),
        (b"car 0.5 0.5 0.1 0.1", "line 1: class is 'car'"),
        (b"0 nan 0.5 0.1 0.1", "line 1: cx is 'nan', expected a finite number"),
        (b"0 0.5 inf 0.1 0.1", "line 1: cy is 'inf'"),
        (b"0 0.5 0.5 1e999 0.1", "line 1: width is '1e999', expected a finite"),
        (b"0 0.5 0.5 0.1 1_0", "line 1: height is '1_0'"),
        ("0 0.5 0.5 0.1 \u0661".encode(), "line 1: height is"),
        (b"0 0.5 0.5 0.1 \xff\x1b[31m", r"height is '\ufffd\\x1b\[31m'"),
        (b"0 640 0.5 0.1 0.1", "line 1: cx is '640', expected a fraction of the picture from -0.5 to 1.5, no pixels"),
        (b"0 0.5 -0.51 0.1 0.1", "line 1: cy is '-0.51'"),
        (b"0 0.5 0.5 0.1 0.1 nan", "line 1: confidence is 'nan'"),
        (b"0 0.5 0.5 0.1 0.1\n" * 4097, "line 4097: more than 4,096 boxes"),
        (b"\n" * (MAX_YOLO_BYTES + 1), "1,048,577 bytes; at most 1,048,576 are read"),
    ],
)
def test_a_bad_line_is_refused_by_its_number_and_field(data, says):
    with pytest.raises(LabelError, match=says):
        parse_yolo(data, CLASSES, (200, 100))


def test_classes_are_read_one_a_line():
    assert parse_classes(b"\xef\xbb\xbfcar\r\n traffic light \n\n\n") == ("car", "traffic light")
    assert parse_classes("\u00fc".encode()) == ("\u00fc",)
    assert parse_classes(b"") == ()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"car\n\nbus", "line 2 of the list of classes must be printable"),
        (b"car\n\xff", "line 2 of the list of classes is not UTF-8"),
        (b"a\0b", "line 1 of the list of classes must be printable"),
        (b"x" * 101, "at most 100 bytes"),
        (b"x\n" * 10_001, "10,001 lines"),
        (b"x" * (MAX_YOLO_BYTES + 1), "the list of classes has 1,048,577 bytes"),
    ],
)
def test_a_bad_list_of_classes_is_refused(data, says):
    with pytest.raises(LabelError, match=says):
        parse_classes(data)
