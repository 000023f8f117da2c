"""Ingestion without fitting, as a ratio to plain reading, full decoding and hashing in the same run.

    python -m benchmarks.ingestion [FOLDER ...] [--images 2400] [--known 100000] [--json] [--record]

Claims: listing, reading, checking, hashing, landing and committing pictures of 1280x720 pixels reaches two thirds of
the rate at which as many processes read, decode and hash the same files and do nothing else; a run that finds nothing
new among 100,000 known files takes less than 10 s, however little of that a bare walk over the folder takes. (The check
decodes the whole stream but makes no colours of it, so that ingestion may well be the faster one.)

Real pictures are repeated with a comment segment that makes each a file and a hash of its own. Both sides are timed in
turn, with their processes started before; CPU time is printed beside wall time, which on a shared machine is the
steadier one. The known files of the second claim are not opened by either side, so that
they need no pictures in them, and their rows are written to the store as ingestion writes them.
"""

import argparse
import hashlib
import io
import json
import os
import platform
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from PIL import Image

from benchmarks import records
from benchmarks.frames import find_folders
from rinr.folders import spread
from rinr.labels import labels_id
from storage.fleet import Device
from storage.ingestion import ingest
from storage.intake.validation import Validator
from storage.store import Store
from storage.tables import Source

_SIZE = (1280, 720)
_A_FOLDER = 1_000
_ROWS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA")
    parser.add_argument("--images", type=int, default=2400, help="to ingest in one run (default 2400)")
    parser.add_argument("--rounds", type=int, default=3, help="of both sides in turn (default 3)")
    parser.add_argument("--processes", type=int, default=2, help="of each side (default 2)")
    parser.add_argument("--known", type=int, default=100_000, help="known files to go over (default 100,000)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    records.add_option(parser, "ingestion")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        taken = _throughput(Path(place), options)
        known = _second_run(Path(place), options.known)
    if options.record:
        values = records.flat({"throughput": taken, "second_run": known})
        records.write("ingestion", records.command("benchmarks.ingestion"), values, {"processes": options.processes})
    if options.json:
        print(json.dumps({"throughput": taken, "second_run": known}))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.processes} processes on each side\n")
    print(f"{options.images} pictures of {_SIZE[0]}x{_SIZE[1]}, {taken['megabytes']:.0f} MB\n")
    print("| | pictures a second | of plain | CPU ms a picture |\n|---|---|---|---|")
    print(f"| plain: read, decode fully, hash | {taken['plain']:.0f} | 1.00 | {taken['plain_cpu_ms']:.2f} |")
    print(f"| ingestion | {taken['ingestion']:.0f} | {taken['ratio']:.2f} | {taken['ingestion_cpu_ms']:.2f} |")
    print(f"\nA run over {options.known:,} known files\n\n| | seconds |\n|---|---|")
    print(f"| plain: os.scandir and stat | {known['scandir']:.2f} |")
    print(f"| ingestion that finds nothing new | {known['ingestion']:.2f} |")
    print(f"\nLargest resident memory: {known['megabytes']:.0f} MB.")


def _throughput(place: Path, options: argparse.Namespace) -> dict[str, float]:
    pictures = [
        file.read_bytes()
        for folder in find_folders(options.folders)
        for file in spread(folder.files, 8)
        if Image.open(file).size == _SIZE
    ]
    if not pictures:
        raise SystemExit(f"no JPEG of {_SIZE[0]}x{_SIZE[1]} was found: give folders that hold some, or set RINR_DATA")
    folder = place / "pictures"
    folder.mkdir()
    for number, picture in enumerate(islice(cycle(pictures), options.images)):
        (folder / f"{number:06}.jpg").write_bytes(_renamed(picture, number))
        os.utime(folder / f"{number:06}.jpg", (1_700_000_000 + number,) * 2)
    files = sorted(map(str, folder.iterdir()))
    device = Device(name="bench", storage=str(folder), inbox=str(place / "inbox"), home=str(place / "home"))
    plain: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    context = get_context("spawn")
    with (
        ProcessPoolExecutor(options.processes, mp_context=context) as pool,
        Validator(options.processes) as validator,
    ):
        list(pool.map(_plain, files[: 4 * options.processes]))
        warm = [validator.submit(Path(file).read_bytes()) for file in files[: 4 * options.processes]]
        for future in warm:
            future.result()
        for number in range(options.rounds):
            started = _clock()
            hashes = set(pool.map(_plain, files, chunksize=8))
            plain.append(_since(started))
            started = _clock()
            report = ingest(device, Store(str(place / f"store {number}")), validator=validator)
            ours.append(_since(started))
            if not report.new == len(hashes) == len(files):
                raise SystemExit(f"{report.new} of {len(files)} pictures were taken: {report.notes[:3]}")
    plain_wall, plain_cpu, our_wall, our_cpu = (median(s[i] for s in side) for side in (plain, ours) for i in (0, 1))
    return {
        "images": len(files),
        "megabytes": sum(Path(file).stat().st_size for file in files) / 1e6,
        "plain": len(files) / plain_wall,
        "ingestion": len(files) / our_wall,
        "ratio": plain_wall / our_wall,
        "plain_cpu_ms": plain_cpu / len(files) * 1e3,
        "ingestion_cpu_ms": our_cpu / len(files) * 1e3,
    }


def _second_run(place: Path, count: int) -> dict[str, float]:
    folder = place / "known"
    store = Store(str(place / "known store"))
    rows: list[Source] = []
    for number in range(count):
        below = folder / f"{number // _A_FOLDER:04}"
        if number % _A_FOLDER == 0:
            below.mkdir(parents=True)
        file = below / f"frame-{number:07}.jpg"
        file.write_bytes(b"%08d" % number)
        rows.append(_source(file.relative_to(folder).as_posix(), file.stat()))
        if len(rows) == _ROWS or number == count - 1:
            store.append(rows)
            rows.clear()
    device = Device(name="bench", storage=str(folder), inbox=str(place / "inbox"), home=str(place / "home"))
    started = time.perf_counter()
    seen = sum(1 for entry in _walk(str(folder)) if entry.stat().st_size)
    scandir = time.perf_counter() - started
    started = time.perf_counter()
    report = ingest(device, Store(store.url))
    seconds = time.perf_counter() - started
    if report.known != seen or report.new:
        raise SystemExit(f"{report.known} of {seen} files were known, {report.new} new")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"files": count, "scandir": scandir, "ingestion": seconds, "megabytes": peak}


def _clock() -> tuple[float, float]:
    return time.perf_counter(), _cpu_seconds()


def _since(started: tuple[float, float]) -> tuple[float, float]:
    """Seconds of wall and of CPU time."""
    return time.perf_counter() - started[0], _cpu_seconds() - started[1]


def _cpu_seconds() -> float:
    """CPU time of this process and of all below it, so far; what ended is not counted. Linux only, 0 elsewhere."""
    below: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has just ended
            continue
        below.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        ticks[int(stat.parent.name)] = int(fields[11]) + int(fields[12])
    total, waiting = 0, [os.getpid()]
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting += below.get(process, [])
    return total / os.sysconf("SC_CLK_TCK")


def _plain(file: str) -> str:
    data = Path(file).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    return hashlib.sha256(data).hexdigest()


def _renamed(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment segment after its start."""
    comment = b"copy %08d" % number
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def _walk(folder: str):
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _walk(entry.path)
            else:
                yield entry


def _source(path: str, stat: os.stat_result) -> Source:
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return Source(
        image_id=hashlib.sha256(path.encode()).hexdigest(),
        labels_id=labels_id(()),
        device="bench",
        path=path,
        size=stat.st_size,
        modified=modified,
        captured_at=modified,
        captured_from="file",
        labels="[]",
    )


if __name__ == "__main__":
    main()
