"""The weight store at a million rows: appends, look-ups, scans, what is missing, memory and bytes.

    python -m benchmarks.store [FOLDER ...] [--appends 2000] [--rows 512] [--json FILE] [--record]

Real frames are encoded once, and rows like theirs are then appended batch by batch, as a fog node commits them, under
new ids and with as many bytes in every payload (but random ones: repeated payloads would be compressed away), with a
compaction in a process of its own after every hundredth batch. Claims, at a million rows:

1. from a warm handle one image is looked up in less than 20 ms; a scan of metadata with a filter takes less than 2 s,
   `missing` for 10,000 images less than 3 s, opening less than 1 s; memory stays below 1 GB;
2. the last hundred appends cost at most 1.5 times the first hundred;
3. after a compaction the store has at most 1.10 times the bytes of its payloads.

Controls of the same run: the same rows written as plain Parquet files; the same questions asked of the same files by
pyarrow alone, which has to read the columns it filters by.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks import records
from benchmarks.frames import find_folders
from rinr.codec.encoded import EncodedImage
from rinr.folders import spread
from rinr.labels import canonical_labels
from storage.store import Store
from storage.tables import IMAGES, SOURCES, Source, image_row, now

MAINTAINED_EVERY = 100
LOOKUPS = 200
ASKED = 10_000
DEVICES = 10
MEAN_BYTES = 2_000

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="default: every folder below RINR_DATA")
    parser.add_argument("--appends", type=int, default=2000, help="batches (default 2000)")
    parser.add_argument("--rows", type=int, default=512, help="images a batch (default 512)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    records.add_option(parser, "store")
    options = parser.parse_args()
    images = _in_process(_encoded, options.folders)
    print(f"{platform.machine()}, {os.cpu_count()} cores; {len(images)} real payloads of balanced, ", end="")
    print(f"{sum(image.frame.bytes_total for image in images) / len(images):,.0f} bytes in the mean")
    with tempfile.TemporaryDirectory(prefix="rinr-store-") as folder:
        url = f"{folder}/store"
        figures: Result = {"rows": options.appends * options.rows}
        figures["append"] = _append(url, images, options.appends, options.rows, Path(folder) / "plain")
        figures["bytes"] = _bytes(url)
        figures["questions"] = _in_process(_ask, url, images[0].encoding_id)
    _print(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.record:
        settings = {"appends": options.appends, "rows": options.rows}
        records.write("store", records.command("benchmarks.store"), records.flat(figures), settings)


def _encoded(folders: list[Path]) -> list[EncodedImage]:
    from rinr.encoder import encode  # here, so that the memory of the other processes is without torch's
    from rinr.presets import find_preset

    frames = [folder.frame(file) for folder in find_folders(folders) for file in spread(folder.files, 4)]
    images = sorted(encode(frames, find_preset("balanced")), key=lambda image: image.frame.bytes_total)
    while sum(image.frame.bytes_total for image in images) > MEAN_BYTES * len(images):
        images.pop()  # large payloads would hide what a row costs beside them
    return images


def _append(url: str, images: list[EncodedImage], appends: int, rows: int, plain: Path) -> Result:
    store = Store(url)
    plain.mkdir()
    seconds, control, maintenance = [], [], []
    for number in range(appends):
        batch = [_renamed(images, number * rows + row) for row in range(rows)]
        started = time.perf_counter()
        added = store.append(batch)
        seconds.append(time.perf_counter() - started)
        assert added == rows
        store.append([_source(image, number * rows + row) for row, image in enumerate(batch)])
        started = time.perf_counter()
        table = pa.Table.from_pylist([image_row(image, now()) for image in batch], schema=IMAGES.schema)
        pq.write_table(table, plain / "batch.parquet", compression="zstd", compression_level=1)
        control.append(time.perf_counter() - started)
        if number % MAINTAINED_EVERY == MAINTAINED_EVERY - 1:
            maintenance.append(_in_process(_maintain, url))
        _progress(f"{number + 1} of {appends} batches, {seconds[-1] * 1000:.0f} ms the last")
    hundred = min(MAINTAINED_EVERY, appends)
    first, last = sum(seconds[:hundred]) / hundred, sum(seconds[-hundred:]) / hundred
    return {
        "first_hundred_ms": 1000 * first,
        "last_hundred_ms": 1000 * last,
        "ratio": last / first,
        "median_first_ms": 1000 * median(seconds[:hundred]),
        "median_last_ms": 1000 * median(seconds[-hundred:]),
        "plain_parquet_ms": 1000 * sum(control) / len(control),
        "plain_ratio": sum(control[-hundred:]) / sum(control[:hundred]),
        "memory_mb": _peak_mb(),
        "maintenance_seconds": [run["seconds"] for run in maintenance],
        "maintenance_memory_mb": max((run["memory_mb"] for run in maintenance), default=0),
    }


def _maintain(url: str) -> Result:
    started = time.perf_counter()
    Store(url).compact()
    return {"seconds": time.perf_counter() - started, "memory_mb": _peak_mb()}


def _bytes(url: str) -> Result:
    store = Store(url)
    store.compact(loose=2)
    store.vacuum(timedelta(0), exclusive=True)
    payloads = pc.sum(store.scan(IMAGES, ["bytes_total"])["bytes_total"]).as_py()
    of = {name: _tree_bytes(Path(url) / name) for name in ("images", "sources")}
    return {"payloads": payloads, **of, "images_ratio": of["images"] / payloads, "ratio": sum(of.values()) / payloads}


def _ask(url: str, encoding: str) -> Result:
    rng = random.Random(0)
    opened, store = _timed(lambda: _touched(Store(url)))
    ids = store.scan(SOURCES, ["image_id"])["image_id"]
    wanted = [ids[rng.randrange(len(ids))].as_py() for _ in range(LOOKUPS)]
    asked = [ids[rng.randrange(len(ids))].as_py() for _ in range(ASKED)]
    del ids
    looked_up = []
    for image in wanted:
        seconds, table = _timed(lambda image=image: store.lookup([image]))
        assert table["image_id"].to_pylist() == [image]
        looked_up.append(seconds)
    where = (pc.field("object_db") < 30) & (pc.field("family") == "cosine")
    columns = ["image_id", "bytes_total", "object_db"]
    scan, scanned = _timed(lambda: store.scan(IMAGES, columns, where))
    absent = [hashlib.sha256(b"absent %d" % number).hexdigest() for number in range(ASKED)]
    missing, lacking = _timed(lambda: store.missing(encoding, asked))
    assert lacking == []
    other, lacking = _timed(lambda: store.missing("another-encoding", asked))
    assert {item.image_id for item in lacking} == set(asked)
    assert store.lookup(absent).num_rows == 0
    everything, lacking = _timed(lambda: store.missing(encoding))
    assert lacking == []
    memory = _peak_mb()
    return {
        "open_seconds": opened,
        "lookup_first_ms": 1000 * looked_up[0],
        "lookup_median_ms": 1000 * median(looked_up),
        "lookup_p95_ms": 1000 * sorted(looked_up)[int(0.95 * LOOKUPS)],
        "scan_seconds": scan,
        "scan_rows": scanned.num_rows,
        "missing_seconds": missing,
        "missing_other_seconds": other,
        "missing_all_seconds": everything,
        "memory_mb": memory,
        "plain": _in_process(_ask_plainly, url, wanted[:5], asked, scanned.num_rows),
    }


def _ask_plainly(url: str, wanted: list[str], asked: list[str], rows: int) -> Result:
    """The same of the same files, whose list is handed over, by pyarrow that knows nothing of what they hold."""
    table = Store(url)._tables["images"]
    table.refresh()
    files = [f"{url}/images/{file.path}" for file in table.files]
    opened, dataset = _timed(lambda: ds.dataset(files, IMAGES.schema))
    looked_up = [
        _timed(lambda image=image: dataset.to_table(filter=pc.field("image_id") == image))[0] for image in wanted
    ]
    where = (pc.field("object_db") < 30) & (pc.field("family") == "cosine")
    scan, scanned = _timed(lambda: dataset.to_table(["image_id", "bytes_total", "object_db"], filter=where))
    assert scanned.num_rows == rows
    among = pc.field("image_id").isin(pa.array(asked))
    missing, _ = _timed(lambda: dataset.to_table(["image_id", "labels_id"], filter=among))
    return {
        "open_seconds": opened,
        "lookup_median_ms": 1000 * median(looked_up),
        "scan_seconds": scan,
        "missing_seconds": missing,
        "memory_mb": _peak_mb(),
    }


def _touched(store: Store) -> Store:
    store.scan(IMAGES, ["image_id"], pc.field("image_id") == "")
    return store


def _renamed(images: list[EncodedImage], number: int) -> EncodedImage:
    """A real image under new ids, with as many bytes of networks as it has, but others: Parquet would compress
    repeated ones, as it cannot do with coded weights that differ."""
    image = images[number % len(images)]
    rng = random.Random(number)
    frame = replace(
        image.frame,
        background=rng.randbytes(len(image.frame.background)),
        objects=rng.randbytes(len(image.frame.objects)),
    )
    ids = {name: hashlib.sha256(b"%s %d" % (name.encode(), number)).hexdigest() for name in ("image_id", "labels_id")}
    numbers = {name: (getattr(image, name) or 30) + rng.gauss(0, 2) for name in ("background_db", "object_db")}
    return replace(image, frame=frame, fit_seconds=rng.uniform(0.1, 0.3), **numbers, **ids)


def _source(image: EncodedImage, number: int) -> Source:
    taken = datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=number)
    return Source(
        image_id=image.image_id,
        labels_id=image.labels_id,
        device=f"camera-{number % DEVICES}",
        path=f"{taken:%Y/%m/%d/%H%M%S}.jpg",
        size=150_000 + number % 9_999,
        modified=taken,
        captured_at=taken,
        captured_from="exif",
        labels=canonical_labels(image.frame.boxes).decode(),  # type: ignore[arg-type]
        annotated_size=image.source_size,
    )


def _in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


def _peak_mb() -> float:
    try:
        (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) / 1024
    except OSError:  # elsewhere: a process starts with what its parent had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}  ", end="", file=sys.stderr, flush=True)


def _print(figures: Result) -> None:
    append, size, asked = figures["append"], figures["bytes"], figures["questions"]
    plain = asked["plain"]
    rows = [
        ("open, s", asked["open_seconds"], plain["open_seconds"], "< 1"),
        ("look-up of one image, median, ms", asked["lookup_median_ms"], plain["lookup_median_ms"], "< 20"),
        ("look-up of one image, 95 of 100, ms", asked["lookup_p95_ms"], None, ""),
        (f"scan with a filter ({asked['scan_rows']:,} rows), s", asked["scan_seconds"], plain["scan_seconds"], "< 2"),
        (f"missing of {ASKED:,} encoded images, s", asked["missing_seconds"], plain["missing_seconds"], "< 3"),
        (f"missing of {ASKED:,} images in another encoding, s", asked["missing_other_seconds"], None, "< 3"),
        ("missing of all images, s", asked["missing_all_seconds"], None, ""),
        ("memory of the questions, MB", asked["memory_mb"], plain["memory_mb"], "< 1000"),
        ("append, mean of the first hundred, ms", append["first_hundred_ms"], append["plain_parquet_ms"], ""),
        ("append, mean of the last hundred, ms", append["last_hundred_ms"], None, ""),
        ("append, last hundred over first", append["ratio"], append["plain_ratio"], "<= 1.5"),
        ("memory of the writer, MB", append["memory_mb"], None, "< 1000"),
        ("longest compaction, s", max(append["maintenance_seconds"], default=0), None, ""),
        ("memory of a compaction, MB", append["maintenance_memory_mb"], None, "< 1000"),
        ("bytes of `images` over bytes of payloads", size["images_ratio"], None, "<= 1.10"),
        ("bytes of the store over bytes of payloads", size["ratio"], None, "<= 1.10"),
    ]
    print(f"\n{figures['rows']:,} rows, {size['payloads'] / figures['rows']:,.0f} bytes of payload each\n")
    print("| what | store | plain pyarrow | aim |\n|---|---:|---:|---|")
    for what, ours, control, aim in rows:
        print(f"| {what} | {ours:,.3g} | {'' if control is None else f'{control:,.3g}'} | {aim} |")


if __name__ == "__main__":
    main()
