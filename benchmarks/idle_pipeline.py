"""What a scheduled pipeline costs that finds nothing new, beside a flow that does nothing, on one Prefect server.

    python -m benchmarks.idle_pipeline [--devices 10] [--images 100] [--rounds 5] [--json] [--record]

Claims: with all pictures of all devices taken, encoded, delivered and trained on, a run of `pipeline` as the schedule
starts it takes less than twice the processor time of an empty flow, makes one flow run and two task runs, and leaves
no artifact.

Both are processes of their own, as a worker starts them, in turn. Processor time is that of the process and what it
starts, and that of the server meanwhile; wall time is beside it, from the start of the process to its end.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import records
from rinr.encoder import encode
from rinr.presets import encoding_id, find_preset
from services.ports import free_port
from services.prefect_server import PrefectServer
from services.processes import Processes
from storage.delivery import candidates, deliver, waits
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.ingestion import has_news, ingest, read_frame
from storage.intake.validation import Validator
from storage.landing import sweep
from storage.outbox import Outbox
from storage.shards.acknowledgement import Acknowledgement, next_number, write_acknowledgement
from storage.shards.keyring import Keyring
from storage.store import Store
from storage.tables import now

PRESET = "instant"

EMPTY = """
from prefect import flow

@flow
def empty():
    pass

empty()
"""

PIPELINE = """
import sys
from flows.pipeline import pipeline

if __name__ == "__main__":
    state = pipeline(sys.argv[1], sys.argv[2], sys.argv[3], patience=0, return_state=True)
    assert state.message == "nothing new", state
"""

COUNT = """
import json
from prefect import get_client
with get_client(sync_client=True) as client:
    counts = {}
    for kind in ("flow_runs", "task_runs", "artifacts"):
        counts[kind] = client.request("POST", f"/{kind}/count", json={}).json()
print(json.dumps(counts))
"""


@dataclass(frozen=True)
class Cost:
    """Of one run.

    Attributes:
        process: seconds of processor time of its process.
        server: likewise of the server meanwhile.
        wall: seconds from its start to its end.
    """

    process: float
    server: float
    wall: float

    @property
    def all(self) -> float:
        """Seconds of processor time."""
        return self.process + self.server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=10, help="of the fleet (default 10)")
    parser.add_argument("--images", type=int, default=100, help="on each device (default 100)")
    parser.add_argument("--rounds", type=int, default=5, help="of both in turn (default 5)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of sentences")
    records.add_option(parser, "idle_pipeline")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = _measure(Path(place), options)
    if options.record:
        command = records.command("benchmarks.idle_pipeline")
        records.write("idle_pipeline", command, records.flat(figures), {"rounds": options.rounds})
    if options.json:
        print(json.dumps(figures))
        return
    for name in ("empty", "pipeline"):
        cost = figures[name]
        print(
            f"{name:9} {cost['process']:.2f} s of its process, {cost['server']:.2f} s of the server, "
            f"{cost['wall']:.2f} s to its end"
        )
    print(f"pipeline / empty: {figures['ratio']:.2f} in processor time, {figures['ratio_wall']:.2f} in wall time")
    print("one idle run leaves", ", ".join(f"{count} {kind}" for kind, count in figures["leaves"].items()))


def _measure(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    fleet, store = _settled(place, options.devices, options.images)
    server = PrefectServer(place / "prefect", free_port())
    processes = Processes(place)
    try:
        server.start(processes)
        server.wait(processes)
        (service,) = processes.services()
        runs: dict[str, list[Cost]] = {"empty": [], "pipeline": []}
        leaves: dict[str, int] = {}
        for number in range(options.rounds + 1):
            runs["empty"].append(_run(server, service.pid, EMPTY))
            before = _counts(server)
            runs["pipeline"].append(_run(server, service.pid, PIPELINE, str(fleet), store, PRESET))
            after = _counts(server)
            leaves = {kind.replace("_", " "): after[kind] - before[kind] for kind in after}
            if not number:  # the first ones fill caches
                runs = {"empty": [], "pipeline": []}
    finally:
        processes.stop_all()
    typical = {name: _median(costs) for name, costs in runs.items()}
    ratio = statistics.median(p.all / e.all for p, e in zip(runs["pipeline"], runs["empty"], strict=True))
    return {
        "devices": options.devices,
        "images": options.devices * options.images,
        "rounds": options.rounds,
        **{name: asdict(cost) for name, cost in typical.items()},
        "ratio": ratio,
        "ratio_wall": typical["pipeline"].wall / typical["empty"].wall,
        "leaves": leaves,
    }


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("process", "server", "wall")))


def _run(server: PrefectServer, pid: int, code: str, *arguments: str) -> Cost:
    began, used, busy = time.monotonic(), _children(), _processor_seconds(pid)
    _python(server, code, *arguments)
    return Cost(_children() - used, _processor_seconds(pid) - busy, time.monotonic() - began)


def _counts(server: PrefectServer) -> dict[str, int]:
    time.sleep(3)  # task runs are written down a moment after their run has ended
    found: dict[str, int] = json.loads(_python(server, COUNT))
    return found


def _python(server: PrefectServer, code: str, *arguments: str) -> str:
    environment = {**os.environ, **server.environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _settled(place: Path, devices: int, images: int) -> tuple[Path, str]:
    """A fleet and a store with nothing left to do: all taken, encoded, delivered, stored and trained on."""
    fleet = Fleet(devices=tuple(_device(place, number, images) for number in range(devices)))
    file = place / "fleet.toml"
    file.write_text(fleet_toml(fleet))
    keyring = Keyring(place / "keys")
    keyring.new()
    store, preset = Store(str(place / "store")), find_preset(PRESET)
    with Validator() as validator:
        for device in fleet.devices:
            ingest(device, store, validator=validator)
    frames = [read_frame(pending, store.url, {}) for pending in store.missing(encoding_id(preset))]
    store.append(encode(frames, preset))
    sweep(store, encoding_id(preset))
    offered = candidates(store, encoding_id(preset))
    for device in fleet.devices:
        sent = deliver(store, device, offered, keyring.signer()).sequence
        said = Acknowledgement(device.name, next_number(0), 1, sent, (), (), now(), report=b"{}")
        Outbox(device.outbox or f"{device.inbox}/outbox").write_acknowledgement(write_acknowledgement(said, None))
        deliver(store, device, offered, keyring.signer())
        assert not has_news(device, store)
        assert not waits(store, device, offered)
    return file, store.url


def _device(place: Path, number: int, images: int) -> Device:
    home = place / f"camera-{number}"
    storage = home / "storage"
    storage.mkdir(parents=True)
    random = np.random.default_rng(number)
    for index in range(images):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 48)).save(storage / f"{index:04}.jpg")
        os.utime(storage / f"{index:04}.jpg", (1_000, 1_000))
    return Device(name=home.name, storage=str(storage), inbox=str(home / "inbox"), home=str(home))


if __name__ == "__main__":
    main()
