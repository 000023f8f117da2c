"""Twenty-odd ways to tamper with an inbox, and what a device makes of each."""

import errno
import hashlib
import io
import itertools
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from device import home as home_module
from device import received as received_module
from device import receiving as receiving_module
from device.received import look
from device.receiving import MAX_LOOKED_AT, ContactError, receive
from rinr import shard as shard_module
from rinr.codec.frame import EncodedFrame, pack_frame
from rinr.presets import PRESETS
from rinr.shard import ShardRow
from storage.folder import Folder
from storage.inbox import Inbox, InboxError
from storage.shards import shard_file
from storage.shards.acknowledgement import PURPOSE as ACKNOWLEDGEMENT
from storage.shards.faults import Fault
from storage.shards.keyring import Keyring
from storage.shards.manifest import Manifest
from storage.shards.signing import SigningKey, signed
from tests.device.conftest import Bench, Scene, encoded
from tests.device.fog import Fog

INSTANT = next(preset for preset in PRESETS if preset.name == "instant")
ONE, TWO, THREE = (f"shard-0001-{number:08d}" for number in (1, 2, 3))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, INSTANT)


def rows_of(number: int, generation: int = 1):
    """Two images of a shard of this number."""
    first = 100 * generation + 2 * number
    return encoded([Scene.make(seed) for seed in (first, first + 1)], INSTANT)


@pytest.fixture
def fog(bench: Bench) -> Fog:
    """Three shards lie in the inbox."""
    for number in (1, 2, 3):
        bench.fog.deliver(rows_of(number))
    return bench.fog


@pytest.fixture
def parsed(monkeypatch) -> Callable[[], set[str]]:
    """Hashes of all files and payloads that were parsed."""
    seen: set[str] = set()
    parquet, unpack = shard_file.pq.ParquetFile, shard_module.unpack_frame

    def file(source: io.BytesIO):
        seen.add(hashlib.sha256(source.getvalue()).hexdigest())
        return parquet(source)

    def frame(payload: bytes):
        seen.add(hashlib.sha256(payload).hexdigest())
        return unpack(payload)

    monkeypatch.setattr(shard_file.pq, "ParquetFile", file)
    monkeypatch.setattr(shard_module, "unpack_frame", frame)
    return lambda: seen


def genuine(fog: Fog, *names: str) -> set[str]:
    """Hashes of the files and payloads of these shards."""
    datas = [fog.made[name][0] for name in names]
    payloads = [pack_frame(row.frame) for name in names for row in rows_of(int(name[-8:]), int(name[6:10]))]
    return {hashlib.sha256(data).hexdigest() for data in (*datas, *payloads)}


def manifest(fog: Fog, name: str) -> Path:
    return fog.folder / f"{name}.manifest"


def data(fog: Fog, name: str) -> Path:
    return fog.folder / f"{name}.parquet"


def swap(one: Path, other: Path) -> None:
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def change(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def flipped(where: float) -> Callable[[bytes], bytes]:
    def flip(data: bytes) -> bytes:
        place = int(where * (len(data) - 1))
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


def unsigned(fog: Fog) -> None:
    change(manifest(fog, TWO), lambda data: data[: data.rindex(b"\nEd25519")] + b"\n")


def signed_by_a_stranger(fog: Fog) -> None:
    made, _, stranger = fog.shard(rows_of(2), 2, SigningKey.new())
    manifest(fog, made.name).write_bytes(stranger)


def signed_with_a_revoked_key(fog: Fog) -> None:
    keyring = Keyring(Path(fog.device.keyring))
    old = SigningKey.new()
    keyring.trust(old.public.text)
    keyring.revoke(old.public.id)
    manifest(fog, TWO).write_bytes(fog.shard(rows_of(2), 2, old)[2])


def field_edited(fog: Fog) -> None:
    change(manifest(fog, TWO), lambda data: data.replace(b'"rows":2', b'"rows":3'))


def signature_edited(fog: Fog) -> None:
    change(manifest(fog, TWO), lambda data: data[:-10] + (b"A" if data[-10:-9] != b"A" else b"B") + data[-9:])


def signature_of_another(fog: Fog) -> None:
    other = manifest(fog, THREE).read_bytes()
    signature = other[other.rindex(b"\nEd25519") :]
    change(manifest(fog, TWO), lambda data: data[: data.rindex(b"\nEd25519")] + signature)


def signed_for_another_purpose(fog: Fog) -> None:
    text = fog.made[TWO][1]
    document = text[: text.rindex(b"\nEd25519")]
    manifest(fog, TWO).write_bytes(signed(document, ACKNOWLEDGEMENT, fog.keyring.signer()))


def manifest_truncated(fog: Fog) -> None:
    change(manifest(fog, TWO), lambda data: data[: len(data) // 2])


def manifest_empty(fog: Fog) -> None:
    manifest(fog, TWO).write_bytes(b"")


def manifest_huge(fog: Fog) -> None:
    change(manifest(fog, TWO), lambda data: b" " * (5 * 1024 * 1024) + data)


def manifest_missing(fog: Fog) -> None:
    manifest(fog, TWO).unlink()


def manifest_malformed(fog: Fog) -> None:
    manifest(fog, TWO).write_bytes(signed(b"[" * 100_000, "residual-inr shard manifest", fog.keyring.signer()))


def manifests_swapped(fog: Fog) -> None:
    swap(manifest(fog, TWO), manifest(fog, THREE))


def foreign(fog: Fog) -> None:
    fog.inbox.put(TWO, *fog.shard(rows_of(2), 2, device="cam-a")[1:])


def replayed(fog: Fog) -> None:
    fog.inbox.put(TWO, *fog.made[ONE])


def renamed(fog: Fog) -> None:
    manifests_swapped(fog)
    swap(data(fog, TWO), data(fog, THREE))


def data_swapped(fog: Fog) -> None:
    swap(data(fog, TWO), data(fog, THREE))


def data_edited(fog: Fog) -> None:
    change(data(fog, TWO), flipped(0.5))


def first_byte_edited(fog: Fog) -> None:
    change(data(fog, TWO), flipped(0))


def last_byte_edited(fog: Fog) -> None:
    change(data(fog, TWO), flipped(1))


def data_truncated(fog: Fog) -> None:
    change(data(fog, TWO), lambda data: data[:-1])


def data_empty(fog: Fog) -> None:
    data(fog, TWO).write_bytes(b"")


def data_longer(fog: Fog) -> None:
    change(data(fog, TWO), lambda data: data + b"\0")


def data_missing(fog: Fog) -> None:
    data(fog, TWO).unlink()


def data_of_another_fit(fog: Fog) -> None:
    data(fog, TWO).write_bytes(shard_file.write_shard(rows_of(7)))


Tampering = namedtuple("Tampering", "do fault wanted", defaults=((2,),))

TAMPERINGS = [
    Tampering(unsigned, Fault.UNSIGNED),
    Tampering(signed_by_a_stranger, Fault.UNKNOWN_KEY, ()),
    Tampering(signed_with_a_revoked_key, Fault.REVOKED_KEY),
    Tampering(field_edited, Fault.EDITED),
    Tampering(signature_edited, Fault.EDITED),
    Tampering(signature_of_another, Fault.EDITED),
    Tampering(signed_for_another_purpose, Fault.EDITED),
    Tampering(manifest_truncated, Fault.UNSIGNED),
    Tampering(manifest_empty, Fault.UNSIGNED),
    Tampering(manifest_huge, Fault.MALFORMED),
    Tampering(manifest_missing, Fault.MISSING),
    Tampering(manifest_malformed, Fault.MALFORMED),
    Tampering(manifests_swapped, Fault.OUT_OF_ORDER, (2, 3)),
    Tampering(foreign, Fault.FOREIGN),
    Tampering(replayed, Fault.REPLAYED),
    Tampering(renamed, Fault.OUT_OF_ORDER, (2, 3)),
    Tampering(data_swapped, Fault.EDITED),
    Tampering(data_edited, Fault.EDITED),
    Tampering(first_byte_edited, Fault.EDITED),
    Tampering(last_byte_edited, Fault.EDITED),
    Tampering(data_truncated, Fault.TRUNCATED),
    Tampering(data_empty, Fault.TRUNCATED),
    Tampering(data_longer, Fault.EDITED),
    Tampering(data_missing, Fault.MISSING),
    Tampering(data_of_another_fit, Fault.EDITED),
]


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: one.do.__name__)
def test_what_was_tampered_with_is_refused_reported_and_wanted_and_never_parsed(fog, parsed, tampering):
    tampering.do(fog)
    found = receive(fog.device)
    assert (found.generation, found.taken, found.new) == (1, 1, (ONE,))
    faults = {one.name: one.fault for one in found.refused}
    assert faults[TWO] is tampering.fault or (tampering.fault is Fault.EDITED and faults[TWO] is Fault.TRUNCATED)
    assert faults[THREE] in (Fault.OUT_OF_ORDER, Fault.REPLAYED), "it waits, or lies there under another name"
    assert set(faults) == {TWO, THREE}
    assert found.wanted == tampering.wanted
    assert all(one.reason.isprintable() and one.name in one.reason for one in found.refused)
    assert parsed() == genuine(fog, ONE)
    assert receive(fog.device).refused == found.refused, "another look finds the same"

    for name in (TWO, THREE):
        fog.again(name)
    found = receive(fog.device)
    assert (found.taken, found.new, found.refused, found.wanted) == (3, (TWO, THREE), (), ())
    assert parsed() == genuine(fog, ONE, TWO, THREE)


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: one.do.__name__)
def test_what_was_taken_stays_as_it_is_whatever_comes_under_its_name(fog, tampering):
    receive(fog.device)
    before = {path.name: path.read_bytes() for path in look(fog.device).folder.iterdir()}
    tampering.do(fog)
    found = receive(fog.device)
    assert (found.taken, found.new, found.wanted) == (3, (), ())
    assert {path.name: path.read_bytes() for path in look(fog.device).folder.iterdir()} == before
    named = {one.name: one.fault for one in found.refused}
    if tampering.do.__name__.startswith(("data", "first", "last")) or tampering.do is manifest_missing:
        assert named == {}, "the shard file of what was taken is not read again"
    else:
        assert named[TWO] is tampering.fault


def test_a_shard_signed_anew_with_another_key_is_the_same_shard(fog):
    receive(fog.device)
    rotated = fog.keyring.rotate()
    Keyring(Path(fog.device.keyring)).trust(rotated.text)
    fog.inbox.put(TWO, *fog.shard(rows_of(2), 2)[1:])
    found = receive(fog.device)
    assert (found.taken, found.new, found.refused) == (3, (), ())


def test_another_shard_under_the_number_of_one_that_was_taken_is_a_replay(fog):
    receive(fog.device)
    fog.inbox.put(TWO, *fog.shard(rows_of(9), 2)[1:])
    found = receive(fog.device)
    assert [(one.name, one.fault) for one in found.refused] == [(TWO, Fault.REPLAYED)]
    assert found.wanted == ()
    assert look(fog.device).shards[2].image_ids == tuple(row.image_id for row in rows_of(2))


def test_a_new_device_whose_first_shard_is_spoiled_asks_for_it(fog):
    change(data(fog, ONE), flipped(0.5))
    found = receive(fog.device)
    assert (found.generation, found.taken, found.wanted) == (1, 0, (1,))
    manifest(fog, ONE).write_bytes(b"")
    fog.inbox.remove([TWO, THREE])
    found = receive(fog.device)
    assert (found.generation, found.taken, found.wanted) == (1, 0, (1,)), "known by its name alone"


def test_shards_far_ahead_are_held_back_and_the_gap_is_wanted(bench):
    bench.fog.sent = 4
    bench.fog.deliver(rows_of(5))
    found = receive(bench.device)
    assert (found.generation, found.taken, found.new, found.wanted) == (1, 0, (), (1, 2, 3, 4))
    named = {one.name: one.fault for one in found.refused}
    assert named == {ONE: Fault.MISSING, "shard-0001-00000005": Fault.OUT_OF_ORDER}


def test_an_authentic_shard_of_a_million_asks_for_a_thousand(bench):
    bench.fog.sent = 999_999
    bench.fog.deliver(rows_of(5))
    assert receive(bench.device).wanted == tuple(range(1, 1001))


def test_forged_names_bring_no_generation_and_no_gap(fog):
    for name in ("shard-0009-00000001", "shard-0002-00000007", "shard-0001-99999999"):
        (fog.folder / f"{name}.manifest").write_bytes(fog.made[ONE][1])
        (fog.folder / f"{name}.parquet").write_bytes(fog.made[ONE][0])
    (fog.folder / "shard-0001-1.manifest").write_bytes(b"")
    (fog.folder / "..%2f.manifest").write_bytes(b"")
    found = receive(fog.device)
    assert (found.generation, found.taken) == (1, 3)
    assert {one.fault for one in found.refused} == {Fault.REPLAYED}
    assert found.wanted == (99_999_999,), "which the fog node knows that it never sent"


def test_an_inbox_full_of_nonsense_is_looked_at_in_part_and_what_is_lacking_first(fog, monkeypatch):
    receive(fog.device)
    for number in range(10, 10 + 2 * MAX_LOOKED_AT):
        (fog.folder / f"shard-0001-{number:08d}.manifest").write_bytes(b"nonsense")
    fog.deliver(rows_of(4))
    asked = []
    read = Inbox.manifest
    monkeypatch.setattr(Inbox, "manifest", lambda inbox, name: asked.append(name) or read(inbox, name))
    found = receive(fog.device)
    assert found.new == ("shard-0001-00000004",)
    assert len(asked) == MAX_LOOKED_AT
    assert len(found.wanted) == len(found.refused) == MAX_LOOKED_AT - 1


def test_a_new_generation_replaces_the_older_once_its_first_shard_is_stored(fog):
    receive(fog.device)
    old = dict(fog.made)
    fog.generation, fog.sent = 2, 0
    fog.deliver(rows_of(1, 2))
    data(fog, "shard-0002-00000001").write_bytes(b"broken on the way")
    found = receive(fog.device)
    assert (found.generation, found.taken, found.wanted) == (2, 0, (1,)), "it is known to have begun"
    assert look(fog.device).taken == 3, "nothing is given up before the new one stands"

    fog.again("shard-0002-00000001")
    fog.deliver(rows_of(2, 2))
    found = receive(fog.device)
    assert (found.generation, found.taken, found.wanted) == (2, 2, ())
    assert {(one.name, one.fault) for one in found.refused} == {(name, Fault.REPLAYED) for name in old}
    assert sorted(path.stem for path in look(fog.device).folder.glob("*.manifest")) == sorted(set(fog.made) - set(old))
    assert {path.stem for path in look(fog.device).folder.iterdir()} == set(fog.made) - set(old)


def test_a_wiped_device_takes_all_again_or_says_what_it_lacks(fog):
    receive(fog.device)
    shutil.rmtree(look(fog.device).folder)
    fog.inbox.remove([ONE, TWO])  # acknowledged, and so removed
    found = receive(fog.device)
    assert (found.taken, found.wanted) == (0, (1, 2))
    fog.again(ONE)
    fog.again(TWO)
    assert receive(fog.device).taken == 3


def test_what_a_key_signed_that_was_revoked_since_counts_no_more(fog):
    receive(fog.device)
    keyring = Keyring(Path(fog.device.keyring))
    (entry,) = keyring.entries()
    keyring.revoke(entry.id)
    found = receive(fog.device)
    assert (found.taken, found.wanted) == (0, (1, 2, 3))
    fresh = fog.keyring.rotate()
    keyring.trust(fresh.text)
    for number, name in enumerate((ONE, TWO, THREE), 1):
        fog.inbox.put(name, *fog.shard(rows_of(number), number)[1:])
    found = receive(fog.device)
    assert (found.taken, found.new, found.wanted) == (3, (ONE, TWO, THREE), ())


def test_a_lost_keyring_is_said_and_nothing_is_fetched_twice_for_it(fog):
    receive(fog.device)
    keys = Path(fog.device.keyring)
    kept = (keys / "keyring.json").read_bytes()
    (keys / "keyring.json").unlink()
    found = receive(fog.device)
    assert (found.taken, found.new, found.wanted) == (0, (), ())
    assert {one.fault for one in found.refused} == {Fault.UNKNOWN_KEY}
    assert all("rinr keys trust" in one.reason for one in found.refused)
    (keys / "keyring.json").write_bytes(kept)
    (keys / "keyring.json").chmod(0o600)
    assert receive(fog.device).taken == 3


def test_what_is_stored_is_what_was_sent(fog):
    found = receive(fog.device)
    received = look(fog.device)
    assert found.bytes_fetched == sum(len(part) for made in fog.made.values() for part in made)
    for number, name in enumerate((ONE, TWO, THREE), 1):
        assert received.file(name).read_bytes() == fog.made[name][0]
        assert received.file(name).with_suffix(".manifest").read_bytes() == fog.made[name][1]
        assert received.rows(received.shards[number]) == rows_of(number)
    assert {path.name for path in received.folder.iterdir()} == {
        f"{name}.{ending}" for name in fog.made for ending in ("parquet", "manifest")
    }


class KilledError(BaseException):
    """As by SIGKILL: nothing on the way catches it."""


STEPS = [
    (received_module, "write_durably"),
    (received_module, "sync_folder"),
    (received_module, "sweep"),
    (home_module.os, "fsync"),
    (Path, "replace"),
    (Inbox, "manifest"),
    (Inbox, "fetch"),
    (Inbox, "names"),
]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
def test_killed_beside_any_step_the_next_look_ends_with_the_same(fog, monkeypatch, step, before):
    owner, name = step
    real = getattr(owner, name)
    fetched = 0
    for kill_at in range(1, 100):
        calls = 0

        def dying(*arguments, last=kill_at, **options):
            nonlocal calls
            calls += 1
            if calls == last and before:
                raise KilledError
            done = real(*arguments, **options)
            if calls == last:
                raise KilledError
            return done

        shutil.rmtree(look(fog.device).folder, ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, dying)
            try:
                receive(fog.device)
            except KilledError:
                fetched += 1
            else:
                break
        assert receive(fog.device).taken == 3
        received = look(fog.device)
        assert [received.rows(one) for one in received.shards.values()] == [rows_of(number) for number in (1, 2, 3)]
        assert {path.suffix for path in received.folder.iterdir()} == {".parquet", ".manifest"}
    assert fetched >= 1


RECEIVE = """
import os, random, sys
from device.receiving import receive
from storage.fleet_file import load_fleet
chance, lines = random.Random(int(sys.argv[2])), 0
last = chance.randrange(1, 2500)

def dying(frame, event, argument):
    global lines
    lines += event == "line"
    if lines > last:
        os._exit(9)
    return dying

device = load_fleet(sys.argv[1]).devices[0]
receive(device)  # an empty inbox: all is imported
rooms = ("/device/", "/storage/")
sys.settrace(lambda frame, event, argument: dying if any(r in frame.f_code.co_filename for r in rooms) else None)
os.rename(sys.argv[3], device.inbox)
receive(device)
"""


def test_a_process_killed_at_any_line_leaves_what_the_next_one_ends(fog, tmp_path):
    from storage.fleet import Fleet
    from storage.fleet_file import fleet_toml

    fleet = tmp_path / "fleet.toml"
    fleet.write_text(fleet_toml(Fleet(devices=(fog.device,))))
    killed = 0
    for seed in range(4):
        shutil.rmtree(look(fog.device).folder, ignore_errors=True)
        fog.folder.rename(tmp_path / "aside")
        done = subprocess.run(
            [sys.executable, "-c", RECEIVE, str(fleet), str(seed), str(tmp_path / "aside")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in (0, 9), done.stderr
        killed += done.returncode == 9
        found = receive(fog.device)
        assert (found.taken, found.refused, found.wanted) == (3, (), ())
    assert killed >= 2


def test_without_space_nothing_is_lost_and_it_goes_on_when_there_is(fog, monkeypatch):
    real = shutil.disk_usage
    usage = namedtuple("usage", "total used free")
    size = len(fog.made[ONE][0])

    def full(path):
        stored = len(list(Path(path).glob("*.parquet")))
        return usage(0, 0, 1024 * 1024 + size + 10 if stored == 0 else 1000)

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(
        ContactError, match=r"no space in .*home: shard-0001-00000002 has .* bytes and 1,000 are free"
    ) as (raised):
        receive(fog.device)
    assert (raised.value.report.taken, raised.value.report.new) == (1, (ONE,))
    assert look(fog.device).taken == 1
    monkeypatch.setattr(shutil, "disk_usage", real)
    found = receive(fog.device)
    assert (found.taken, found.new) == (3, (TWO, THREE))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_runs_full_while_a_manifest_is_written(fog, monkeypatch, number):
    real = received_module.write_durably

    def full(path, data):
        if TWO in path.name:
            raise OSError(number, os.strerror(number))
        real(path, data)

    monkeypatch.setattr(received_module, "write_durably", full)
    with pytest.raises(ContactError, match=r"no space in .*make room on the device") as raised:
        receive(fog.device)
    assert raised.value.report.taken == 1
    monkeypatch.setattr(received_module, "write_durably", real)
    found = receive(fog.device)
    assert found.new == (TWO, THREE)
    assert found.bytes_fetched < sum(len(part) for made in fog.made.values() for part in made)


def test_an_inbox_that_breaks_off_keeps_what_came_before(fog, monkeypatch):
    real = Inbox.fetch

    def broken(inbox, manifest: Manifest, target: Path):
        if manifest.sequence == 3:
            raise InboxError("the inbox cannot be read: gone")
        return real(inbox, manifest, target)

    monkeypatch.setattr(Inbox, "fetch", broken)
    with pytest.raises(ContactError, match="the inbox cannot be read: gone") as raised:
        receive(fog.device)
    assert raised.value.report.taken == 2


def test_an_inbox_that_is_not_there_yet_is_empty(bench):
    found = receive(bench.device)
    assert (found.generation, found.taken, found.new, found.refused, found.wanted) == (0, 0, (), (), ())


def test_the_tamperings_differ_from_what_was_sent(fog):
    """Each really changes the inbox, so that no test above passes for nothing."""
    for tampering in TAMPERINGS:
        for name in (ONE, TWO, THREE):
            fog.again(name)
        before = {path.name: path.read_bytes() for path in fog.folder.iterdir()}
        tampering.do(fog)
        assert {path.name: path.read_bytes() for path in fog.folder.iterdir()} != before, tampering.do.__name__


def test_what_was_fetched_before_a_kill_is_not_fetched_again(fog, monkeypatch):
    whole = sum(len(part) for made in fog.made.values() for part in made)

    def killed(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(receiving_module, "store", killed)
        with pytest.raises(KilledError):
            receive(fog.device)
    found = receive(fog.device)
    assert found.taken == 3
    assert found.bytes_fetched == whole - len(fog.made[ONE][0])


def test_a_local_file_that_was_spoiled_before_its_manifest_came_is_fetched_again(fog):
    target = look(fog.device).file(ONE)
    target.parent.mkdir(parents=True)
    target.write_bytes(flipped(0.5)(fog.made[ONE][0]))
    assert receive(fog.device).taken == 3
    assert target.read_bytes() == fog.made[ONE][0]


def test_a_disk_that_runs_full_while_a_shard_is_fetched(fog, monkeypatch):
    real = os.pwrite

    def full(file, data, place):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ContactError, match=r"no space in .*home: .*make room on the device") as raised:
        receive(fog.device)
    assert raised.value.report.taken == 0
    monkeypatch.setattr(os, "pwrite", real)
    assert receive(fog.device).taken == 3


def test_after_a_break_at_most_one_block_comes_again(bench, monkeypatch):
    noise = [ShardRow(f"{n:064x}", EncodedFrame(64, 48, os.urandom(500_000), ())) for n in range(7)]
    sent = bench.fog.deliver(noise)
    real, calls, came = Folder.read_block, itertools.count(1), 0

    def breaking(folder, name, start, count):
        nonlocal came
        if next(calls) % 2 == 0:
            raise ConnectionResetError("gone")
        block = real(folder, name, start, count)
        came += len(block)
        return block

    monkeypatch.setattr(Folder, "read_block", breaking)
    broken = 0
    while True:
        try:
            found = receive(bench.device)
        except ContactError:
            broken += 1
        else:
            break
    assert broken >= 3
    assert found.new == (sent.name,)
    assert came == sent.bytes, "a block that came is kept"
