"""What the processes of a drill do until they are killed: write, compact, vacuum.

Imported by a fork server alone with nothing running in it: no thread may have been started before the fork.
"""

import importlib
import mmap
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch

from rinr.encoder import encode
from rinr.frames import Frame, ImageError
from rinr.presets import encoding_id, find_preset
from storage.devices import DeviceError
from storage.fleet import Device
from storage.ingestion import ingest, read_frame
from storage.landing import sweep
from storage.quarantine import quarantine_path, refuse
from storage.store import Row, Store
from storage.tables import Pending, Refusal
from storage.weights.delta import Table

# Before the fork, and not after each: what is imported only where it is needed.
for _late in ("s3fs", "rinr.networks.families", "rinr.decoder", "storage.upkeep.verification"):
    with suppress(ImportError):
        importlib.import_module(_late)

PHASES = ("starting", "ingest", "missing", "encode", "append", "sweep", "compact", "exchange", "vacuum", "idle", "done")
BATCH = 32


@dataclass(frozen=True)
class Orders:
    """What a drill's processes have to know.

    Attributes:
        store: URL.
        devices: whose storage is taken.
        preset: of the encoding.
        folder: where they say what they do; a file ``finish`` in it ends them when all is done.
        environment: is set before anything is opened.
    """

    store: str
    devices: tuple[Device, ...]
    preset: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def encoding(self) -> str:
        return encoding_id(find_preset(self.preset))

    @property
    def finishing(self) -> bool:
        return (self.folder / "finish").exists()


class Diary:
    """What a process is at, for whoever kills it; and lines of what it did, which outlive it."""

    def __init__(self, folder: Path, name: str) -> None:
        place = folder / f"{name}.phase"
        if not place.exists():
            place.write_bytes(b"\0")
        with place.open("r+b") as file:
            self._byte = mmap.mmap(file.fileno(), 1)
        self._lines = folder / f"{name}.lines"

    @property
    def phase(self) -> str:
        return PHASES[self._byte[0]]

    def now(self, phase: str) -> None:
        self._byte[0] = PHASES.index(phase)

    @contextmanager
    def at(self, phase: str) -> Iterator[None]:
        before = self.phase
        self.now(phase)
        yield
        self.now(before)

    def line(self, text: str) -> None:
        """In one write, so that a kill leaves it whole or not at all."""
        number = os.open(self._lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(number, f"{text}\n".encode())
        os.close(number)

    def lines(self) -> list[str]:
        return self._lines.read_text().splitlines() if self._lines.exists() else []


class WatchedStore(Store):
    """A store that tells a diary when it appends."""

    diary: Diary

    def append(self, rows: Sequence[Row]) -> int:
        with self.diary.at("append"):
            return super().append(rows)


def play(role: str, number: int, orders: Orders) -> None:
    """A process's whole life, in a process group of its own."""
    os.setsid()
    log = os.open(orders.folder / f"{role}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(orders.environment)
    torch.set_num_threads(1)
    diary = Diary(orders.folder, role)
    diary.now("starting")
    _count_refused_commits(diary)
    try:
        _ROLES[role.partition("-")[0]](orders, diary, random.Random(f"{role} {number}"))
    except BaseException as error:
        traceback.print_exc()
        diary.line(f"error {type(error).__name__}: {error}".replace("\n", " ")[:600])
        sys.stderr.flush()
        os._exit(1)
    diary.now("done")
    os._exit(0)  # at once: there is nothing to be said to whoever forked this process


def write(orders: Orders, diary: Diary, rng: random.Random) -> None:
    """Take what the devices have and encode what the store lacks, until nothing is left and none is to come."""
    store = WatchedStore(orders.store)
    store.diary = diary
    while True:
        finishing = orders.finishing
        diary.now("ingest")
        reports = [ingest(device, store) for device in rng.sample(orders.devices, len(orders.devices))]
        took = sum(report.new + report.refused + report.left + report.waiting for report in reports)
        encoded = encode_missing(orders, store, diary, rng)
        diary.now("sweep")
        sweep(store, orders.encoding)
        if finishing and not took and not encoded:
            return
        diary.now("idle")
        time.sleep(0.02 if took or encoded else 0.2)


def encode_missing(orders: Orders, store: Store, diary: Diary, rng: random.Random, batches: int = 4) -> int:
    """A few batches of what the store lacks, in an order of one's own; returns how much was found missing."""
    diary.now("missing")
    missing = store.missing(orders.encoding)
    rng.shuffle(missing)
    for start in range(0, min(len(missing), batches * BATCH), BATCH):
        diary.now("encode")
        batch = missing[start : start + BATCH]
        frames = [frame for pending in batch if (frame := _frame(orders, store, pending)) is not None]
        images = encode(frames, find_preset(orders.preset))
        added = store.append(images)
        diary.line(f"encoded {len(images)} added {added}")
    return len(missing)


def compact(orders: Orders, diary: Diary, rng: random.Random) -> None:
    store = Store(orders.store)
    exchange = Table.exchange

    def watched(table: Table, *arguments: object) -> bool:
        with diary.at("exchange"):
            return exchange(table, *arguments)  # type: ignore[arg-type]

    Table.exchange = watched  # type: ignore[method-assign]

    def once() -> None:
        diary.now("compact")
        for rewrite in store.compact(loose=4):
            diary.line(f"compacted {rewrite.table} {rewrite.files_before} {rewrite.files_after}")

    _again_and_again(once, orders, diary, rng)


def vacuum(orders: Orders, diary: Diary, rng: random.Random) -> None:
    store = Store(orders.store)

    def once() -> None:
        diary.now("vacuum")
        diary.line(f"vacuumed {store.vacuum(timedelta(hours=1))}")

    _again_and_again(once, orders, diary, rng)


_ROLES: dict[str, Callable[[Orders, Diary, random.Random], None]] = {
    "writer": write,
    "compaction": compact,
    "vacuum": vacuum,
}


def _again_and_again(once: Callable[[], None], orders: Orders, diary: Diary, rng: random.Random) -> None:
    while not orders.finishing:
        once()
        diary.now("idle")
        time.sleep(rng.uniform(0.1, 0.6))


def _frame(orders: Orders, store: Store, pending: Pending) -> Frame | None:
    """As the flow's task has it: what cannot be read is refused, unless another writer has encoded and swept it."""
    try:
        return read_frame(pending, orders.store, {device.name: device for device in orders.devices})
    except (ImageError, DeviceError) as error:
        if store.missing(orders.encoding, [pending.image_id]):
            path = quarantine_path(pending.path)
            refuse(store, [Refusal(pending.device, path, None, None, f"{pending.path}: {error}", pending.image_id)])
        return None


def _count_refused_commits(diary: Diary) -> None:
    append = Table.append

    def counted(table: Table, *arguments: object) -> bool:
        written = append(table, *arguments)  # type: ignore[arg-type]
        if not written:
            diary.line(f"refused {table.layout.name}")
        return written

    Table.append = counted  # type: ignore[method-assign]
