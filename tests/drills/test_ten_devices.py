"""Ten devices, each a process of its own: some go away, one's disk is full, one sends nonsense, one is meddled with."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import disk_usage

import pytest

from storage.shards.manifest import MANIFEST
from tests.drills.tamperings import TAMPERINGS, Attack, Tampering
from tests.drills.ten_devices import NAMES, TenDevices, small_disk

pytestmark = pytest.mark.drill

AWAY = ("cam-2", "cam-3")
FULL = "cam-4"
BROKEN = "cam-5"
TAMPERED = "cam-6"
FOREIGN = "cam-7"
"""Whose shards are put into the tampered inbox."""

PICTURES = 2
BROKEN_FILES = 3
BALLAST = "ballast"


def test_ten_devices(tmp_path: Path, tell: Callable[[str], None]) -> None:
    assert len(TAMPERINGS) == 20
    disk = tmp_path / "disk"
    with small_disk(disk, 24, tell) as is_small:
        world = TenDevices(tmp_path / "world", {FULL: disk / "home"} if is_small else {})
        with world.running():
            seen = three_rounds(world, disk if is_small else None, tell)
            settle(world)
            judge(world, seen, tell)


def three_rounds(world: TenDevices, disk: Path | None, tell: Callable[[str], None]) -> Counter[str]:
    """Three rounds of new pictures; returns how often each fault was given to a tampering."""
    seen: Counter[str] = Counter()
    older = [way for way in TAMPERINGS if way.needs_older]
    others = [way for way in TAMPERINGS if not way.needs_older]
    ways = (others[:7], others[7:13], others[13:] + older)
    for number, tamperings in enumerate(ways, 1):
        if disk is not None and number < 3:
            fill(disk)
        if number == 2:
            for name in AWAY:
                world.switch_off(name)
        for name in NAMES:
            world.take_pictures(name, PICTURES, BROKEN_FILES if name == BROKEN else 0)
        world.hold_up(TAMPERED)
        runs = world.fog("round")
        ended = world.wait({name: run for name, run in runs.items() if name in present(number)})
        for tampering in tamperings:
            seen[tamper(world, runs, tampering)] += 1
            runs = again(world)
        world.let_go(TAMPERED)
        world.wait({TAMPERED: runs[TAMPERED]})
        if disk is not None and number < 3:
            state, message = ended.pop(FULL)
            assert state == "FAILED", message
            assert "no space in" in message, message
            assert not world.held(FULL), "nothing was stored, and nothing acknowledged"
            (disk / BALLAST).unlink()
        assert {state for state, _ in ended.values()} == {"COMPLETED"}, ended
        if number == 2:
            for name in AWAY:
                assert world.held(name) != world.expected(name)
                world.switch_on(name)
        tell(f"round {number}: {len(ended)} devices trained, {len(tamperings)} tamperings")
    return seen


def present(number: int) -> set[str]:
    """The devices that are there in a round, but for the one that is meddled with."""
    return {*NAMES} - {TAMPERED} - (set(AWAY) if number == 2 else set())


def fill(disk: Path) -> None:
    """Leave half a megabyte on a device's disk."""
    free = disk_usage(disk).free - 512 * 1024
    (disk / BALLAST).write_bytes(bytes(free))


def tamper(world: TenDevices, runs: dict[str, str], tampering: Tampering) -> str:
    """Meddle with the shard that lies in the inbox, let the device read it, and see that nothing of it was taken."""
    device, before = world.devices[TAMPERED], world.held(TAMPERED)
    inbox = Path(device.inbox)
    (manifest,) = inbox.glob(f"shard-*{MANIFEST}")
    name = manifest.name.removesuffix(MANIFEST)
    evidence = world.root / "evidence"
    secret = next(Path(device.keyring).glob("*.pem"))
    older = world.newest(TAMPERED) if tampering.needs_older else (b"", b"")
    tampering.act(Attack(inbox, name, older, world.newest(FOREIGN), secret, evidence))
    world.let_go(TAMPERED)
    world.wait({TAMPERED: runs[TAMPERED]})
    world.hold_up(TAMPERED)
    assert not evidence.exists(), f"{tampering.name}: the attacker's code was run"
    assert world.held(TAMPERED) == before, f"{tampering.name}: something was taken"
    told = world.refused(TAMPERED).get(name, "")
    assert told in (tampering.faults or {""}), f"{tampering.name} was called {told!r}"
    return told or "noticed by the fog node"


def again(world: TenDevices) -> dict[str, str]:
    """The fog node hears what was refused, and sends it again."""
    runs = world.fog("deliver")
    assert TAMPERED in runs, "what was refused is asked for, sent again, and read in a run of its own"
    return runs


def settle(world: TenDevices) -> None:
    """Contacts until nobody lacks anything, and nothing lies in an inbox."""
    for _ in range(8):
        world.wait(world.fog("deliver"))
        if all(world.held(name) == world.expected(name) for name in NAMES) and not world.waiting():
            return


def judge(world: TenDevices, seen: Counter[str], tell: Callable[[str], None]) -> None:
    for name in NAMES:
        assert world.held(name) == world.expected(name), name
    assert not world.waiting(), "what a device has acknowledged leaves its inbox"
    assert world.quarantined() == sum(world.broken.values())
    rows = world.deliveries()
    for name in NAMES:
        mine = [row for row in rows if row["device"] == name]
        sent = [row for row in mine if row["status"] == "sent"]
        resent = [row for row in mine if row["status"] == "resent"]
        assert sum(row["bytes"] for row in sent) == world.bytes_held(name), name
        assert len({row["shard"] for row in sent}) == len(sent)
        assert len(resent) == (len(TAMPERINGS) if name == TAMPERED else 0), name
    whole = sum(row["bytes"] for row in rows if row["status"] == "sent")
    tell(f"{len(NAMES)} devices hold {sum(world.held(NAMES[0]).values())} images each, exactly theirs")
    tell(f"{len(TAMPERINGS)} tamperings, all refused: {dict(seen)}")
    tell(f"{whole:,} bytes sent, the sum of the shards; {len(TAMPERINGS)} shards sent again, those tampered with")
    tell(f"{sum(world.broken.values())} broken files in quarantine")
