"""A hundred devices on the default SQLite, a thousand on PostgreSQL: no run lost, none doubled.

``RINR_DRILL_DEVICES`` in the environment changes how many devices the larger drill has.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.drills.postgres import postgres
from tests.drills.scale import Scale

pytestmark = pytest.mark.drill

WORKERS = 10
SIZES = (10, 30, 100)
LOCKED_SECONDS, FREE_SECONDS = 4.0, 3.0


def devices(count: int) -> list[str]:
    return [f"device-{number:04}" for number in range(count)]


@contextmanager
def locked_at_times(database: Path) -> Iterator[list[float]]:
    """Hold SQLite's write lock for some seconds, again and again; the list fills with how long each time."""
    held: list[float] = []
    stop = Event()

    def hold() -> None:
        with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                start = time.monotonic()
                stop.wait(LOCKED_SECONDS)
                connection.execute("ROLLBACK")
                held.append(time.monotonic() - start)
                stop.wait(FREE_SECONDS)

    thread = Thread(target=hold)
    thread.start()
    try:
        yield held
    finally:
        stop.set()
        thread.join()


def judge(scale: Scale, wanted: dict[str, list[str]]) -> None:
    """Each device has one completed run for each key that it was in, done once; all others were given up undone.

    Args:
        wanted: devices by key.
    """
    completed: dict[tuple[str, str], list[str]] = {}
    for run in scale.runs():
        key, device, _ = run["idempotency_key"].split(":")
        assert run["work_queue_name"] == run["parameters"]["name"] == device
        assert run["state_type"] in ("COMPLETED", "CRASHED"), run["state"]
        if run["state_type"] == "COMPLETED":
            completed.setdefault((key, device), []).append(run["id"])
    assert set(completed) == {(key, device) for key, names in wanted.items() for device in names}, "runs were lost"
    assert {len(ids) for ids in completed.values()} == {1}, "runs were doubled"
    done = sorted(run for ids in scale.noted().values() for run in ids)
    assert done == sorted(run for ids in completed.values() for run in ids), "a body was done twice, or not at all"


def test_scale_hundred_devices_on_sqlite(tmp_path: Path, tell: Callable[[str], None]) -> None:
    names = devices(100)
    wanted: dict[str, list[str]] = {}
    with Scale(tmp_path, names, WORKERS, every=10.0).running() as scale:
        per_device = {}
        for count in SIZES:
            # Light clients and workers in the same share at each size.
            key = f"size-{count}"
            wanted[key] = names[: count // 10] + names[WORKERS : WORKERS + count - count // 10]
            with scale.held_up():
                fan_out = scale.fan_out(wanted[key], key)
            waited, anew = scale.finish(fan_out, key)
            per_device[count] = fan_out.seconds / count
            tell(
                f"{count} devices: fan-out {fan_out.seconds:.1f} s, {per_device[count]:.3f} s a device; "
                f"all done {waited:.1f} s later, {anew} runs started anew"
            )
        tell(f"time a device at 100 over that at 10: {per_device[100] / per_device[10]:.2f}")
        with locked_at_times(scale.server.home / "prefect.db") as held:
            twice = [scale.start_fan_out(names, "locked") for _ in range(2)]
            first, second = (scale.end_fan_out(process) for process in twice)
        waited, anew = scale.finish(first, "locked")
        wanted["locked"] = names
        tell(
            f"100 devices, two fan-outs at once with one key, the database locked {len(held)} times for "
            f"{sum(held):.0f} s in all: {max(first.seconds, second.seconds):.1f} s; all done {waited:.1f} s later, "
            f"{anew} runs started anew"
        )
        judge(scale, wanted)
        now, peak = scale.memory()
        count = sum(map(len, wanted.values()))
        tell(f"{count} runs, none lost, none doubled; server {now} MiB, at most {peak} MiB")
    tell(f"light clients: {dict(scale.crowd)}")
    assert per_device[100] < 3 * per_device[10], "time a device grows with their number"


def test_scale_thousand_devices_on_postgresql(tmp_path: Path, tell: Callable[[str], None]) -> None:
    names = devices(int(os.environ.get("RINR_DRILL_DEVICES", "1000")))
    with postgres() as database:
        # As docs/operations.md has it for so many. At a worker's usual ten and thirty seconds, looks and signs of life
        # alone are 130 requests a second, and one server process answers some fifty.
        with Scale(tmp_path, names, WORKERS, every=120.0, heartbeat=300.0, database=database.url).running() as scale:
            before, _ = scale.memory()
            with scale.held_up():
                fan_out = scale.fan_out(names, "thousand")
            tell(f"{len(names)} runs created in {fan_out.seconds:.0f} s: {len(names) / fan_out.seconds:.1f} a second")
            waited, anew = scale.finish(fan_out, "thousand")
            judge(scale, {"thousand": names})
            now, peak = scale.memory()
            tell(f"all done {waited:.0f} s later, {anew} runs started anew, none lost, none doubled")
            tell(f"server: {before} MiB before, {now} MiB after, {peak} MiB at most")
        tell(f"light clients: {dict(scale.crowd)}")
