"""Receiving: shards from the inbox into the device's home, in their order, each verified before it counts.

::

    manifest ──▶ signed by a key ──▶ for this ──▶ the next ──▶ data as ──▶ frames as ──▶ stored,
                 of the keyring?     device?      one?         signed?     they must be  manifest last
                 unsigned            foreign      replayed     truncated   malformed
                 unknown key                      out of order edited
                 revoked key, edited              missing      missing

What is refused stays out of the home, is told to the fog node with its reason, and is asked for again, but for what an
unknown key signed: sending that again would not help. A shard that is malformed although it is authentic was made so by
the fog node: it is kept, so that it does not hold up what comes after it, and is never decoded.

Nothing before the last step parses what is received, but for manifests whose signature was verified.
"""

import errno
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from device.home import Progress, unusable
from device.received import Received, look, store, sweep
from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.inbox import Inbox, InboxError
from storage.places.device_paths import safe_spelling
from storage.places.transfer import LocalFileError
from storage.shards.acknowledgement import MAX_REASON, MAX_WANTED, RefusedShard
from storage.shards.faults import Fault, ShardError
from storage.shards.keyring import Keyring
from storage.shards.manifest import MANIFEST, Manifest, open_manifest, shard_name, shard_place

MAX_LOOKED_AT = 1_000
"""Shards of an inbox that are looked at in one contact: an inbox full of nonsense must not take all day."""

_ROOM = 1024 * 1024  # bytes left for the manifest, the acknowledgement and the file system's own
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class ReceiveReport:
    """What one look into the inbox brought.

    Attributes:
        generation: that the fog node sends now, as far as is known; 0 where nothing came yet.
        taken: all shards of it from 1 to this are verified and stored.
        new: names of the shards that were stored now.
        refused: those that were not.
        wanted: sequence numbers after ``taken`` that have to be sent again, rising, at most ``MAX_WANTED``.
        bytes_fetched: read from the inbox, manifests and broken attempts included.
    """

    generation: int
    taken: int
    new: tuple[str, ...]
    refused: tuple[RefusedShard, ...]
    wanted: tuple[int, ...]
    bytes_fetched: int


class ContactError(RuntimeError):
    """A look into the inbox that broke off; the message says why and what to do.

    Attributes:
        report: what was taken before.
    """

    def __init__(self, message: str, report: ReceiveReport) -> None:
        super().__init__(message)
        self.report = report


def receive(device: Device, secrets: Secrets = environment, progress: Progress | None = None) -> ReceiveReport:
    """Take what the inbox holds and the device lacks.

    Raises:
        ContactError: the inbox cannot be read to the end, or there is no space; what was stored before is so.
        device.home.HomeError: the home cannot be read.
        storage.shards.faults.KeyringError: the keyring cannot be used.
    """
    try:
        received = look(device)
        sweep(received)
        received.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(device, error) from error
    contact = _Contact(device, secrets, received, progress)
    try:
        contact.take_all()
    except InboxError as error:
        raise ContactError(str(error), contact.report()) from error
    except LocalFileError as error:
        cause = error.__cause__
        told = _told(device, cause) if isinstance(cause, OSError) else str(error)
        raise ContactError(told, contact.report()) from error
    except OSError as error:
        raise ContactError(_told(device, error), contact.report()) from error
    return contact.report()


def after_reading(found: ReceiveReport, received: Received, refused: Iterable[RefusedShard]) -> ReceiveReport:
    """What was found, once stored shards were read and some turned out to be of no use.

    Args:
        found: when they were received.
        received: what is still stored.
        refused: the others.
    """
    by_name = {one.name: one for one in (*found.refused, *refused)}
    taken, wanted = found.taken, set(found.wanted)
    if found.generation == received.generation:
        taken = received.taken
        wanted |= set(islice(received.holes(), MAX_WANTED))
    return replace(
        found,
        taken=taken,
        refused=tuple(by_name[name] for name in sorted(by_name)),
        wanted=tuple(sorted(wanted)[:MAX_WANTED]),
    )


class _NoSpaceError(OSError):
    """Not enough of it for a shard."""


class _Contact:
    """One look into an inbox, as far as it has come."""

    def __init__(self, device: Device, secrets: Secrets, received: Received, progress: Progress | None) -> None:
        self._device = device
        self._inbox = Inbox(device.inbox, device.inbox_options, secrets)
        self._keyring = Keyring(Path(device.keyring))
        self._received = received
        self._tell = progress or (lambda what, done, total: None)
        self._new: list[str] = []
        self._refused: dict[str, RefusedShard] = {}
        self._wanted: defaultdict[int, set[int]] = defaultdict(set)
        self._unhelpful: set[tuple[int, int]] = set()  # sending them again would not help
        self._announced = 0  # the newest generation of which a shard is authentic
        self._bytes = 0

    def take_all(self) -> None:
        self._name_unknown()
        generations = self._listed()
        for generation in sorted(generations, reverse=True):  # a newer one replaces the older ones
            if generation < self._received.generation:
                self._pass_over(generation, generations[generation])
            else:
                self._take_in_order(generation, generations[generation])

    def report(self) -> ReceiveReport:
        received = self._received
        generation = max(received.generation, self._announced)
        if not generation:  # nothing is known but by names: of whatever it is, its start is needed
            generation = min((number for number, wanted in self._wanted.items() if wanted), default=0)
        taken = received.taken if generation == received.generation else 0
        holes = received.holes() if generation == received.generation else ()
        wanted = {
            number
            for number in (*self._wanted[generation], *islice(holes, MAX_WANTED))
            if number > taken and (generation, number) not in self._unhelpful
        }
        return ReceiveReport(
            generation=generation,
            taken=taken,
            new=tuple(self._new),
            refused=tuple(self._refused[name] for name in sorted(self._refused)),
            wanted=tuple(sorted(wanted)[:MAX_WANTED]),
            bytes_fetched=self._bytes,
        )

    def _name_unknown(self) -> None:
        """Say that the keyring does not vouch any more for what was taken before."""
        generation = self._received.generation
        for sequence in sorted(self._received.unknown)[:MAX_LOOKED_AT]:
            self._unhelpful.add((generation, sequence))
            name = shard_name(generation, sequence)
            what = f"it was taken before, and {self._keyring.folder} does not know the key any more that signed it"
            self._refuse(name, Fault.UNKNOWN_KEY, f"{name}: {what}; run: rinr keys trust KEY")

    def _listed(self) -> dict[int, list[int]]:
        """Sequence numbers by generation, rising; at most ``MAX_LOOKED_AT``, those that may bring something first."""
        places = sorted(place for name in self._inbox.names() if (place := shard_place(name)))
        received = self._received
        needed = [place for place in places if place[0] >= received.generation and not self._is_stored(*place)]
        others = [place for place in places if place[0] < received.generation or self._is_stored(*place)]
        generations: dict[int, list[int]] = {}
        for generation, sequence in sorted((needed + others)[:MAX_LOOKED_AT]):
            generations.setdefault(generation, []).append(sequence)
        return generations

    def _is_stored(self, generation: int, sequence: int) -> bool:
        return generation == self._received.generation and sequence in self._received.shards

    def _next(self, generation: int) -> int:
        return self._received.taken + 1 if generation == self._received.generation else 1

    def _pass_over(self, generation: int, sequences: Iterable[int]) -> None:
        for sequence in sequences:
            name = shard_name(generation, sequence)
            what = f"it is of generation {generation}, and {self._received.generation} has begun"
            self._refuse(name, Fault.REPLAYED, f"{name}: {what}; it can be removed from the inbox")

    def _take_in_order(self, generation: int, sequences: Iterable[int]) -> None:
        asked_for = False
        for sequence in sequences:
            if self._is_stored(generation, sequence):
                self._compare(generation, sequence)
                continue
            opened = self._open(generation, sequence)
            if opened is None:
                continue
            if sequence > self._next(generation) and not asked_for:
                # A shard that is authentic follows one that is not listed: perhaps that was being written just then.
                asked_for = True
                missing = self._next(generation)
                if shard_name(generation, missing) not in self._refused:
                    before = self._open(generation, missing)
                    if before:
                        self._take(*before)
            if sequence == self._next(generation):
                self._take(*opened)
            elif sequence > self._next(generation):
                self._hold_back(generation, sequence)

    def _open(self, generation: int, sequence: int) -> tuple[Manifest, bytes] | None:
        """A manifest that is authentic and meant for this device, with its bytes; otherwise it is refused."""
        name = shard_name(generation, sequence)
        try:
            manifest, signed = self._read_manifest(name)
        except ShardError as error:
            self._refuse(name, error.fault, str(error))
            if error.fault is Fault.UNKNOWN_KEY:
                self._unhelpful.add((generation, sequence))
            else:
                self._wanted[generation].add(sequence)
            return None
        self._announced = max(self._announced, generation)
        return manifest, signed

    def _read_manifest(self, name: str) -> tuple[Manifest, bytes]:
        signed = self._inbox.manifest(name)
        self._bytes += len(signed)
        manifest = open_manifest(signed, f"{name}{MANIFEST}", self._keyring.public_key)
        if manifest.device != self._device.name:
            raise ShardError(
                Fault.FOREIGN,
                f"{name} is meant for {manifest.device}, not for {self._device.name}; see that no two devices share an "
                "inbox, and have it sent again",
            )
        return manifest, signed

    def _take(self, manifest: Manifest, signed: bytes) -> None:
        """Fetch, verify and store a shard whose turn it is, or refuse it."""
        self._check_space(manifest)
        what = f"receiving {manifest.name}, bytes"
        self._tell(what, 0, manifest.bytes)
        target = self._received.file(manifest.name)
        try:
            if not self._is_fetched(manifest):
                self._bytes += self._inbox.fetch(manifest, target).sent
            self._received.rows(manifest)
        except ShardError as error:
            if error.fault is not Fault.MALFORMED:
                target.unlink(missing_ok=True)
                self._refuse(manifest.name, error.fault, str(error))
                self._wanted[manifest.generation].add(manifest.sequence)
                return
            why = f"{error}; it is kept and not used: the fog node made it so"
            self._refuse(manifest.name, error.fault, why)
        self._received = store(self._received, manifest, signed)
        self._new.append(manifest.name)
        self._tell(what, manifest.bytes, manifest.bytes)

    def _is_fetched(self, manifest: Manifest) -> bool:
        """Whether the file stands there already: a process was killed before it could store the manifest."""
        try:
            self._received.rows(manifest)
        except FileNotFoundError:
            return False
        except ShardError as error:
            return error.fault is Fault.MALFORMED
        return True

    def _hold_back(self, generation: int, sequence: int) -> None:
        """Leave a shard in the inbox whose turn has not come, and ask for those before it that are not there."""
        name, expected = shard_name(generation, sequence), self._next(generation)
        what = f"it waits in the inbox for {shard_name(generation, expected)}, which has to be taken before it"
        self._refuse(name, Fault.OUT_OF_ORDER, f"{name}: {what}")
        missing = (
            number
            for number in range(expected, sequence)
            if not self._is_stored(generation, number) and shard_name(generation, number) not in self._refused
        )
        self._wanted[generation].update(islice(missing, MAX_WANTED))

    def _compare(self, generation: int, sequence: int) -> None:
        """See that what lies in the inbox under the name of a shard that is stored is that shard."""
        name = shard_name(generation, sequence)
        try:
            manifest, _ = self._read_manifest(name)
        except ShardError as error:
            if error.fault is not Fault.MISSING:  # otherwise the fog node has just removed it
                self._refuse(name, error.fault, f"{error}; it was taken before, and stays as it is")
            return
        if manifest.sha256 != self._received.shards[sequence].sha256:
            self._refuse(name, Fault.REPLAYED, f"{name} was taken before, and was another one; it stays as it is")

    def _refuse(self, name: str, fault: Fault, reason: str) -> None:
        told = reason if name in reason else f"{name}: {reason}"
        self._refused[name] = RefusedShard(name, fault, safe_spelling(told)[:MAX_REASON])

    def _check_space(self, manifest: Manifest) -> None:
        free = shutil.disk_usage(self._received.folder).free
        fetched = sum(part.stat().st_size for part in self._parts(manifest))
        if free < manifest.bytes - fetched + _ROOM:
            raise _NoSpaceError(errno.ENOSPC, f"{manifest.name} has {manifest.bytes:,} bytes and {free:,} are free")

    def _parts(self, manifest: Manifest) -> Iterator[Path]:
        return self._received.folder.glob(f"{manifest.name}*.part")


def _told(device: Device, error: OSError) -> str:
    if error.errno in _NO_SPACE:
        return (
            f"no space in {device.home}: {error.strerror}; make room on the device. What was received stays, and the "
            "rest is fetched the next time"
        )
    return str(unusable(device, error))
