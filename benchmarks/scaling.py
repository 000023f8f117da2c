"""Where a bigger fleet would wait: the Dask scheduler, the store's commits, Prefect's server, the flow's own process.

    python -m benchmarks.scaling [FOLDER ...] [--parts scheduler,flow,commits,waiting] [--json]

Beside what was done in a second of wall time stands the CPU time of the process that would be the bottleneck: its
inverse is the rate at which that process is busy all the time, whatever else the machine does, and cannot do more.

- **scheduler**: batches as large as real ones go to workers that hand back real results at once, without Prefect.
- **flow**: the same as a flow, two task runs a batch on a Prefect server on SQLite.
- **commits**: `Store.append` of real results under new ids by 1, 2 and 4 processes, of 64 and 512 rows each.
- **waiting**: `count_missing` and one round of `missing` in stores where so many images wait.
"""

import argparse
import hashlib
import json
import os
import pickle
import resource
import tempfile
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.dask_rig import (
    Load,
    Waiting,
    cluster,
    held_answer,
    make_waiting,
    own_cpu,
    prefect_server,
    say,
    watched_load,
)
from benchmarks.dask_scaling import lines_of
from rinr.codec.encoded import EncodedClip, EncodedImage
from rinr.presets import find_preset
from services.processes import Processes
from storage.ingestion import read_frame
from storage.store import Store
from storage.tables import Source

if TYPE_CHECKING:  # it imports Prefect, which has to know its server before
    from tasks.fitting import EncodedBatch

_A_BATCH = 64
_REAL = 16  # results that all else repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--parts", default="scheduler,flow,commits,waiting")
    parser.add_argument("--batches", type=int, default=400, help="of scheduler (default 400)")
    parser.add_argument("--task-runs", type=int, default=100, help="of flow: batches, two task runs each (default 100)")
    parser.add_argument("--commits", type=int, default=100, help="of commits, by all writers together (default 100)")
    parser.add_argument("--waiting", default="10000,100000", help="images that wait (default 10000,100000)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    options = parser.parse_args()
    parts = {"scheduler": scheduler, "flow": flow, "commits": commits, "waiting": waiting_images}
    results: dict[str, Any] = {}
    loads: list[Load] = []
    with tempfile.TemporaryDirectory() as place, prefect_server(Path(place)) as processes, watched_load(loads):
        (Path(place) / "real").mkdir()
        waiting = make_waiting(Path(place) / "real", options.folders, _A_BATCH)
        for part in options.parts.split(","):
            say(f"part {part}")
            folder = Path(place) / part
            folder.mkdir()
            results[part] = parts[part](folder, waiting, processes, options)
    results["load"] = [vars(load) for load in loads]
    if options.json:
        print(json.dumps(results))
        return
    for part, found in results.items():
        print(f"\n{part}\n")
        for line in lines_of(found):
            print(line)


def scheduler(place: Path, waiting: Waiting, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Batches a second, and what each costs the scheduler."""
    from distributed import Client

    batch = Store(waiting.url).missing("none")
    answer = _real_results(waiting)
    with cluster(processes, 2) as address, Client(address, set_as_default=False) as client:
        scratch = place / "answer.pickle"
        scratch.write_bytes(pickle.dumps(answer))
        client.gather([client.submit(held_answer, batch, str(scratch), -number) for number in range(1, 9)])
        pid = client.run_on_scheduler(os.getpid)
        out: deque[Any] = deque()
        used, own, started = _cpu(pid), _cpu(os.getpid()), time.perf_counter()
        for number in range(options.batches):
            out.append(client.submit(held_answer, batch, str(scratch), number))
            if len(out) >= 6:  # as the flow keeps out for two workers
                out.popleft().result()
        for future in out:
            future.result()
        wall = time.perf_counter() - started
        a_batch = (_cpu(pid) - used) / options.batches
        in_flow = (_cpu(os.getpid()) - own) / options.batches
    return {
        "images a batch": len(batch),
        "batches a second of wall time": round(options.batches / wall, 1),
        "CPU ms a batch of the scheduler": round(1000 * a_batch, 2),
        "CPU ms a batch of the process that submits": round(1000 * in_flow, 2),
        "batches a second that keep the scheduler busy": round(1 / a_batch),
    }


def flow(place: Path, waiting: Waiting, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """What a batch costs the flow's process, Prefect's server and the worker, where nothing is fitted."""
    from distributed import Client
    from prefect import flow as prefect_flow
    from prefect import task

    from tasks.cluster import task_runner
    from tasks.cluster_settings import ClusterSettings
    from tasks.in_flight import in_flight

    batch = Store(waiting.url).missing("none")
    scratch = place / "answer.pickle"
    scratch.write_bytes(pickle.dumps(_real_results(waiting)))
    fit = task(task_run_name="fit")(held_answer)

    @task(task_run_name="commit")
    def commit(encoded: "EncodedBatch") -> int:
        return encoded.size

    def flow_of(batches: int) -> None:
        for encoded in in_flight(lambda images: fit.submit(images, str(scratch), 0), iter([batch] * batches), most=6):
            commit(encoded)

    with cluster(processes, 2) as address, Client(address, set_as_default=False) as client:
        nothing = prefect_flow(flow_of, name="nothing", task_runner=task_runner(ClusterSettings(address=address)))
        nothing(8)
        server = next(service.pid for service in processes.services() if service.name == "server")
        used, own, started = _cpu(server), _cpu(os.getpid()), time.perf_counter()
        of_workers = sum(client.run(own_cpu).values())
        nothing(options.task_runs)
        wall = time.perf_counter() - started
        time.sleep(5)  # for what is told to the server after the end
        on_server = (_cpu(server) - used) / options.task_runs
        in_flow = (_cpu(os.getpid()) - own) / options.task_runs
        on_worker = (sum(client.run(own_cpu).values()) - of_workers) / options.task_runs
    return {
        "task runs a batch": 2,
        "batches a second of wall time": round(options.task_runs / wall, 2),
        "CPU ms a batch of Prefect's server": round(1000 * on_server, 1),
        "CPU ms a batch of the flow's process": round(1000 * in_flow, 1),
        "CPU ms a batch of the workers": round(1000 * on_worker, 1),
        "batches a second that keep the server busy": round(1 / on_server, 1),
        "batches a second that keep the flow's process busy": round(1 / in_flow, 1),
    }


def commits(place: Path, waiting: Waiting, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Commits a second by several processes, and CPU time of each commit."""
    answer = _real_results(waiting)
    found: dict[str, Any] = {}
    for rows in (64, 512):
        for writers in (1, 2, 4):
            url = str(place / f"{rows} {writers}")
            Store(url).create()
            each = options.commits // writers
            with ProcessPoolExecutor(writers, mp_context=get_context("spawn")) as pool:
                list(pool.map(_nothing, range(4 * writers)))
                started = time.perf_counter()
                spent = list(pool.map(_write, [(url, answer.images, rows, each, number) for number in range(writers)]))
                wall = time.perf_counter() - started
            if Store(url).summary().images != each * writers * rows:
                raise SystemExit("rows are missing")
            found[f"{rows} rows, {writers} writer(s)"] = {
                "commits a second of wall time": round(each * writers / wall, 1),
                "CPU ms a commit": round(1000 * sum(spent) / (each * writers), 1),
            }
            say(f"  {rows} rows, {writers} writer(s): {each * writers / wall:.1f} commits a second")
    return found


def waiting_images(place: Path, waiting: Waiting, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to count what is missing and to look up a round of it, and the memory it takes."""
    found = {}
    for count in map(int, options.waiting.split(",")):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found[f"{count:,} images wait"] = pool.submit(_look_up, str(place / str(count)), count).result()
        say(f"  {count:,} images: {found[f'{count:,} images wait']}")
    return found


def _look_up(url: str, count: int) -> dict[str, float]:
    from tasks.encode import ROUND

    store = Store(url)
    for start in range(0, count, 50_000):
        store.append([_source(number) for number in range(start, min(start + 50_000, count))])
    store = Store(url)
    started, used = time.perf_counter(), time.process_time()
    store.count_missing("none")
    counted, counted_cpu = time.perf_counter() - started, time.process_time() - used
    rounds = []
    for after in ("", "8"):
        started, used = time.perf_counter(), time.process_time()
        looked_up = len(store.missing("none", limit=ROUND, after=after))
        rounds.append((time.perf_counter() - started, time.process_time() - used, looked_up))
    return {
        "seconds to count": round(counted, 2),
        "CPU seconds to count": round(counted_cpu, 2),
        "seconds of a round": round(rounds[1][0], 2),
        "CPU seconds of a round": round(rounds[1][1], 2),
        "images of a round": rounds[1][2],
        "largest resident memory, MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _source(number: int) -> Source:
    modified = datetime(2026, 5, 1, tzinfo=UTC)
    return Source(
        image_id=hashlib.sha256(b"%d" % number).hexdigest(),
        labels_id=hashlib.sha256(b"labels %d" % number).hexdigest(),
        device=f"camera-{number % 100}",
        path=f"{number:08}.jpg",
        size=80_000,
        modified=modified,
        captured_at=modified,
        captured_from="file",
        labels='[[120.0,80.0,64.0,48.0,"car"],[300.0,200.0,30.0,60.0,"person"]]',
    )


@lru_cache
def _real_results(waiting: Waiting) -> "EncodedBatch":
    import torch

    from rinr.encoder import encode
    from tasks.fitting import EncodedBatch

    torch.set_num_threads(1)
    frames = [read_frame(pending, waiting.url, {}) for pending in Store(waiting.url).missing("none", limit=_REAL)]
    images = encode(frames, find_preset("instant"))
    # Of each its own copy: what is the same object would be sent once.
    copies = [replace(one, frame=replace(one.frame)) for _ in range(_A_BATCH // _REAL) for one in images]
    return EncodedBatch(len(copies), (EncodedClip(tuple(copies)),), ())


def _write(work: tuple[str, tuple[EncodedImage, ...], int, int, int]) -> float:
    url, images, rows, times, writer = work
    store = Store(url)
    began = time.process_time()
    spent = 0.0
    for number in range(times):
        batch = [
            replace(images[row % len(images)], image_id=hashlib.sha256(b"%d %d %d" % (writer, number, row)).hexdigest())
            for row in range(rows)
        ]
        began = time.process_time()
        if store.append(batch) != rows:
            raise RuntimeError("rows are missing")
        spent += time.process_time() - began
    return spent


def _nothing(number: int) -> None:
    time.sleep(0.2)


def _cpu(pid: int) -> float:
    used = psutil.Process(pid).cpu_times()
    return used.user + used.system


if __name__ == "__main__":
    main()
