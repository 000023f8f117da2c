"""The twenty tamperings of the drill of ten devices, without a server: quick enough for every run of the tests."""

from pathlib import Path

import pytest

from storage.shards.manifest import DATA, MANIFEST
from tests.device.test_with_the_fog import World
from tests.drills.tamperings import TAMPERINGS, Attack, Tampering


def files(world: World) -> tuple[bytes, bytes]:
    """Data and manifest of the only shard in an inbox."""
    (data,) = [path for path in world.inbox if path.suffix == DATA]
    return data.read_bytes(), data.with_suffix(MANIFEST).read_bytes()


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda tampering: tampering.name)
def test_what_was_tampered_with_is_named_not_taken_and_sent_again(tmp_path: Path, tampering: Tampering) -> None:
    world, other = World(tmp_path / "a"), World(tmp_path / "b")
    other.device = other.device.model_copy(update={"name": "cam-c"})
    other.keys.trust(world.fog.signer().public.text)
    other.fog = world.fog
    other.images = 20  # other pictures than the first one is sent
    for one in (world, other):
        one.capture()
        one.deliver()
    older = files(world)
    world.receive()
    for one in (world, other):
        one.capture()
        one.deliver()
    (name,) = {path.stem for path in world.inbox}
    before, evidence = world.held, tmp_path / "evidence"
    secret = next(Path(world.device.keyring).glob("*.pem"))
    foreign = max(path for path in other.inbox if path.suffix == DATA)
    tampering.act(
        Attack(
            Path(world.device.inbox),
            name,
            older,
            (foreign.read_bytes(), foreign.with_suffix(MANIFEST).read_bytes()),
            secret,
            evidence,
        )
    )
    refused = {one.name: one.fault for one in world.receive().refused}
    assert world.held == before
    assert not evidence.exists()
    assert refused.keys() == ({name} if tampering.faults else set())
    assert set(refused.values()) <= tampering.faults
    assert [(shard.name, shard.again) for shard in world.deliver().sent] == [(name, True)]
    world.receive()
    assert world.held == world.expected


def test_there_are_twenty() -> None:
    assert len({tampering.name for tampering in TAMPERINGS}) == 20
