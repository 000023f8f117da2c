"""Stopped and called again, ``rinr encode`` keeps every finished image and encodes only what is lacking."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from rinr.cli import encode as encode_command
from rinr.cli.main import app
from rinr.payload_folder import INDEX
from tests.conftest import jpeg, picture
from tests.rinr.cli.test_commands import labelled

run = CliRunner()


def encode(folder: Path, out: Path, *words: str) -> dict:
    result = run.invoke(app, ["encode", str(folder), "--out", str(out), "--json", *words])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def times(path: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in path.glob("*.rinr")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return labelled(tmp_path / "cam", 4)


def test_the_same_again_is_nothing_new(folder, tmp_path):
    out = tmp_path / "out"
    assert encode(folder, out)["images"] == 4
    before = times(out)
    told = encode(folder, out)
    assert (told["images"], told["kept"]) == (0, 4)
    assert times(out) == before


def test_only_what_changed_is_encoded_again(folder, tmp_path):
    out = tmp_path / "out"
    encode(folder, out)
    before = times(out)
    # A new picture, new labels, a payload that was damaged and one that was removed.
    (folder / "frame0.jpg").write_bytes(jpeg(picture(99)))
    labels = json.loads((folder / "annotations.json").read_text())
    labels["annotations"][1]["bbox"] = [5, 5, 20, 20]
    (folder / "annotations.json").write_text(json.dumps(labels))
    (out / "frame2.rinr").write_bytes((out / "frame2.rinr").read_bytes()[:-1])
    told = encode(folder, out)
    assert (told["images"], told["kept"]) == (3, 1)
    assert {name for name, when in times(out).items() if when == before[name]} == {"frame3.rinr"}
    (out / "frame3.rinr").unlink()
    assert encode(folder, out)["images"] == 1


def test_other_settings_are_encoded_again(folder, tmp_path):
    out = tmp_path / "out"
    encode(folder, out)
    assert encode(folder, out, "--max-bytes", "300")["images"] == 4
    assert encode(folder, out, "--max-bytes", "300")["images"] == 0
    assert encode(folder, out)["images"] == 4


def test_a_line_that_was_cut_short_costs_one_image(folder, tmp_path):
    out = tmp_path / "out"
    encode(folder, out)
    index = out / INDEX
    index.write_bytes(index.read_bytes()[:-20])
    assert encode(folder, out)["images"] == 1
    assert encode(folder, out)["images"] == 0
    index.write_bytes(b"\xff\xfe[1, 2]\nnull\n" + index.read_bytes())
    assert encode(folder, out)["images"] == 0


def test_two_folders_of_equal_names_and_two_files_of_one_stem(tmp_path):
    labelled(tmp_path / "fleet" / "a", 2)
    labelled(tmp_path / "fleet" / "b", 2)
    (tmp_path / "fleet" / "a" / "frame0.jpeg").write_bytes(jpeg(picture(7)))
    (tmp_path / "fleet" / "a" / "frame0.JPG").write_bytes(b"broken")
    out = tmp_path / "out"
    for images in (5, 0):
        result = run.invoke(app, ["encode", str(tmp_path / "fleet"), "--out", str(out), "--json"])
        assert result.exit_code == 3
        assert json.loads(result.stdout)["images"] == images
        assert len(list(out.rglob("*.rinr"))) == 5


def test_batches_grow_to_the_seconds_they_may_take(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(encode_command.time, "perf_counter", lambda: now[0])

    class Job:
        device, jobs, frames, passed = "cpu", 2, 60, 0
        pools: ClassVar[list] = []

        def encode(self, frames, tell, pool):
            self.pools.append(pool)
            now[0] += 0.3 * len(frames)
            return frames

    started = []
    monkeypatch.setattr(encode_command, "EncoderPool", lambda jobs: started.append(jobs) or nullcontext())
    job, sizes = Job(), []
    with encode_command._Batches(2.0, job) as batches:
        for _ in range(5):
            sizes.append(batches.size)
            job.passed += len(batches.run([None] * batches.size, job, None))
    assert sizes == [1, 2, 4, 6, 6]
    # Sixty frames of 0.3 s are worth further processes: from the second batch on, and one set of them.
    assert started == [2]
    assert job.pools[0] is None
    assert None not in job.pools[1:]


@pytest.mark.parametrize(
    ("into", "number", "code"),
    [("--out", signal.SIGINT, 130), ("--store", signal.SIGINT, 130), ("--out", signal.SIGTERM, 143)],
)
def test_a_stop_keeps_what_is_finished(into, number, code, tmp_path):
    frames = 24
    folder, place = labelled(tmp_path / "cam", frames), tmp_path / "place"
    words = ["encode", str(folder), into, str(place)]
    # Batches of one frame, so that some are finished long before all are.
    # Shells start what runs in the background deaf to Ctrl-C, and it is inherited: whoever runs the tests, it is heard.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from rinr.cli import encode; encode.FILES_SECONDS = encode.STORE_SECONDS = 0.01; "
    program += "from rinr.cli.main import app; app()"
    running = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    first = "*.rinr" if into == "--out" else "images/_delta_log/*1.json"
    deadline = time.monotonic() + 120
    while not list(place.glob(first)):
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline, "no image was finished"
        time.sleep(0.01)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == code, said
    assert "Traceback" not in said
    (kept,) = [int(line.split()[1]) for line in said.splitlines() if line.startswith("stopped:")]
    assert 1 <= kept < frames
    assert f"stopped: {kept} of {frames} frames are kept" in said
    assert "the same command goes on from there" in said
    if into == "--out":
        assert kept == len(list(place.glob("*.rinr"))) == len((place / INDEX).read_text().splitlines())
    result = run.invoke(app, [*words, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == frames - kept
