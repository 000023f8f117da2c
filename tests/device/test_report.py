import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from device.curve import draw_curve
from device.exercise import Examined
from device.page import MAX_PAGE_BYTES, draw_page
from device.report import (
    MAX_EPOCHS,
    MAX_EXAMINED,
    MAX_NOTE,
    MAX_NOTES,
    MAX_REFUSED,
    Comparison,
    DeviceReport,
    parse_report,
    write_report,
)
from rinr.training.evaluate import Precision
from rinr.training.sizes import SizeRow
from storage.shards.acknowledgement import MAX_REASON, MAX_REPORT_BYTES, RefusedShard
from storage.shards.faults import Fault

REPORT = DeviceReport(
    key="k",
    device="cam-b",
    generation=1,
    taken=3,
    torch_device="cpu",
    epochs=3,
    seed=1,
    frames=24,
    objects=30,
    shard_bytes=60_000,
    payload_bytes=58_000,
    training_size=(320, 240),
    load_seconds=0.1,
    decode_seconds=2.5,
    train_seconds=9.0,
    evaluate_seconds=1.5,
    losses=(5.0, 3.0, 2.0),
    decoded=Comparison(24, 30, Precision(0.01, 0.0), Precision(0.9, 0.5)),
    own=Comparison(12, 15, Precision(0.02, 0.01), Precision(0.8, 0.4)),
    notes=("A sentence.",),
    refused=(RefusedShard("shard-0001-00000004", Fault.EDITED, "damaged"),),
    model_sha256="00",
    trainer="boats.training:train",
    own_frames=20,
    started_from="11",
    resumed_at=40,
    promoted=False,
    verdict="It is worse.",
    compared=Precision(0.85, 0.5),
    in_use_sha256="11",
    examined=(Examined(1, Precision(0.2, 0.1)), Examined(2, Precision(0.6, 0.3))),
    sizes=(SizeRow("small", 5, (2, 1, 0), 2, 7), SizeRow("medium", 10, (0, 8, 1), 1, 0)),
)


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, own=None, notes=(), refused=())])
def test_a_report_reads_back_as_it_was_written(report):
    assert parse_report(write_report(report)) == report


def test_the_first_and_last_loss():
    assert (REPORT.loss_first, REPORT.loss_last) == (5.0, 2.0)


def test_what_is_no_report_is_refused():
    for data in (b"", b"[]", b"{}", b"[" * 100_000, write_report(REPORT)[:-9]):
        with pytest.raises(ValueError, match="not a device report"):
            parse_report(data)
    older = json.loads(write_report(REPORT))
    del older["decoded"]["after"]
    with pytest.raises(ValueError, match="not a device report"):
        parse_report(json.dumps(older).encode())


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, own=None, losses=(2.0,))])
def test_the_curve_is_a_png(report):
    picture = Image.open(io.BytesIO(draw_curve(report)))
    assert picture.format == "PNG"
    assert picture.width > picture.height > 300


def test_drawing_leaves_the_callers_matplotlib_alone():
    import matplotlib.pyplot as plt

    draw_curve(REPORT)
    assert plt.get_fignums() == []


def test_the_largest_report_fits_into_an_acknowledgement():
    figure, long = 0.12345678901234567, "\U0001d54f" * MAX_NOTE
    whole = Precision(figure, figure)
    largest = replace(
        REPORT,
        losses=(figure,) * MAX_EPOCHS,
        notes=(long,) * MAX_NOTES,
        verdict=long,
        refused=(RefusedShard("shard-0001-00000004", Fault.EDITED, "\U0001d54f" * MAX_REASON),) * MAX_REFUSED,
        examined=(Examined(MAX_EPOCHS, whole),) * MAX_EXAMINED,
    )
    assert len(write_report(largest)) <= MAX_REPORT_BYTES
    assert parse_report(write_report(largest)) == largest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("promoted", 1),
        ("verdict", "x" * 301),
        ("sizes", [{"size": "huge", "objects": 1, "found_as": [0, 0, 0], "missed": 1, "imagined": 0}]),
        ("sizes", [{"size": "small", "objects": 1, "found_as": [0, 0], "missed": 1, "imagined": 0}]),
        ("examined", [{"epoch": 1, "precision": {"map50": float("inf"), "map50_95": 0}}]),
        ("examined", [{"epoch": 1}]),
        ("compared", 3),
        ("own_frames", -1),
    ],
)
def test_what_is_beyond_the_bounds_is_refused(field, value):
    document = json.loads(write_report(REPORT)) | {field: value}
    with pytest.raises(ValueError, match="not a device report"):
        parse_report(json.dumps(document).encode())


class _Seen(HTMLParser):
    """What a page refers to, and whether its elements are closed in order."""

    VOID = ("meta", "img", "line", "polyline", "circle")

    def __init__(self, page):
        super().__init__()
        self.open, self.sources, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.sources += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, own=None, losses=(2.0,), examined=(), compared=None)])
def test_the_page_stands_alone_and_says_what_was_learned(report):
    data = draw_page(report, [b"picture one", b"picture two"])
    seen = _Seen(data.decode())
    assert seen.open == []
    assert len(seen.sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in seen.sources)
    assert "http" not in data.decode().replace("http-equiv", "")
    for told in ("Training on cam-b", "Kept as a candidate", "It is worse.", "A sentence.", "60,000", "damaged"):
        assert told in seen.text


def test_what_comes_from_elsewhere_is_text_in_the_page():
    page = draw_page(replace(REPORT, notes=("<script>alert(1)</script>",), verdict="a & <b>"), []).decode()
    assert "<script>" not in page
    assert "a &amp; &lt;b&gt;" in page


def test_pictures_that_would_make_the_page_too_large_are_left_out():
    page = draw_page(REPORT, [bytes(400_000)] * 9)
    assert 1_000_000 < len(page) < MAX_PAGE_BYTES
