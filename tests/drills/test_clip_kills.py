"""Encoding of clips that is killed by SIGKILL at random moments: every frame once, each decodes with what it shares."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rinr.codec.clip import part_id
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.metrics import psnr
from rinr.payload_folder import INDEX, parts_beside
from rinr.weights import parts_of
from storage.store import Store
from storage.tables import IMAGES, PARTS, SOURCES
from tests.rinr.cli.test_clip import camera
from tests.rinr.standing import still

STARTED = """
import torch
torch.set_num_threads(1)
from rinr.cli.main import app
print("ready", flush=True)
app()
"""
RUNS, FRAMES = 4, 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four runs of one camera, a minute apart."""
    names = [f"{run}-{number}" for run in range(RUNS) for number in range(FRAMES)]
    pictures = {name: still(int(name[0]), int(name[2])) for name in names}
    return camera(tmp_path / "cam", pictures, **{name: f"2026-05-01 12:0{name[0]}:0{name[2]}" for name in names})


def start(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", STARTED, *map(str, words)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def killed_until_done(seconds: float, *words: object) -> int:
    """Run a command again and again, killed at random moments, until it ends by itself; returns the kills."""
    chance, kills = random.Random(len(words)), 0
    while True:
        process = start(*words)
        try:
            process.communicate(timeout=chance.uniform(0, seconds / 2) if kills < 8 else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            continue
        assert process.returncode == 0
        return kills


def seconds_of(*words: object) -> float:
    process = start(*words)
    began = time.monotonic()
    assert process.wait(600) == 0
    return time.monotonic() - began


@pytest.mark.drill
def test_killed_at_random_moments_a_store_has_every_frame_once(folder, tmp_path, tell):
    seconds = seconds_of("encode", folder, "--store", tmp_path / "whole", "--preset", "clip")
    kills = killed_until_done(seconds, "encode", folder, "--store", tmp_path / "store", "--preset", "clip")
    whole, store = Store(str(tmp_path / "whole")), Store(str(tmp_path / "store"))
    rows = store.scan(IMAGES).to_pylist()
    assert Counter(row["image_id"] for row in rows) == Counter(whole.scan(IMAGES)["image_id"].to_pylist())
    parts = store.scan(PARTS).to_pylist()
    assert len({part["part_id"] for part in parts}) == len(parts)
    assert all(part["part_id"] == part_id(part["payload"]) for part in parts)
    paths = {row["image_id"]: row["path"] for row in store.scan(SOURCES).to_pylist()}
    for row in rows:
        decoded = decode(unpack_frame(row["payload"]), parts=parts_of(part["payload"] for part in parts))
        run, number = map(int, paths[row["image_id"]].removesuffix(".jpg").split("-"))
        assert psnr(still(run, number), decoded) > 17
    of_clips = sum(row["part_id"] is not None for row in rows)
    assert store.verify().findings == ()
    tell(f"{kills} kills; {len(rows)} frames once each, {of_clips} of them of {len(parts)} clips")


@pytest.mark.drill
def test_killed_at_random_moments_a_folder_has_every_frame_once(folder, tmp_path, tell):
    seconds = seconds_of("clip", "encode", folder, "--out", tmp_path / "whole")
    kills = killed_until_done(seconds, "clip", "encode", folder, "--out", tmp_path / "out")
    files = sorted((tmp_path / "out").glob("*.rinr"))
    assert [file.name for file in files] == sorted(file.name for file in (tmp_path / "whole").glob("*.rinr"))
    for file in files:
        frame = unpack_frame(file.read_bytes())
        run, number = map(int, file.stem.split("-"))
        assert psnr(still(run, number), decode(frame, parts=parts_beside(file, frame))) > 17
    named = {json.loads(line)["file"] for line in (tmp_path / "out" / INDEX).read_text().splitlines() if line}
    assert named == {file.name for file in files}
    assert start("clip", "encode", folder, "--out", tmp_path / "out").wait(600) == 0
    tell(f"{kills} kills; {len(files)} frames, {len(list((tmp_path / 'out').glob('*.rinrp')))} shared parts")
