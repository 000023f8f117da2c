"""A training that is killed by SIGKILL at random moments ends with the model of one that was left alone."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device.results import finished_report
from storage.fleet import Fleet
from storage.fleet_file import fleet_toml
from tests.device.conftest import Bench, Scene

STARTED = """
import sys
import torch
torch.set_num_threads(1)
from device import reference_trainer
from device.job import DeviceJob, run
from device.own_pictures import Share
from rinr.training.train import TrainingSettings
from storage.fleet_file import load_fleet
reference_trainer.KEEP_EVERY = 2
print("ready", flush=True)
run(DeviceJob(load_fleet(sys.argv[1]).devices[0], TrainingSettings(epochs=6, batch_size=2), torch_device="cpu",
              own=Share(held_out=0.5)))
"""


@pytest.mark.drill
def test_killed_at_random_moments_a_training_ends_with_the_same_model(tiny, tmp_path, tell):
    """SIGKILL, again and again, from before the first step until after the report; compared with a run left alone."""
    chance = random.Random(2408)
    bench = Bench(tmp_path, tiny)
    bench.deliver([Scene.make(seed) for seed in range(6)])
    bench.capture([Scene.make(seed) for seed in range(20, 28)])
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=(bench.device,))))

    def start():
        command = [sys.executable, "-c", STARTED, str(fleet)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert process.stdout.readline() == b"ready\n"
        return process

    began = time.monotonic()
    assert start().wait(600) == 0
    seconds = time.monotonic() - began
    whole = finished_report(bench.device)
    model = (bench.home / "model.safetensors").read_bytes()
    kills = resumed = 0
    for _ in range(6):
        for path in bench.home.glob("*.*"):
            path.unlink()
        while True:
            process = start()
            try:
                process.wait(chance.uniform(0, seconds))
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        assert process.returncode == 0
        report = finished_report(bench.device)
        resumed += report.resumed_at > 0
        assert (bench.home / "model.safetensors").read_bytes() == model
        assert (report.key, report.losses, report.own) == (whole.key, whole.losses, whole.own)
        assert not (bench.home / "training").exists()
    tell(
        f"{kills} kills in 6 trainings, {resumed} of which ended after going on from a checkpoint; every model the same"
    )
    assert kills >= 4
