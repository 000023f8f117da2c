import io
import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from rinr.cli.main import app
from rinr.cli.plan_options import part, rate, upload
from rinr.cli.plan_view import duration, size
from rinr.planning import controls
from tests.conftest import jpeg, picture

run = CliRunner()


@pytest.fixture
def folder(tmp_path):
    return fill(tmp_path / "cam-1", 2)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A coarse grid, which is quick; tests of the search itself are elsewhere."""
    monkeypatch.setattr(controls, "QUALITIES", (5, 40, 95))
    monkeypatch.setattr(controls, "CROP_QUALITIES", (20, 60, 94))
    monkeypatch.setattr(controls, "SCALES", (4, 1))
    monkeypatch.setattr(controls, "CROP_SCALES", (1,))
    monkeypatch.setattr(controls, "CODECS", ("webp", "jpeg"))


def fill(path, count, labels=True):
    path.mkdir()
    for index in range(count):
        (path / f"frame{index}.jpg").write_bytes(jpeg(picture(index, 96, 64)))
    document = {
        "images": [{"id": i, "file_name": f"frame{i}.jpg", "width": 96, "height": 64} for i in range(count)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [30, 19, 12, 12]} for i in range(count)],
        "categories": [{"id": 1, "name": "square"}],
    }
    if labels:
        (path / "annotations.json").write_text(json.dumps(document))
    return path


def invoke(*words, code=0):
    result = run.invoke(app, ["plan", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def told(*words):
    return json.loads(invoke(*words, "--json").stdout)


def test_a_plan_in_words_numbers_and_a_picture(folder, tmp_path):
    plot = tmp_path / "plan.png"
    shown = invoke(folder, "--loss", "1%", "--plot", plot, "--no-policy").stdout
    for word in ("device to device, JPEG", "fog, JPEG", "fog, ours: balanced", "training at the fog", "pays from"):
        assert word in shown
    assert "Measured: 2 of 2 frames" in shown
    assert "77 bytes a row" in shown
    with Image.open(io.BytesIO(plot.read_bytes())) as image:
        assert image.format == "PNG"
    # Two runs measure the same bytes; times differ.
    found = told(folder, "--loss", "0.01", "--clips")
    ways = {way["kind"]: way for way in found["ways"]}
    assert list(ways) == [
        *("direct", "fog jpeg", "control", "ours", "policy", "clips", "model", "direct control"),
    ]
    captured = sum(file.stat().st_size for file in folder.iterdir())
    assert ways["direct"]["traffic"]["total"] == pytest.approx(9 * captured / 0.99)
    ours = found["measured"]["ours"]["payload_bytes"]
    # Two pictures of ten devices: all of these are sent something.
    expected = (18 * (ours + 77) + 10 * 650) / 0.99
    assert ways["ours"]["traffic"]["down"] == pytest.approx(expected)
    assert ways["ours"]["traffic"]["up"] == pytest.approx((captured + 10 * 283) / 0.99)
    assert ways["policy"]["sending"]["payload_bytes"] <= ours
    assert sum(ways["policy"]["families"].values()) == 2
    assert found["assumptions"]["loss"] == 0.01
    assert found["verdict"]["headline"]
    assert found["curves"]["receivers"] == list(range(1, 21))


def test_shrunk_uploads_of_a_thousand_devices(folder):
    found = told(folder, "--devices", 1_000, "--images", 50_000, "--upload", "webp:40", "--no-policy", "--share", "50%")
    assert found["assumptions"] | {"devices": 1_000, "receivers": 999, "images": 50_000} == found["assumptions"]
    assert 0 < found["measured"]["uploaded_part"] < 1
    assert found["bounds"]["uploaded"] > found["bounds"]["captured"] == pytest.approx(499.5)
    assert [way["name"] for way in found["ways"] if way["kind"] == "uploads"] == [
        "device to device, webp:40",
        "fog, webp:40",
    ]


def test_one_unlabelled_picture_is_planned_and_told(tmp_path):
    shown = invoke(fill(tmp_path / "cam", 1, labels=False), "--no-policy").stdout
    assert "no object can be kept sharp" in " ".join(shown.split())


def test_what_nothing_meets_says_the_best_possible(folder):
    said = " ".join(invoke(folder, "--object-db", 99, "--no-policy", code=1).output.split())
    assert "nothing meets what was asked" in said
    assert "--object-db 99.0: at best" in said
    assert "ask for less" in said


def test_what_is_asked_is_met(folder):
    found = told(folder, "--object-db", 30, "--background-db", 24, "--no-policy")
    for way in found["ways"]:
        if way["kind"] in ("ours", "control"):
            assert way["object_db"] >= 30
            assert way["background_db"] >= 24


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--radio", "0"], "--radio is '0', expected a rate above 0"),
        (["--radio", "-2MB/s"], "--radio is '-2MB/s', expected a rate above 0"),
        (["--radio", "nan"], "--radio is 'nan', expected a rate above 0"),
        (["--radio", "fast"], "--radio is 'fast', expected a rate above 0"),
        (["--receivers", "10"], "--receivers is 10, expected 1 to 9"),
        (["--receivers", "0"], "--receivers is 0, expected 1 to 9"),
        (["--devices", "1"], "--devices is 1, expected 2 or more"),
        (["--images", "0"], "--images is 0, expected 1 or more"),
        (["--images", "-5"], "--images is -5, expected 1 or more"),
        (["--share", "nan"], "--share is 'nan', expected a part"),
        (["--share", "0"], "--share is 0, expected more than 0"),
        (["--loss", "100%"], "--loss is 1, expected 0 or more and less than 1"),
        (["--loss", "many"], "--loss is 'many', expected a part"),
        (["--upload", "webp:10+50"], "--upload is 'webp:10+50', expected jpeg"),
        (["--upload", "png"], "--upload is 'png', expected jpeg"),
        (["--preset", "clip"], "give --clips beside another preset"),
        (["--preset", "none"], "no preset is named 'none'"),
        (["--preset", "siren", "--object-db", "30"], "cannot be asked by outcome"),
        (["--object-db", "nan"], "object-db is nan"),
    ],
)
def test_wrong_usage_names_the_option_before_any_work(folder, words, says):
    result = invoke(folder, *words, code=2)
    assert says in " ".join(result.output.split())


def test_folders_that_hold_nothing_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no .jpg" in " ".join(invoke(tmp_path / "empty", code=2).output.split())
    assert "is not a folder" in " ".join(invoke(tmp_path / "nowhere", code=2).output.split())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2MB/s", 2e6),
        ("500kB/s", 5e5),
        ("1.5Mbit/s", 187_500),
        ("1.5 Mbit/s", 187_500),
        ("2000000", 2e6),
        ("1e6", 1e6),
        ("0.5GB/s", 5e8),
        ("9600bit/s", 1_200),
    ],
)
def test_rates(text, value):
    assert rate(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "MB/s", "2 MiB/s", "inf", "1.2.3", "2MB/h", "1e999"])
def test_what_is_no_rate(text):
    with pytest.raises(ValueError, match="--radio is"):
        rate(text)


def test_parts_uploads_and_units():
    assert part("1%", "loss") == pytest.approx(0.01) == part("0.01", "loss")
    assert upload("jpeg") is None
    assert upload("jpeg:75").name == "jpeg:75"  # type: ignore[union-attr]
    assert [size(n) for n in (0, 999, 1_234, 123_456, 5_400_000)] == ["0 B", "999 B", "1.23 kB", "123 kB", "5.4 MB"]
    assert [duration(s) for s in (0, 0.184, 59, 600, 7_200, 400_000)] == [
        *("0", "0.184 s", "59 s", "10.0 min", "2.0 h", "4.6 d"),
    ]
