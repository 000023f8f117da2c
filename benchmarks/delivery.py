"""Planning of deliveries: a million candidates for one device, and a thousand devices that share one reading.

    python -m benchmarks.delivery [--rows 100000 1000000] [--devices 1000] [--contacts 10 100] [--json FILE]
                                   [--record]

Rows of images and sources are made up (an image has 32 bytes of payload here, up to three objects, one source), since
planning reads no payload. Claims:

1. at a million rows one reading for all devices, and the plan for one device, take seconds;
2. a device that has nine tenths of it is planned for in at most three times what a plain anti-join of the same keys
   takes in pyarrow, which is the control of the same run: that looks at neither labels, times nor budgets;
3. of a thousand devices each costs milliseconds once the candidates were read;
4. a contact that sends a shard costs the same with ten times as many devices (inboxes on local disk).
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import records
from rinr.codec.frame import EncodedFrame, pack_frame
from storage.delivery import deliver
from storage.fleet import Device, Receives
from storage.outgoing.candidates import Candidates, candidates
from storage.outgoing.delivery_log import DeviceLog, Shard, delivered_keys
from storage.outgoing.routing import choose
from storage.shards.signing import SigningKey
from storage.store import Store
from storage.tables import DELIVERIES, IMAGES, SOURCES, Delivery, Layout, now

ENCODING = "benchmark"
BUDGET = 20_000_000
PLANNED_ROWS = 20_000
FILE_ROWS = 100_000
LABELS = ("boat", "buoy", "person", "car", "truck")

Result = dict[str, Any]
Value = TypeVar("Value")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[100_000, 1_000_000], help="images in the store")
    parser.add_argument("--devices", type=int, default=1000, help="that share one reading (default 1000)")
    parser.add_argument("--contacts", nargs="+", type=int, default=[10, 100], help="devices that are really sent to")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    records.add_option(parser, "delivery")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores")
    figures: Result = {"planning": [], "contacts": []}
    for rows in options.rows:
        with tempfile.TemporaryDirectory(prefix="rinr-delivery-") as folder:
            figures["planning"].append(_planning(Store(f"{folder}/store"), rows, options.devices))
            _print_planning(figures["planning"][-1])
    for devices in options.contacts:
        with tempfile.TemporaryDirectory(prefix="rinr-delivery-") as folder:
            figures["contacts"].append(_contacts(Path(folder), devices))
            _print_contacts(figures["contacts"][-1])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.record:
        found = {f"rows {each['rows']}": each for each in figures["planning"]}
        found |= {f"contacts {each['devices']}": each for each in figures["contacts"]}
        command = records.command("benchmarks.delivery")
        records.write("delivery", command, records.flat(found), {"rows": options.rows, "contacts": options.contacts})


def _planning(store: Store, rows: int, devices: int) -> Result:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # of its memory nothing is counted
        process.submit(_fill, store.url, rows, devices).result()
    reading, offered = _timed(lambda: candidates(store, ENCODING))
    plain, budgeted = _device(0), _device(0, Receives(budget=BUDGET, labels=("boat", "person"), days=30))
    nothing = np.zeros(len(offered), bool)
    fresh, choice = _timed(lambda: choose(offered, plain, nothing))
    ranked, _ = _timed(lambda: choose(offered, budgeted, nothing))
    most = _give(store, offered, 0.9)
    kept, chosen = _timed(lambda: _plan(store, offered, plain, most))
    control, joined = _timed(lambda: _anti_join(store, plain.name))
    assert len(chosen) == joined, (len(chosen), joined)
    few = offered.places(offered.image_ids.slice(0, 1000), offered.labels_ids.slice(0, 1000))
    some = nothing.copy()
    some[few] = True
    shared, _ = _timed(lambda: [len(choose(offered, _device(n), some).rows) for n in range(devices)])
    bounded, _ = _timed(
        lambda: [len(choose(offered, _device(n, Receives(budget=BUDGET)), some).rows) for n in range(devices)]
    )
    return {
        "rows": rows,
        "reading_s": reading,
        "choose_all_s": fresh,
        "choose_under_budget_s": ranked,
        "chosen": len(choice.rows),
        "plan_with_nine_tenths_delivered_s": kept,
        "anti_join_control_s": control,
        "ratio": kept / control,
        "devices": devices,
        "a_device_ms": 1000 * shared / devices,
        "a_device_under_budget_ms": 1000 * bounded / devices,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _contacts(folder: Path, devices: int) -> Result:
    """Contacts with so many devices, eight at a time, each with one shard of fifty images; then with nothing to do."""
    store, key = Store(f"{folder}/store"), SigningKey.new()
    _fill(store.url, 50, 1, payload=True)
    offered = candidates(store, ENCODING)
    fleet = [_device(number, folder=folder / str(number)) for number in range(1, devices + 1)]

    def contact(device: Device) -> int:
        return deliver(store, device, offered, key).bytes

    with ThreadPoolExecutor(8) as pool:
        sending, sizes = _timed(lambda: list(pool.map(contact, fleet)))
        idling, _ = _timed(lambda: list(pool.map(contact, fleet)))
    return {
        "devices": devices,
        "a_contact_ms": 1000 * sending / devices,
        "an_idle_contact_ms": 1000 * idling / devices,
        "bytes": sum(sizes),
    }


def _plan(store: Store, offered: Candidates, device: Device, log: DeviceLog) -> Any:
    delivered = np.zeros(len(offered), bool)
    delivered[offered.places(*delivered_keys(store, log, ENCODING))] = True
    return choose(offered, device, delivered).rows


def _anti_join(store: Store, device: str) -> int:
    """The same question by pyarrow's joins of the keys, read from the same tables."""
    key = ["image_id", "labels_id"]
    images = store.scan(IMAGES, key, pc.field("encoding_id") == ENCODING)
    own = store.scan(SOURCES, ["image_id"], pc.field("device") == device)
    of_device = (pc.field("device") == device) & (pc.field("status") == "planned")
    lists = store.scan(DELIVERIES, ["image_ids", "labels_ids"], of_device)
    sent = pa.table([pc.list_flatten(column) for column in lists.columns], names=key)
    return images.join(own, "image_id", join_type="left anti").join(sent, key, join_type="left anti").num_rows


def _give(store: Store, offered: Candidates, share: float) -> DeviceLog:
    """Plan a share of the candidates for the first device, in shards; its log."""
    chance = np.random.default_rng(2)
    device = _device(0)
    open_ = choose(offered, device, np.zeros(len(offered), bool)).rows
    rows = chance.permutation(open_)[: int(share * len(open_))]
    events = []
    for number, start in enumerate(range(0, len(rows), PLANNED_ROWS), start=1):
        taken = pa.array(rows[start : start + PLANNED_ROWS])
        images, labels = (ids.take(taken).to_pylist() for ids in (offered.image_ids, offered.labels_ids))
        events.append(
            Delivery(device.name, 1, number, "planned", encoding_id=ENCODING, sha256="0" * 64, rows=len(images),
                     image_ids=tuple(images), labels_ids=tuple(labels))
        )  # fmt: skip
    store.append(events)
    shards = {event.sequence: Shard(event.sequence, ENCODING, 0, 0, event.rows, "", now()) for event in events}
    return DeviceLog(device.name, shards=shards)


def _fill(url: str, rows: int, devices: int, *, payload: bool = False) -> None:
    """Images with up to three objects, one source each, of devices in turn."""
    store, chance = Store(url), random.Random(1)
    start = datetime.now(UTC) - timedelta(days=60)
    frame = pack_frame(EncodedFrame(64, 48, chance.randbytes(2_000), (), b""))
    for first in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - first)
        ids = [chance.randbytes(32).hex() for _ in range(count)]
        labels = [chance.randbytes(32).hex() for _ in range(count)]
        captured = [start + timedelta(seconds=60 * 86_400 * (first + n) / rows) for n in range(count)]
        objects = [
            [{"label": chance.choice(LABELS), "x": 0, "y": 0, "width": 9, "height": 9} for _ in range(n % 4)]
            for n in range(count)
        ]
        images: dict[str, list[Any]] = {
            "image_id": ids, "labels_id": labels, "encoding_id": [ENCODING] * count,
            "payload": [frame if payload else chance.randbytes(32) for _ in range(count)], "objects": objects,
            "bytes_total": [len(frame) if payload else chance.randrange(500, 9_000) for _ in range(count)],
            "created_at": captured,
        }  # fmt: skip
        _append(store, IMAGES, images)
        sources: dict[str, list[Any]] = {
            "image_id": ids, "labels_id": labels, "device": [_name((first + n) % devices) for n in range(count)],
            "path": [f"{first + n:09}.jpg" for n in range(count)], "captured_at": captured, "ingested_at": captured,
        }  # fmt: skip
        _append(store, SOURCES, sources)
    store.create()


def _append(store: Store, layout: Layout, columns: dict[str, list[Any]]) -> None:
    """Past the look for what is there already: nothing is."""
    table = store._tables[layout.name]
    table.make()
    count = len(columns["image_id"])
    arrays = [pa.array(columns.get(field.name, [None] * count), field.type) for field in layout.schema]
    assert table.append(pa.table(arrays, schema=layout.schema), "rinr-benchmark")


def _device(number: int, receives: Receives | None = None, folder: Path = Path("/nowhere")) -> Device:
    return Device(
        name=_name(number),
        storage=f"{folder}/storage",
        inbox=f"{folder}/inbox",
        home=f"{folder}/home",
        receives=receives or Receives(),
    )


def _name(number: int) -> str:
    return f"cam-{number:04}"


def _timed(work: Callable[[], Value]) -> tuple[float, Value]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def _print_planning(one: Result) -> None:
    print(f"{one['rows']:,} rows, {one['devices']:,} devices")
    print(f"  one reading for all devices              {one['reading_s']:8.2f} s")
    print(f"  all for a device that has nothing        {one['choose_all_s']:8.3f} s, {one['chosen']:,} rows")
    print(f"  under a budget, by label and time        {one['choose_under_budget_s']:8.3f} s")
    print(f"  a device that has nine tenths            {one['plan_with_nine_tenths_delivered_s']:8.3f} s")
    print(f"  control: anti-join of the same keys      {one['anti_join_control_s']:8.3f} s, ratio {one['ratio']:.2f}")
    print(f"  each of the devices, candidates shared   {one['a_device_ms']:8.2f} ms")
    print(f"  likewise under a budget                  {one['a_device_under_budget_ms']:8.2f} ms")
    print(f"  most memory                              {one['peak_memory_mb']:8,.0f} MB")


def _print_contacts(one: Result) -> None:
    print(f"{one['devices']:,} devices: {one['a_contact_ms']:.1f} ms a contact with a shard of 50 images, ", end="")
    print(f"{one['an_idle_contact_ms']:.1f} ms with nothing to do")


if __name__ == "__main__":
    main()
