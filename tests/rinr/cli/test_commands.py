import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from rinr import presets
from rinr.cli.console import safe_stem
from rinr.cli.main import app
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.metrics import psnr
from tests.conftest import jpeg, picture

run = CliRunner()


@pytest.fixture(autouse=True)
def tiny_preset(monkeypatch, tiny):
    monkeypatch.setattr(presets, "PRESETS", (*presets.PRESETS, tiny))


@pytest.fixture
def folder(tmp_path) -> Path:
    return labelled(tmp_path / "cam-1", 3)


def labelled(path: Path, count: int, start: int = 0) -> Path:
    path.mkdir(parents=True)
    names = [f"frame{index}.jpg" for index in range(start, start + count)]
    for index, name in enumerate(names, start):
        (path / name).write_bytes(jpeg(picture(index)))
    document = {
        "images": [{"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [19, 14, 12, 12]} for i in range(count)],
        "categories": [{"id": 1, "name": "square"}],
    }
    (path / "annotations.json").write_text(json.dumps(document))
    return path


def payload_files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.rinr"))


def invoke(*words, code=0):
    result = run.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_payload_files_without_a_store(folder, tmp_path):
    invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "payloads")
    files = payload_files(tmp_path / "payloads")
    assert [f.name for f in files] == ["frame0.rinr", "frame1.rinr", "frame2.rinr"]
    invoke("decode", tmp_path / "payloads", "--out", tmp_path / "pngs")
    for index, file in enumerate(files):
        png = np.asarray(Image.open(tmp_path / "pngs" / f"frame{index}.png"))
        assert np.array_equal(png, decode(unpack_frame(file.read_bytes())))
        original = np.asarray(Image.open(io.BytesIO((folder / f"frame{index}.jpg").read_bytes())))
        assert psnr(original, png) > 20


def test_a_store_and_back(folder, tmp_path):
    store = tmp_path / "store"
    invoke("encode", folder, "--preset", "tiny", "--store", store)
    told = json.loads(invoke("info", "--store", store, "--json").output)
    assert set(told) == {
        "images",
        "bytes_total",
        "bytes_background",
        "bytes_objects",
        "bytes_overhead",
        "bytes_shared",
        "background_db",
        "object_db",
        "families",
    }
    assert told["images"] == 3
    assert told["families"] == ["siren"]
    assert told["bytes_total"] == told["bytes_background"] + told["bytes_objects"] + told["bytes_overhead"]
    assert told["object_db"] > 20
    assert "an image" in invoke("info", "--store", store).output
    invoke("decode", "--store", store, "--out", tmp_path / "pngs")
    assert sorted(f.name for f in (tmp_path / "pngs").iterdir()) == ["frame0.png", "frame1.png", "frame2.png"]
    # The same again is nothing new.
    assert "nothing new" in invoke("encode", folder, "--preset", "tiny", "--store", store).output
    assert json.loads(invoke("info", "--store", store, "--json").output) == told


def test_several_devices_are_decoded_to_a_folder_each(tmp_path):
    labelled(tmp_path / "fleet" / "Cam A", 1)
    labelled(tmp_path / "fleet" / "cam-b", 2, start=5)
    invoke("encode", tmp_path / "fleet", "--preset", "tiny", "--store", tmp_path / "store")
    invoke("decode", "--store", tmp_path / "store", "--out", tmp_path / "pngs")
    pngs = sorted(f.relative_to(tmp_path / "pngs").as_posix() for f in (tmp_path / "pngs").rglob("*.png"))
    assert pngs == ["cam-a/frame0.png", "cam-b/frame5.png", "cam-b/frame6.png"]


def test_the_same_picture_twice_is_one_row_and_two_pngs(folder, tmp_path):
    (folder / "twin.jpg").write_bytes((folder / "frame0.jpg").read_bytes())
    (folder / "annotations.json").unlink()
    invoke("encode", folder, "--preset", "tiny", "--store", tmp_path / "store")
    assert json.loads(invoke("info", "--store", tmp_path / "store", "--json").output)["images"] == 3
    invoke("decode", "--store", tmp_path / "store", "--out", tmp_path / "pngs")
    assert len(list((tmp_path / "pngs").iterdir())) == 4


def test_broken_files_are_refused_by_name_and_the_rest_goes_on(folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no picture")
    result = invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "payloads", code=3)
    assert "broken.jpg" in result.stderr
    assert len(payload_files(tmp_path / "payloads")) == 3
    result = invoke("encode", folder, "--preset", "tiny", "--store", tmp_path / "store", code=3)
    assert "broken.jpg" in result.stderr
    assert json.loads(invoke("info", "--store", tmp_path / "store", "--json").output)["images"] == 3


def test_a_mosaic_of_stored_and_of_fresh_frames(folder, tmp_path):
    invoke("encode", folder, "--preset", "tiny", "--store", tmp_path / "store")
    for source in (("--store", tmp_path / "store"), ("--preset", "tiny")):
        invoke("mosaic", folder, *source, "--frames", 2, "--out", tmp_path / "m.png")
        assert Image.open(tmp_path / "m.png").width > 1_000


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["encode", "nowhere", "--out", "x"], 2, "nowhere is not a folder"),
        (["encode", "."], 2, "either --store URL or --out DIR"),
        (["encode", ".", "--out", "x", "--preset", "quick"], 2, "fast, paper"),
        (["encode", ".", "--out", "x", "--device", "abacus"], 2, "'abacus' cannot be used here"),
        (["encode", ".", "--out", "x", "--preset", "fast", "--object-db", "33"], 2, "presets that can: balanced"),
        (["encode", ".", "--out", "x", "--max-bytes", "0"], 2, "max-bytes is 0, expected more than 0"),
        (["inspect"], 2, "either payload files"),
        (["inspect", "nothing.rinr"], 2, "nothing.rinr cannot be read"),
        (["inspect", "--store", "nowhere"], 2, "with --image ID"),
        (["inspect", "a.jpg"], 1, "a.jpg: frame payload: magic is"),
        (["decode"], 2, "either payload files or --store"),
        (["decode", "nothing.rinr"], 2, "nothing.rinr does not exist"),
        (["decode", "--store", "/proc/nowhere"], 1, "/proc/nowhere"),
        (["mosaic", "nowhere"], 2, "nowhere is not a folder"),
    ],
)
def test_wrong_usage_is_one_clear_line(words, code, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(jpeg(picture()))
    result = run.invoke(app, words)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_a_place_that_cannot_be_written_is_one_clear_line(folder, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = invoke("encode", folder, "--preset", "tiny", "--store", tmp_path / "file", code=1)
    assert "file" in result.stderr
    assert "Traceback" not in result.output
    result = invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "file", code=1)
    assert "file" in result.stderr
    assert "Traceback" not in result.output


def test_damaged_payload_files_are_refused_by_name(folder, tmp_path):
    invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "payloads")
    damaged = tmp_path / "payloads" / "frame1.rinr"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    result = invoke("decode", tmp_path / "payloads", "--out", tmp_path / "pngs", code=3)
    assert "frame1.rinr" in result.stderr
    assert sorted(f.name for f in (tmp_path / "pngs").iterdir()) == ["frame0.png", "frame2.png"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.jpg", "a"),
        ("x/y/b-1_2.3.jpg", "b-1_2.3"),
        ("ü.jpg", "ID"),
        ("..jpg", "ID"),
        ("a b.jpg", "ID"),
        ("x" * 101, "ID"),
    ],
)
def test_names_choose_no_path(name, stem):
    assert safe_stem(name, "ID") == stem


def test_the_core_needs_no_store_no_flows_and_no_dask(folder, tmp_path):
    blocked = ("prefect", "dask", "distributed", "deltalake", "fsspec", "pycocotools", "matplotlib", "safetensors")
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r} and not (name.startswith("fsspec") and any(
            "torch" in f.f_code.co_filename for f in self.frames())):
            raise ModuleNotFoundError(name, name=name)
    def frames(self):
        f = sys._getframe()
        while f:
            yield f
            f = f.f_back
sys.meta_path.insert(0, Refuse())
from rinr.cli.main import app
app(["encode", {str(folder)!r}, "--out", {str(tmp_path / "out")!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(payload_files(tmp_path / "out")) == 3
    refused = subprocess.run(
        [sys.executable, "-c", code.replace('"--out"', '"--store"')], capture_output=True, text=True, timeout=300
    )
    assert refused.returncode == 1
    assert "residual-inr[fog]" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_encode_and_decode_say_the_same_to_programs(folder, tmp_path):
    (folder / "broken.jpg").write_bytes(b"no picture")
    told = json.loads(invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "p", "--json", code=3).stdout)
    files = payload_files(tmp_path / "p")
    assert (told["images"], told["refused"]) == (3, 1)
    assert told["bytes_total"] == sum(file.stat().st_size for file in files)
    told = json.loads(invoke("decode", tmp_path / "p", "--out", tmp_path / "pngs", "--json").stdout)
    assert told == {"pictures": 3, "refused": 0}


def test_inspect_says_the_same_to_people_and_programs(folder, tmp_path):
    invoke("encode", folder, "--preset", "tiny", "--out", tmp_path / "p")
    file = tmp_path / "p" / "frame0.rinr"
    told = json.loads(invoke("inspect", file, "--json").stdout)
    assert sum(share["bytes"] for share in told["shares"]) == told["bytes"] == file.stat().st_size
    said = invoke("inspect", file).stdout
    assert "12x12 at 19,14" in said
    assert "square" in said
    for share in told["shares"]:
        assert share["part"] in said
    assert len(invoke("inspect", tmp_path / "p", "--json").stdout.splitlines()) == 3
    file.write_bytes(file.read_bytes()[:-3])
    refused = invoke("inspect", tmp_path / "p", "--json", code=3)
    assert "frame0.rinr" in refused.stderr
    assert len(refused.stdout.splitlines()) == 2


def test_inspect_finds_rows_of_a_store(folder, tmp_path):
    store = tmp_path / "store"
    invoke("encode", folder, "--preset", "tiny", "--store", store)
    image_id = hashlib.sha256((folder / "frame0.jpg").read_bytes()).hexdigest()
    told = json.loads(invoke("inspect", "--store", store, "--image", image_id[:12], "--json").stdout)
    assert told["payload"].startswith(f"{image_id} tiny ")
    assert "no image whose id starts with zz" in invoke("inspect", "--store", store, "--image", "zz", code=1).stderr


def test_encode_by_outcome_says_what_was_picked_and_why(folder, tmp_path):
    asked = ("--object-db", 30, "--background-db", 28)
    told = json.loads(invoke("encode", folder, *asked, "--out", tmp_path / "p", "--json").stdout)
    assert (told["images"], told["fell_short"]) == (3, 0)
    lines = [json.loads(line) for line in (tmp_path / "p" / "encoded.jsonl").read_text().splitlines()]
    for line in lines:
        assert line["object_db"] >= 30
        assert line["background_db"] >= 28
        assert line["stopped"] == "background-db 28 reached; object-db 30 reached"
        assert line["picked"].startswith("cosine step ")
    short = invoke("encode", folder, "--max-bytes", 10, "--store", tmp_path / "store")
    assert "3 of them fell short" in short.stderr
    # Another ask is another encoding: nothing that is there is taken for it.
    assert "3 frames encoded" in invoke("encode", folder, "--max-bytes", 200, "--store", tmp_path / "store").stdout
