"""Turns on a real server: one at a time, and soon after its holder was killed the next one has it."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from tests.flows.conftest import CHECKOUT, Place

pytestmark = [pytest.mark.drill, pytest.mark.server]

HOLD = """
import sys, time
from prefect import flow
from tasks.turns import turn

@flow
def hold(store, seconds):
    with turn("encode", store):
        print("begins", time.time(), flush=True)
        time.sleep(seconds)
        print("ends", time.time(), flush=True)

hold(sys.argv[1], float(sys.argv[2]))
"""


def start(place: Place, program: Path, seconds: float) -> subprocess.Popen[str]:
    program.write_text(HOLD)
    environment = {**os.environ, **place.environment, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, str(program), str(place.store), str(seconds)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def said(run: subprocess.Popen[str]) -> tuple[str, float]:
    assert run.stdout is not None
    what, at = run.stdout.readline().split()
    return what, float(at)


def test_turns_are_taken_one_after_another_and_given_back_by_the_killed(place: Place, tmp_path: Path) -> None:
    runs = [start(place, tmp_path / f"{number}.py", 2) for number in range(3)]
    times = sorted(tuple(said(run)[1] for _ in range(2)) for run in runs)
    for (_, ended), (began, _) in pairwise(times):
        assert ended <= began, "two had the turn at once"
    assert [run.wait(120) for run in runs] == [0, 0, 0]

    holder = start(place, tmp_path / "holder.py", 600)
    assert said(holder)[0] == "begins"
    waiting = start(place, tmp_path / "waiting.py", 0)
    time.sleep(10)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    killed = time.time()
    what, began = said(waiting)
    assert what == "begins"
    assert began > killed
    assert waiting.wait(120) == 0
    print(f"3 turns one after another; {began - killed:.0f} s after its holder was killed the next one had the turn")
