"""The flow `encode` on Dask workers, as ratios to plain encoding in the same run.

    python -m benchmarks.dask_scaling [FOLDER ...] [--parts scaling,overhead,bytes] [--json] [--record]
    python -m benchmarks.dask_scaling --gpu [--images 512] [--preset balanced]

Claims:

- **scaling**: two workers encode at 1.6 times the rate of one or better. Control: two plain processes against one.
- **overhead**: what a batch takes on its worker beyond the plain `encode` of its frames is under 5 % of that with the
  preset `balanced`: reading, scheduling, the task run's states, the way back. CPU seconds stand beside wall seconds,
  which on a machine that others use as well say little.
- **bytes**: a batch of 512 images moves at most 1.2 times the bytes of its JPEGs and payloads. Counted is all that the
  flow's process, the scheduler and the worker write to their Dask connections from the run's first task to its last,
  heartbeats and all, and the landed JPEGs that the worker reads. A result that goes from worker to scheduler and from
  there to the flow counts twice. Not counted is what Prefect's clients tell their server.

``--gpu`` encodes on one GPU worker through the same task body, and decodes all payloads on the CPU.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import records
from benchmarks.dask_rig import ByteCounter, Load, Waiting, cluster, make_waiting, prefect_server, say, watched_load
from services.processes import Processes
from storage.store import Store
from storage.tables import IMAGES

_WARM = 2  # images a worker encodes before it is timed: it imports torch then


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA, or the sample")
    parser.add_argument("--parts", default="scaling,overhead,bytes")
    parser.add_argument("--preset", default="balanced", help="of scaling, overhead and --gpu (default balanced)")
    parser.add_argument("--images", type=int, default=192, help="of scaling (default 192; with --gpu 512)")
    parser.add_argument("--batch", type=int, default=16, help="images a batch of scaling and overhead (default 16)")
    parser.add_argument("--batches", type=int, default=6, help="of overhead, each round (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="of scaling and overhead, the sides in turn (default 3)")
    parser.add_argument("--bytes-preset", default="balanced", help="of bytes (default balanced)")
    parser.add_argument("--bytes-images", type=int, default=512, help="of bytes (default 512)")
    parser.add_argument("--gpu", action="store_true", help="encode on the GPU of this machine instead")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    records.add_option(parser, "dask_scaling")
    options = parser.parse_args()
    parts = {"scaling": scaling, "overhead": overhead, "bytes": moved}
    wanted = ["gpu"] if options.gpu else options.parts.split(",")
    if options.gpu and not _has_gpu():
        print(json.dumps({"gpu": None}) if options.json else "no GPU here")
        return
    results: dict[str, Any] = {}
    loads: list[Load] = []
    with tempfile.TemporaryDirectory() as place, prefect_server(Path(place)) as processes, watched_load(loads):
        for part in wanted:
            say(f"part {part}")
            folder = Path(place) / part
            folder.mkdir()
            results[part] = (gpu if options.gpu else parts[part])(folder, processes, options)
    results["load"] = [vars(load) for load in loads]
    if options.record:
        settings, command = {"batch": options.batch}, records.command("benchmarks.dask_scaling")
        records.write("dask_scaling", command, records.flat(results), settings)
    if options.json:
        print(json.dumps(results))
        return
    for part, found in results.items():
        print(f"\n{part}\n")
        for line in lines_of(found):
            print(line)


def scaling(place: Path, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Images a second of the flow on one worker and on two, in turn; and of plain processes on the same frames."""
    waiting = make_waiting(place, options.folders, options.images)
    seconds: dict[str, list[float]] = {"one": [], "two": [], "plain one": [], "plain two": []}
    with cluster(processes, 1) as one, cluster(processes, 2) as two:
        for address, workers in ((one, 1), (two, 2)):
            _warm(place, address, workers, options)
        for number in range(options.rounds):
            for name, address in (("one", one), ("two", two)):
                store = waiting.copy(place / f"{name} {number}")
                seconds[name].append(_timed_flow(waiting, store, address, options.preset, options.batch))
                say(f"  {name} worker(s): {waiting.images / seconds[name][-1]:.2f} images a second")
            for name, jobs in (("plain one", 1), ("plain two", 2)):
                seconds[name].append(_plain(waiting, options.preset, jobs)["wall"])
                say(f"  {name} process(es): {waiting.images / seconds[name][-1]:.2f} images a second")
    rates = {name: waiting.images / median(found) for name, found in seconds.items()}
    return {
        "images": waiting.images,
        "preset": options.preset,
        "images a second": {name: round(rate, 2) for name, rate in rates.items()},
        "two workers to one": round(rates["two"] / rates["one"], 2),
        "two plain processes to one": round(rates["plain two"] / rates["plain one"], 2),
        "one worker to one plain process": round(rates["one"] / rates["plain one"], 2),
        "two workers to two plain processes": round(rates["two"] / rates["plain two"], 2),
    }


def overhead(place: Path, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds from one batch's end to the next one's on a single worker, beside the plain encoding of its frames."""
    from distributed import Client, get_task_stream

    waiting = make_waiting(place, options.folders, options.batch * options.batches)
    plain: list[dict[str, float]] = []
    flow: list[dict[str, float]] = []
    with cluster(processes, 1) as address, Client(address, set_as_default=False) as client:
        _warm(place, address, 1, options)
        for number in range(options.rounds):
            plain.append(_plain(waiting, options.preset, 1))
            store = waiting.copy(place / f"flow {number}")
            (before,) = client.run(_process_cpu).values()
            with get_task_stream(client) as stream:
                wall = _timed_flow(waiting, store, address, options.preset, options.batch)
            (after,) = client.run(_process_cpu).values()
            ends = sorted(
                max(span["stop"] for span in task["startstops"]) for task in stream.data if "encode" in str(task["key"])
            )
            if len(ends) != options.batches:
                raise SystemExit(f"{len(ends)} batches were seen on the worker, expected {options.batches}")
            a_batch = (ends[-1] - ends[0]) / (len(ends) - 1)
            flow.append({"wall": wall, "batch": a_batch, "cpu": (after - before) / options.batches})
            say(f"  a batch: {a_batch:.2f} s on the worker, {plain[-1]['encode'] / options.batches:.2f} s plain")
    encode, encode_cpu = (median(p[name] for p in plain) / options.batches for name in ("encode", "encode_cpu"))
    batch, batch_cpu = (median(f[name] for f in flow) for name in ("batch", "cpu"))
    return {
        "preset": options.preset,
        "images a batch": options.batch,
        "batches": options.batches,
        "plain seconds a batch": round(encode, 3),
        "seconds a batch on the worker": round(batch, 3),
        "overhead": round(batch / encode - 1, 3),
        "plain CPU seconds a batch": round(encode_cpu, 3),
        "CPU seconds a batch on the worker": round(batch_cpu, 3),
        "overhead in CPU seconds": round(batch_cpu / encode_cpu - 1, 3),
        "seconds of a flow beyond its batches": round(median(f["wall"] for f in flow) - options.batches * batch, 2),
    }


def moved(place: Path, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Bytes of one batch over Dask's connections and out of the landing place, to those of its JPEGs and payloads."""
    from distributed import Client

    waiting = make_waiting(place, options.folders, options.bytes_images)
    with cluster(processes, 1) as address, Client(address, set_as_default=False) as client:
        _warm(place, address, 1, options)
        counter = ByteCounter(client)
        before = counter.written()
        _timed_flow(waiting, waiting.url, address, options.bytes_preset, waiting.images)
        after = counter.written()
    counts = {name: after[name] - before[name] for name in after}
    payloads = Store(waiting.url).summary().bytes_total
    least = waiting.jpeg_bytes + payloads
    return {
        "images": waiting.images,
        "preset": options.bytes_preset,
        "bytes of the JPEGs": waiting.jpeg_bytes,
        "bytes of the payloads": payloads,
        "written by the flow": counts["flow"],
        "written by the scheduler": counts["scheduler"],
        "written by the worker": counts["workers"],
        "read from the landing place": counts["landed"],
        "all, to JPEGs and payloads": round(sum(counts.values()) / least, 3),
        "Dask bytes an image beyond its payload": round(
            (counts["flow"] + counts["scheduler"] + counts["workers"] - 2 * payloads) / waiting.images
        ),
    }


def gpu(place: Path, processes: Processes, options: argparse.Namespace) -> dict[str, Any]:
    """Encode on one GPU worker as the flow does, and decode every payload on the CPU."""
    import torch
    from distributed import LocalCluster

    from rinr.codec.frame import unpack_frame
    from rinr.decoder import decode
    from tasks.cluster import workers_of

    images = options.images if "--images" in sys.argv else 512
    waiting = make_waiting(place, options.folders, images)
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, resources={"GPU": 1}, dashboard_address=None) as gpus,
        gpus.get_client() as client,
    ):
        if not workers_of(client).on_gpus:
            raise SystemExit("the worker does not say that it has a GPU")
        _warm(place, gpus.scheduler_address, 1, options, "cuda")
        seconds = _timed_flow(waiting, waiting.url, gpus.scheduler_address, options.preset, 0, "cuda")
    table = Store(waiting.url).scan(IMAGES, ["payload", "width", "height", "background_db", "object_db"])
    decoded = 0
    for row in table.to_pylist():
        pixels = decode(unpack_frame(row["payload"]))
        if pixels.shape != (row["height"], row["width"], 3):
            raise SystemExit(f"a payload decodes to {pixels.shape}, expected {row['height']}x{row['width']}")
        decoded += 1
    if decoded != images:
        raise SystemExit(f"{decoded} of {images} images were encoded")
    (place / "control").mkdir()
    control = make_waiting(place / "control", options.folders, min(images, 32))
    plain = _plain(control, options.preset, 1)
    return {
        "device": torch.cuda.get_device_name(),
        "images": images,
        "preset": options.preset,
        "decoded on the CPU": decoded,
        "images a second": round(images / seconds, 2),
        "on one core": round(control.images / plain["wall"], 2),
        "to one core": round(images / seconds * plain["wall"] / control.images, 2),
    }


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _warm(place: Path, address: str, workers: int, options: argparse.Namespace, accelerator: str = "cpu") -> None:
    folder = place / f"warm {workers}"
    folder.mkdir()
    few = make_waiting(folder, options.folders, _WARM * workers)
    _timed_flow(few, few.url, address, "instant", _WARM, accelerator)


def _timed_flow(waiting: Waiting, store: str, address: str, preset: str, batch: int, accelerator: str = "cpu") -> float:
    """Seconds of the flow that fits; workers, their imports and Prefect's server are up before."""
    from flows.encode import encode
    from tasks.cluster_settings import ClusterSettings

    started = time.perf_counter()
    rows = encode(str(waiting.fleet), store, preset, batch, ClusterSettings(address=address), accelerator)
    seconds = time.perf_counter() - started
    if rows != waiting.images:
        raise SystemExit(f"{rows} rows were added, expected {waiting.images}")
    return seconds


def _plain(waiting: Waiting, preset: str, jobs: int) -> dict[str, float]:
    """The same images in as many processes as a worker is one, without Prefect and Dask: reading and `encode` alone."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.plain_encoding", waiting.url, preset, str(number), str(jobs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "MALLOC_TRIM_THRESHOLD_": str(256 << 20), "MALLOC_MMAP_THRESHOLD_": str(32 << 20)},
        )
        for number in range(jobs)
    ]
    with _all(started):
        for process in started:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise SystemExit("plain encoding does not start")
        begin = time.perf_counter()
        for process in started:
            print(file=process.stdin, flush=True)
        found = [json.loads(process.stdout.readline()) for process in started]  # type: ignore[union-attr]
        wall = time.perf_counter() - begin
    return {"wall": wall} | {name: sum(each[name] for each in found) for name in found[0]}


@contextmanager
def _all(processes: list[subprocess.Popen[str]]):
    try:
        yield
    finally:
        for process in processes:
            process.communicate()


def _process_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def lines_of(found: Any, indent: str = "") -> list[str]:
    """Results as lines of text, nested ones indented."""
    if isinstance(found, list):
        return [line for item in found for line in lines_of(item, indent)]
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}:", *lines_of(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {value:,}" if isinstance(value, int | float) else f"{indent}{name}: {value}")
    return lines


if __name__ == "__main__":
    main()
