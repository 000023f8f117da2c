import os
import subprocess
import sys
import threading

import pytest

from device.home import HomeError, alone, write_durably

HOLD = """
import sys, time
from device.home import alone
from storage.fleet import Device
home = sys.argv[1]
with alone(Device(name="a", storage="/s", inbox="/i", home=home)):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_job_at_a_time_and_a_killed_one_is_no_hindrance(bench):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(bench.home)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert holder.stdout.readline() == "held\n"
        waiting, entered = threading.Event(), threading.Event()

        def enter():
            with alone(bench.device, lambda *told: waiting.set()):
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert waiting.wait(60)
        assert not entered.is_set()
        holder.kill()
        assert entered.wait(60)
        thread.join(60)
    finally:
        holder.kill()
        holder.wait()


def test_a_home_that_cannot_be_made_says_what_to_check(bench):
    (bench.folder / "home").write_text("a file")
    with pytest.raises(HomeError, match="check `home` of cam-b in the fleet file"), alone(bench.device):
        pass


def test_a_write_that_fails_leaves_what_stood_there(tmp_path, monkeypatch):
    path = tmp_path / "a"
    write_durably(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("device.home.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
