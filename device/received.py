"""What a device has received: the shards in its home, each beside the manifest that vouches for it.

The files are the state, and there is no other. A shard is stored once its manifest stands beside it, which is written
last, so that a kill leaves a shard stored or not stored. Whose key signed it is asked of the keyring each time: what a
key signed that has been revoked since counts as not stored, and is received anew.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from device.home import RECEIVED, sync_folder, write_durably
from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import part_name
from rinr.shard import ShardPart, ShardRow, frames_among, needing_told
from storage.fleet import Device
from storage.places.device_paths import safe_spelling
from storage.shards.faults import Fault, ShardError
from storage.shards.keyring import Keyring
from storage.shards.manifest import DATA, MANIFEST, MAX_MANIFEST_BYTES, Manifest, open_manifest, shard_place
from storage.shards.shard_file import MAX_TOLD, read_shard


@dataclass(frozen=True)
class Received:
    """The shards that a device holds of the newest generation it holds any of.

    Attributes:
        folder: where they stand.
        generation: 0 where nothing was received yet.
        shards: by sequence number, those that are stored, in order.
        last: the highest number that ever was, 0 where none was.
        unknown: numbers of shards that stand there, signed by keys that the keyring does not know any more.
    """

    folder: Path
    generation: int
    shards: dict[int, Manifest]
    last: int
    unknown: frozenset[int] = frozenset()

    @cached_property
    def taken(self) -> int:
        """All shards up to this number are stored."""
        number = 0
        while number + 1 in self.shards:
            number += 1
        return number

    def holes(self) -> Iterator[int]:
        """Numbers up to the highest that ever was whose shards do not stand there."""
        there = self.shards.keys() | self.unknown
        return (number for number in range(self.taken + 1, self.last + 1) if number not in there)

    def file(self, name: str) -> Path:
        """Where the shard of this name stands, or is to."""
        return self.folder / f"{name}{DATA}"

    def rows(self, manifest: Manifest) -> list[ShardRow | ShardPart]:
        """The frames of a shard whose file stands there, and what they share, after bytes, hash and parts were checked.

        Raises:
            ShardError: it is not what was stored, or malformed.
            OSError: it cannot be read.
        """
        rows = read_shard(self.file(manifest.name).read_bytes(), manifest)
        _check_parts(manifest.name, rows)
        return rows


def look(device: Device) -> Received:
    """What stands in a device's home.

    Raises:
        OSError: it cannot be read.
        storage.shards.keyring.KeyringError: the keyring cannot be used.
    """
    folder = Path(device.home) / RECEIVED
    numbers = sorted(_numbers(folder))
    # The newest counts by its name: manifests come to stand here only after they were verified.
    generation, last, _ = numbers[-1] if numbers else (0, 0, folder)
    keyring = Keyring(Path(device.keyring))
    shards, unknown = {}, set()
    for own, sequence, path in numbers:
        if own == generation:
            try:
                shards[sequence] = _vouching(path, keyring, device)
            except ShardError as error:
                if error.fault is Fault.UNKNOWN_KEY:
                    unknown.add(sequence)
    return Received(folder, generation, shards, last, frozenset(unknown))


def store(received: Received, manifest: Manifest, signed: bytes) -> Received:
    """Let a shard whose file stands there count, and what is left of older generations go.

    Args:
        signed: the manifest's bytes as received.

    Raises:
        OSError: it cannot be written; the shard does not count then.
    """
    sync_folder(received.folder)
    write_durably(received.folder / f"{manifest.name}{MANIFEST}", signed)
    kept = received if manifest.generation == received.generation else Received(received.folder, 0, {}, 0)
    after = Received(
        received.folder,
        manifest.generation,
        dict(sorted({**kept.shards, manifest.sequence: manifest}.items())),
        max(kept.last, manifest.sequence),
        kept.unknown - {manifest.sequence},
    )
    sweep(after)
    return after


def discard(received: Received, manifest: Manifest) -> Received:
    """Let a shard that turned out to be damaged no longer count; its manifest tells that it is lacking."""
    received.file(manifest.name).unlink(missing_ok=True)
    return replace(
        received, shards={number: one for number, one in received.shards.items() if number != manifest.sequence}
    )


def sweep(received: Received) -> None:
    """Remove what older generations left, and half fetched files of shards that are stored."""
    for path in sorted(received.folder.glob("shard-*")):  # a manifest before its shard
        stem, _, ending = path.name.partition(".")
        place = shard_place(stem)
        if place is None:
            continue
        generation, sequence = place
        left_over = generation == received.generation and sequence in received.shards and ending.endswith(".part")
        if generation < received.generation or left_over:
            path.unlink(missing_ok=True)


def _check_parts(name: str, rows: Sequence[ShardRow | ShardPart]) -> None:
    """Refuse a shard with a part that cannot be decoded: it would spoil frames of other shards as well."""
    for part in rows:
        if not isinstance(part, ShardPart):
            continue
        from rinr.weights import read_shared  # torch, which takes seconds: most shards carry no part

        called = part_name(part.payload)
        try:
            read_shared(called, {called: part.payload})
        except PayloadError as error:
            needing = [row.image_id for row in frames_among(rows) if row.frame.clip and row.frame.clip.part == called]
            what = f"the shared part {part.part_id}: {error}; {needing_told(needing)}"
            raise ShardError(Fault.MALFORMED, f"{name}{DATA}: {safe_spelling(what, MAX_TOLD)}") from None


def _numbers(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Generation, sequence and path of every manifest."""
    for path in folder.glob(f"shard-*{MANIFEST}"):
        place = shard_place(path.name.removesuffix(MANIFEST))
        if place:
            yield *place, path


def _vouching(path: Path, keyring: Keyring, device: Device) -> Manifest:
    """The manifest, where it is in order and its shard stands beside it."""
    with path.open("rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    manifest = open_manifest(data, path.name, keyring.public_key)
    try:
        size = path.with_suffix(DATA).stat().st_size
    except FileNotFoundError:
        size = 0
    if manifest.device != device.name:
        raise ShardError(Fault.FOREIGN, f"{path} is meant for {manifest.device}")
    if size != manifest.bytes:
        raise ShardError(Fault.TRUNCATED, f"{path.with_suffix(DATA)} has {size:,} bytes")
    return manifest
