"""Whole demos on a few small pictures: a kill in the middle, SIGTERM, broken files, a device's worth of trouble."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.processes import Processes
from storage.store import Store
from storage.tables import IMAGES, QUARANTINE
from tests.conftest import jpeg, picture

pytestmark = [pytest.mark.drill, pytest.mark.server]

FRAMES = 4
DEVICES = ("a", "b")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, name in enumerate(DEVICES):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        names = [f"{index}.jpg" for index in range(FRAMES)]
        for index, file in enumerate(names):
            (folder / file).write_bytes(jpeg(picture(10 * number + index, 160, 120)))
        document = {
            "images": [{"id": i, "file_name": file, "width": 160, "height": 120} for i, file in enumerate(names)],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "bbox": [50, 38, 14, 14]} for i in range(FRAMES)
            ],
            "categories": [{"id": 1, "name": "square"}],
        }
        (folder / "annotations.json").write_text(json.dumps(document))
    return tmp_path / "data"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "demo"
    Processes(tmp_path / "demo").stop_all()


def start(data: Path, out: Path) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", "from rinr.cli.main import app; app()"]
    command = [*program, "demo", "--data", str(data), "--out", str(out), "--epochs", "2"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(demo: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = demo.communicate(timeout=400)
    return demo.returncode, said


def until_rows(out: Path, count: int, demo: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while Store(str(out / "store")).scan(IMAGES, ["image_id"]).num_rows < count:
        assert demo.poll() is None, demo.communicate()[0]
        assert time.monotonic() < end, "no rows in time"
        time.sleep(0.1)


def assert_complete(out: Path) -> None:
    rows = Store(str(out / "store")).scan(IMAGES, ["image_id", "labels_id", "encoding_id"]).to_pylist()
    assert len(rows) == len({tuple(row.values()) for row in rows}) == FRAMES * len(DEVICES)
    report = json.loads((out / "report.json").read_text())
    assert report["failures"] == []
    assert sorted(result["device"] for result in report["devices"]) == list(DEVICES)
    assert [stage["name"] for stage in report["stages"]] == ["ingest", "encode", "deliver", "compare", "train"]
    assert (out / "mosaic.png").read_bytes().startswith(b"\x89PNG")
    assert Processes(out).alive() == []


def test_killed_in_the_middle_it_finishes_the_next_time_and_no_row_is_lost_or_doubled(data: Path, out: Path) -> None:
    demo = start(data, out)
    until_rows(out, 1, demo)
    os.kill(demo.pid, signal.SIGKILL)
    demo.communicate()
    assert Processes(out).alive(), "the server and the workers outlive a killed demo"
    code, said = finish(start(data, out))
    assert code == 0, said
    assert "was not finished: it goes on" in said
    assert "left over from an earlier demo: stopping" in said
    assert_complete(out)

    code, said = finish(start(data, out))
    assert code == 0, said
    assert "is finished: it is replaced" in said
    assert_complete(out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_everything(data: Path, out: Path, number: signal.Signals, code: int) -> None:
    demo = start(data, out)
    until_rows(out, 1, demo)
    demo.send_signal(number)
    returned, said = finish(demo)
    assert returned == code, said
    assert "the same command goes on from here" in said
    assert Processes(out).alive() == []


def test_broken_files_are_set_aside_and_the_rest_goes_on(data: Path, out: Path) -> None:
    (data / "a" / "text.jpg").write_text("no picture")
    code, said = finish(start(data, out))
    assert code == 0, said
    assert "1 files were refused" in said
    assert_complete(out)
    assert Store(str(out / "store")).scan(QUARANTINE, ["path"])["path"].to_pylist() == ["text.jpg"]


def test_a_demo_without_labels_fails_and_says_which_stage_and_why(data: Path, out: Path) -> None:
    for name in DEVICES:
        (data / name / "annotations.json").unlink()
    code, said = finish(start(data, out))
    assert code == 1
    assert "train: a:" in said
    assert "annotations.json" in said
    assert "Traceback" not in said
    assert Processes(out).alive() == []


def test_a_demo_behind_a_password(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "operator:planted-password")
    code, said = finish(start(data, out))
    assert code == 0, said
    assert_complete(out)
    logs = [path for path in out.rglob("*") if path.is_file() and b"planted-password" in path.read_bytes()]
    assert logs == []
