"""Deliveries of a real fog node to a real device, through an inbox in which somebody meddles."""

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from device.acknowledging import acknowledge
from device.received import look
from device.receiving import receive
from storage.delivery import hear, reset
from storage.fleet import Device
from storage.shards.faults import Fault
from storage.shards.keyring import Keyring
from storage.shards.manifest import DATA, MANIFEST, PURPOSE
from storage.shards.signing import signed
from tests.storage.delivery_bench import MemoryStore, contact
from tests.storage.examples import ENCODING, digest, encoded_image, source

PER_ROUND = 2  # at most sixty examples are there


class World:
    """A store, one device and its inbox.

    Attributes:
        refused: by fault, what the device refused.
        stored: how often each shard's content was stored by the device, by generation and image.
    """

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        places = {name: str(folder / name) for name in ("storage", "inbox", "outbox", "home")}
        self.device = Device(name="cam-b", **places)
        self.fog = Keyring(folder / "fog-keys")
        self.keys = Keyring(Path(self.device.keyring))
        self.keys.trust(self.fog.new().text, "fog")
        self.device = self.device.model_copy(update={"public_key": self.keys.new().text})
        self.images = 0
        self.refused: Counter[Fault] = Counter()
        self.old: dict[str, bytes] = {}

    def capture(self) -> None:
        numbers = range(self.images, self.images + PER_ROUND)
        self.store.append([encoded_image(number) for number in numbers])
        self.store.append([source(number, device="cam-a") for number in numbers])
        self.images += PER_ROUND

    def deliver(self):
        return contact(self.store, self.device, ENCODING, self.fog.signer())

    def receive(self):
        found = receive(self.device)
        acknowledge(self.device, found)
        self.refused.update(one.fault for one in found.refused)
        return found

    @property
    def inbox(self) -> list[Path]:
        return sorted(path for path in Path(self.device.inbox).glob("shard-*") if path.suffix in (DATA, MANIFEST))

    @property
    def held(self) -> Counter[str]:
        """How often each image stands in what the device holds."""
        manifests = look(self.device).shards.values()
        return Counter(image_id for manifest in manifests for image_id in manifest.image_ids)

    @property
    def expected(self) -> Counter[str]:
        return Counter(digest(f"image {number}") for number in range(self.images))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def flip(world: World, chance: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))


def cut(world: World, chance: random.Random, path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -chance.randint(1, 200)])


def remove(world: World, chance: random.Random, path: Path) -> None:
    path.unlink()


def swap(world: World, chance: random.Random, path: Path) -> None:
    other = chance.choice([one for one in world.inbox if one.suffix == path.suffix])
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def replay(world: World, chance: random.Random, path: Path) -> None:
    name = chance.choice(sorted(world.old))
    path.with_name(name).write_bytes(world.old[name])


def rename(world: World, chance: random.Random, path: Path) -> None:
    path.rename(path.with_name(f"shard-0001-{chance.randrange(1, 99_999_999):08d}{path.suffix}"))


def junk(world: World, chance: random.Random, path: Path) -> None:
    path.with_name(f"shard-{chance.randrange(1, 4):04d}-{chance.randrange(1, 50):08d}{path.suffix}").write_bytes(
        chance.randbytes(100)
    )


MEDDLING = (flip, cut, remove, swap, replay, rename, junk)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_done_to_the_inbox_the_device_ends_with_what_it_should_have(world, seed):
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    for _ in range(28):
        if chance.random() < 0.6:
            world.capture()
        world.deliver()
        world.old.update({path.name: path.read_bytes() for path in world.inbox})
        for _ in range(chance.randrange(3)):
            if world.inbox:
                meddle = chance.choice(MEDDLING)
                meddle(world, chance, chance.choice(world.inbox))
                done[meddle.__name__] += 1
        match chance.randrange(12):
            case 0:  # wiped, and told so
                shutil.rmtree(look(world.device).folder, ignore_errors=True)
                reset(world.store, world.device.name)
                done["wiped"] += 1
            case 1:  # away
                continue
            case 2:  # one shard is lost on the device's own disk
                received = look(world.device)
                if received.shards:
                    received.file(chance.choice(list(received.shards.values())).name).unlink()
                    done["lost"] += 1
        world.receive()
        assert max(world.held.values(), default=1) == 1
    assert sum(done.values()) > 15
    assert sum(world.refused.values()) > 5

    for _ in range(40):  # nobody meddles any more
        sent = world.deliver().sent
        found = world.receive()
        if not sent and not found.new and not found.wanted and world.held == world.expected:
            break
    assert world.held == world.expected
    last = world.deliver()
    assert (last.standing.shards_waiting, last.standing.images_acknowledged) == (0, world.images)


def test_where_nobody_meddles_each_byte_is_sent_and_fetched_once(world):
    sent = fetched = 0
    for _ in range(5):
        world.capture()
        sent += world.deliver().bytes
        fetched += world.receive().bytes_fetched
        assert world.deliver().sent == ()
        assert world.receive().bytes_fetched == 0
    assert sent == fetched
    assert world.held == world.expected
    assert not world.refused
    assert world.inbox == []


def test_a_key_that_was_stolen_is_revoked_and_what_it_signed_comes_again(world):
    world.capture()
    world.deliver()
    world.receive()
    world.deliver()
    stolen = world.fog.signer().public.id
    world.keys.trust(world.fog.rotate().text)
    world.keys.revoke(stolen)
    assert world.receive().wanted == (1,)
    assert [shard.again for shard in world.deliver().sent] == [True]
    assert world.receive().taken == 1
    assert world.held == world.expected


def test_what_the_disk_lost_comes_again_although_the_inbox_is_full(world):
    for _ in range(5):
        world.capture()
        world.deliver()
        world.receive()
    world.deliver()
    received = look(world.device)
    for number in (2, 4):
        received.file(received.shards[number].name).unlink()
    for _ in range(6):
        world.capture()
        world.deliver()
    for _ in range(8):
        world.receive()
        world.deliver()
    assert world.held == world.expected


def test_what_a_device_has_is_heard_without_sending_anything(world):
    world.capture()
    world.deliver()
    assert hear(world.store, world.device).acknowledged == ()
    assert len(world.inbox) == 2
    world.receive()
    world.capture()  # which is not sent
    assert hear(world.store, world.device).acknowledged == ("shard-0001-00000001",)
    assert world.inbox == []
    assert hear(world.store, world.device).acknowledged == ()
    assert world.deliver().acknowledged == ()
    world.receive()
    assert world.held == world.expected


def test_what_is_asked_for_when_it_is_heard_is_sent_with_the_next_delivery(world):
    world.capture()
    world.deliver()
    data = next(path for path in world.inbox if path.suffix == DATA)
    data.write_bytes(data.read_bytes()[:-1])
    assert world.receive().wanted == (1,)
    heard = hear(world.store, world.device)
    assert [name for name, _ in heard.asked] == ["shard-0001-00000001"]
    assert heard.refused
    assert [shard.again for shard in world.deliver().sent] == [True]
    world.receive()
    assert world.held == world.expected


def test_a_shard_that_a_stranger_signed_in_the_fogs_place_is_sent_again(world, tmp_path):
    world.capture()
    world.deliver()
    (manifest,) = [path for path in world.inbox if path.suffix == MANIFEST]
    stranger = Keyring(tmp_path / "stranger")
    stranger.new()
    manifest.write_bytes(signed(manifest.read_bytes().rsplit(b"\n", 2)[0], PURPOSE, stranger.signer()))
    assert world.receive().wanted == ()
    assert world.refused == {Fault.UNKNOWN_KEY: 1}
    assert [shard.again for shard in world.deliver().sent] == [True]
    assert world.receive().taken == 1
    assert world.held == world.expected


def test_what_the_device_refuses_because_it_does_not_know_the_fogs_new_key_is_not_sent_again(world):
    world.fog.rotate()
    world.capture()
    world.deliver()
    assert world.receive().wanted == ()
    assert world.refused == {Fault.UNKNOWN_KEY: 1}
    assert world.deliver().sent == ()
