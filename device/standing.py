"""How a device stands, as its home says: nothing is asked of the network."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from device.acknowledging import last_acknowledgement
from device.home import unusable
from device.received import look
from device.report import DeviceReport
from device.results import finished_report
from device.unfinished import is_unfinished
from storage.fleet import Device
from storage.shards.acknowledgement import RefusedShard
from storage.shards.keyring import Entry, Keyring


@dataclass(frozen=True)
class DeviceStanding:
    """What stands in a device's home.

    Attributes:
        device: its name.
        generation: of the shards that it holds; 0 where it holds none.
        taken: all shards up to this number are stored.
        shards: that are stored, those behind a gap included.
        images: in them; one whose labels were corrected counts once.
        bytes: of the shard files.
        keys: the keyring.
        told_at: when the fog node was told something last; ``None`` where it was told nothing yet.
        wanted: the shards that it was asked for then.
        refused: those that it was told were refused.
        trained: the report of the last training; ``None`` without one.
        unfinished: whether a training was begun and cut off: the next run goes on with it.
    """

    device: str
    generation: int
    taken: int
    shards: int
    images: int
    bytes: int
    keys: tuple[Entry, ...]
    told_at: datetime | None
    wanted: tuple[int, ...]
    refused: tuple[RefusedShard, ...]
    trained: DeviceReport | None
    unfinished: bool


def standing(device: Device) -> DeviceStanding:
    """Read a device's home.

    Raises:
        device.home.HomeError: it cannot be read.
        storage.shards.faults.KeyringError: the keyring cannot be used.
    """
    try:
        received = look(device)
    except OSError as error:
        raise unusable(device, error) from error
    told = last_acknowledgement(device)
    manifests = received.shards.values()
    return DeviceStanding(
        device=device.name,
        generation=received.generation,
        taken=received.taken,
        shards=len(manifests),
        images=len({image_id for manifest in manifests for image_id in manifest.image_ids}),
        bytes=sum(manifest.bytes for manifest in manifests),
        keys=tuple(Keyring(Path(device.keyring)).entries()),
        told_at=told.created_at if told else None,
        wanted=told.wanted if told else (),
        refused=told.refused if told else (),
        trained=finished_report(device),
        unfinished=is_unfinished(Path(device.home)),
    )
