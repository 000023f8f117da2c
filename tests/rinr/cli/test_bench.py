import json
from statistics import mean, median

import pytest
from PIL import Image
from typer.testing import CliRunner

from rinr.cli.main import app
from rinr.controls import CONTROLS, describe
from rinr.encoder import encode
from rinr.folders import labelled_folders
from rinr.presets import find_preset
from tests.conftest import jpeg, picture

run = CliRunner()


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "cam-1"
    path.mkdir()
    names = [f"frame{index}.jpg" for index in range(3)]
    for index, name in enumerate(names):
        (path / name).write_bytes(jpeg(picture(index)))
    document = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [19, 14, 12, 12]} for i in range(3)],
        "categories": [{"id": 1, "name": "square"}],
    }
    (path / "annotations.json").write_text(json.dumps(document))
    return path


def invoke(*words, code=0):
    result = run.invoke(app, ["bench", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


def test_the_table_has_the_captured_the_controls_and_each_of_ours(folder):
    told = json.loads(invoke(folder, "--preset", "webp:30+70", "--preset", "balanced", "--json").stdout)
    names = [row["name"] for row in told["rows"]]
    controls = [describe(find_preset(name)) for name in CONTROLS]
    assert names == ["captured JPEG", *controls, "ours, webp:30+70", "ours, balanced"]
    shown = invoke(folder, "--preset", "webp:30+70", "--preset", "balanced").stdout
    for name in names:
        assert name in shown


def test_rows_are_what_encoding_gives(folder):
    (labelled,) = labelled_folders(folder)
    images = encode([labelled.frame(file) for file in labelled.files], find_preset("webp:30+70"))
    row = json.loads(invoke(folder, "--preset", "webp:30+70", "--json").stdout)["rows"][-1]
    sizes = [image.frame.bytes_total for image in images]
    assert (row["bytes_a_frame"], row["median_bytes"]) == (mean(sizes), median(sizes))
    assert row["background_db"] == pytest.approx(mean(image.background_db for image in images))
    assert row["object_db"] == pytest.approx(mean(image.object_db for image in images))
    captured = json.loads(invoke(folder, "--frames", 2, "--json").stdout)["rows"][0]
    assert captured["bytes_a_frame"] == mean((folder / f"frame{i}.jpg").stat().st_size for i in (0, 1))


def test_curves_are_written_and_their_rates_told(folder, tmp_path):
    words = (folder, "--frames", 1, "--preset", "webp:30+70", "--curves", tmp_path / "made" / "here")
    shown = invoke(*words).stdout
    assert "BD-rate" in shown
    assert Image.open(tmp_path / "made" / "here" / "curves.png").format == "PNG"
    curves = json.loads((tmp_path / "made" / "here" / "curves.json").read_text())
    assert curves[-1]["name"] == "ours, webp:30+70"
    assert [point["preset"] for point in curves[-1]["points"]][2] == "webp:30+70"
    assert json.loads(invoke(*words, "--json").stdout)["curves"] == curves


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["{folder}", "--preset", "webp:200"], 2, "webp:10/4+80"),
        (["{folder}", "nowhere"], 2, "nowhere is not a folder"),
        (["{folder}", "--curves", "{folder}/frame0.jpg"], 1, "cannot write curves"),
        (["{folder}", "--device", "abacus"], 2, "'abacus' cannot be used here"),
    ],
)
def test_wrong_usage_is_one_clear_line(folder, words, code, says):
    result = invoke(*(word.format(folder=folder) for word in words), "--frames", 1, code=code)
    assert says in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_pictures_that_cannot_be_read_are_named_and_left_out(folder):
    (folder / "broken.jpg").write_bytes(b"no picture")
    result = invoke(folder, "--preset", "jpeg:50", "--json")
    assert "broken.jpg" in result.stderr
    assert json.loads(result.stdout)["rows"][0]["frames"] == 3
    for name in ("frame0", "frame1", "frame2"):
        (folder / f"{name}.jpg").unlink()
    assert "none of the files" in invoke(folder, code=1).stderr


def test_neural_controls_take_no_fewer_bytes_than_ours(folder):
    told = json.loads(invoke(folder, "--preset", "instant", "--neural", "--frames", 2, "--json").stdout)
    ours, rapid, direct = told["rows"][-3:]
    assert [row["name"] for row in (rapid, direct)] == [
        "rapid, at the bytes of instant",
        "direct, at the bytes of instant",
    ]
    assert min(rapid["bytes_a_frame"], direct["bytes_a_frame"]) >= 0.99 * ours["bytes_a_frame"]
    # One network for all has no sharper object than one that has its own.
    assert rapid["object_db"] < ours["object_db"]
