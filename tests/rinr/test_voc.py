import pytest

from rinr.boxes import Annotation
from rinr.labels import LabelError
from rinr.voc import MAX_VOC_BYTES, parse_voc


def an_object(name: str = "car", box: tuple = (1, 1, 1, 1), more: str = "") -> str:
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox>{more}</object>"


def voc(*objects: str, size: str = "<size><width>200</width><height>100</height><depth>3</depth></size>") -> bytes:
    return f"<annotation><filename>a.jpg</filename>{size}{''.join(objects)}</annotation>".encode()


def test_corners_count_from_1_and_belong_to_the_box():
    part = "<part><name>wheel</name><bndbox><xmin>5</xmin></bndbox></part><pose>left</pose>"
    read = parse_voc(
        voc(an_object("bus", (11, 21, 30, 60), part), an_object("a &amp; b"), an_object("x", (0.5, "2.5", 4, "1e1")))
    )
    assert (read.file_name, read.size) == ("a.jpg", (200, 100))
    assert read.boxes == (
        Annotation(-0.5, 1.5, 4.5, 8.5, "x"),
        Annotation(0, 0, 1, 1, "a & b"),
        Annotation(10, 20, 20, 40, "bus"),
    )


def test_files_that_leave_things_out_are_read():
    assert parse_voc(b"<annotation/>").boxes == ()
    assert parse_voc(voc(size="")).size is None
    assert parse_voc(voc(size="<size><width>0</width><height>0</height></size>")).size is None
    assert parse_voc("<?xml version='1.0' encoding='UTF-16'?><annotation/>".encode("utf-16")).boxes == ()


BOMB = (
    "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY {b} '{f'&{a};' * 10}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><annotation><filename>&i;</filename></annotation>"
)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not XML: no element found"),
        (b"0 0.5 0.5 0.1 0.1", "not XML: .* line 1, column 0"),
        (b"<annotation>", "not XML"),
        (b"<annotation>&nbsp;</annotation>", "not XML: undefined entity"),
        (b"<annotation>\xff</annotation>", "not XML"),
        (b"<?xml version='1.0' encoding='none-such'?><annotation/>", "not XML: unknown encoding"),
        (b"<html/>", "root is 'html', expected `annotation`"),
        (BOMB.encode(), "<!DOCTYPE>"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><annotation/>", "<!DOCTYPE>"),
        (b"<annotation>" + b"<a>" * 32, "more than 32 deep"),
        (b"<annotation>" + b"<a/>" * 100_001, "more than 100,000 elements"),
        (b" " * (MAX_VOC_BYTES + 1), "at most 1,048,576 are read"),
        (voc(*[an_object()] * 4097), "more than 4,096 objects"),
        (voc(an_object(), "<object><bndbox/></object>"), "object 2: name is missing"),
        (voc(an_object(), an_object("a\nb")), "object 2: name must be printable"),
        (voc(an_object(name="x" * 101)), "object 1: name must be .* at most 100 bytes"),
        (voc("<object><name>a</name></object>"), "object 1: bndbox/xmin is missing"),
        (voc(an_object(box=(1, 2, "", 4))), "object 1: bndbox/xmax is '', expected a number of pixels"),
        (voc(an_object(box=(1, 2, 3, "nan"))), "object 1: bndbox/ymax is 'nan'"),
        (voc(an_object(box=(1, 2, 3, "1e999"))), "object 1: bndbox/ymax is '1e999'"),
        (voc(an_object(box=(1, 2, 3, "1_0"))), "object 1: bndbox/ymax is '1_0'"),
        (voc(an_object(box=(1, 2, 3, "9" * 100_000))), "object 1: bndbox/ymax is '9{40}', expected"),
        (voc(an_object(more="<name>b</name>")), "object 1: name stands twice"),
        (voc(size="<size><width>a</width><height>1</height></size>"), "the picture: size/width is 'a'"),
        (voc(size="<size><width>1</width><width>1</width></size>"), "size/width stands twice"),
    ],
)
def test_a_bad_file_is_refused_by_its_object_and_field(data, says):
    with pytest.raises(LabelError, match=says):
        parse_voc(data)
