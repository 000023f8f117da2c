"""A device's process: it uploads what it captured, receives as devices do, and says at the end what it holds.

It is forked from a process that has imported everything (this module) and does nothing else, so that ten of them start
at once and none waits for torch. Nothing but orders and answers passes between it and whoever started it: what it says
that it holds, it has from its own home.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.network.places import Spot
from device.job import DeviceJob, contact
from device.received import look
from rinr.codec.clip import part_name
from rinr.codec.frame import pack_frame
from rinr.decoder import decode
from rinr.folders import LABELS_FILE
from rinr.shard import ShardPart, ShardRow, frames_among
from storage.fleet_file import load_fleet

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a relayed file at most."""


def live(pipe: Any, name: str, fleet_file: str) -> None:
    """Do what comes through the pipe, until it is closed: a method's name with its arguments, each answered."""
    torch.set_num_threads(1)
    edge = Edge(name, Path(fleet_file))
    while True:
        try:
            order, arguments = pipe.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        try:
            answer = True, getattr(edge, order)(*arguments)
        except KeyboardInterrupt:
            return
        except Exception as error:  # whatever it is, who gave the order has to hear of it
            answer = False, f"{name}, {order}: {type(error).__name__}: {error}"
        pipe.send(answer)


class Edge:
    """One device.

    Args:
        name: its own.
        fleet_file: as it lies on the device.
    """

    def __init__(self, name: str, fleet_file: Path) -> None:
        self.device = load_fleet(str(fleet_file)).find(name)

    def upload(self, captures: Path, storage: Spot) -> int:
        """Put what was captured into the device's storage, the labels first; returns bytes."""
        return self.scatter(captures, [storage], "")

    def scatter(self, captures: Path, places: Sequence[Spot], prefix: str) -> int:
        """Put all files of a folder into other folders, under a prefix; returns bytes."""
        files = sorted(captures.iterdir(), key=lambda file: (file.name != LABELS_FILE, file.name))
        sent = 0
        for place in places:
            folder = place.folder
            for file in files:
                data = file.read_bytes()
                folder.write(f"{prefix}{file.name}", data)
                sent += len(data)
        return sent

    def receive(self) -> int:
        """What a device's job begins with: take what the inbox holds, and acknowledge it; returns shards it has."""
        return contact(DeviceJob(device=self.device, torch_device="cpu")).taken

    def collect(self, place: Spot) -> dict[str, str]:
        """Fetch the files of a folder into the device's home; returns the SHA-256 of each one there, by its name."""
        home = Path(self.device.home) / "collected"
        home.mkdir(parents=True, exist_ok=True)
        folder = place.folder
        for name in folder.names():
            (home / name).write_bytes(folder.read(name, MAX_FILE))
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(home.iterdir())}

    def holdings(self) -> dict[str, str]:
        """The SHA-256 of the payload of each frame that was received and verified, by the image's id."""
        return {row.image_id: hashlib.sha256(pack_frame(row.frame)).hexdigest() for row in frames_among(self._rows())}

    def decoded(self, image_ids: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of the decoded pixels of some of them."""
        rows = self._rows()
        parts = {part_name(row.payload): row.payload for row in rows if isinstance(row, ShardPart)}
        return {
            row.image_id: hashlib.sha256(decode(row.frame, parts=parts).tobytes()).hexdigest()
            for row in frames_among(rows)
            if row.image_id in image_ids
        }

    def _rows(self) -> list[ShardRow | ShardPart]:
        received = look(self.device)
        return [row for manifest in received.shards.values() for row in received.rows(manifest)]
