import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from device.curve import draw_curve
from device.report import Comparison, DeviceReport, parse_report, write_report
from rinr.training.evaluate import Precision
from storage.shards.acknowledgement import RefusedShard
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
