import json
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from storage.shards.faults import Fault, KeyringError, ShardError
from storage.shards.keyring import Keyring, Status
from storage.shards.signing import signed
from tests.storage.shards.examples import FOG, OTHER


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "home" / "keys")


def statuses(keyring: Keyring) -> dict[str, str]:
    return {entry.id: entry.status.value for entry in keyring.entries()}


def test_the_first_key_signs_and_others_stand_by(keyring: Keyring):
    assert keyring.entries() == []
    with pytest.raises(KeyringError, match=r"holds no key that signs; make one with: rinr keys new --keys .*home/keys"):
        keyring.signer()
    first = keyring.new("of the fog")
    second = keyring.new()
    assert statuses(keyring) == {first.id: "active", second.id: "standby"}
    assert [entry.label for entry in keyring.entries()] == ["of the fog", ""]
    assert Keyring(keyring.folder).signer().public == first


def test_rotating_takes_the_newest_that_stands_by_or_makes_one(keyring: Keyring):
    first, second, third = (keyring.new() for _ in range(3))
    assert keyring.rotate() == third
    assert keyring.signer().public == third
    assert statuses(keyring) == {first.id: "retired", second.id: "standby", third.id: "active"}
    assert keyring.rotate() == second
    fourth = keyring.rotate()
    assert fourth not in (first, second, third)
    assert keyring.signer().public == fourth
    assert [keyring.public_key(key.id) for key in (first, second, third, fourth)] == [first, second, third, fourth]
    assert Keyring(keyring.folder.parent / "empty").rotate().raw


def test_a_key_of_another_is_trusted_once(keyring: Keyring):
    assert keyring.trust(FOG.public.text, "fog") == FOG.public
    assert keyring.trust(FOG.public.text, "again") == FOG.public
    assert [(e.status, e.label) for e in keyring.entries()] == [(Status.TRUSTED, "fog")]
    assert keyring.public_key(FOG.public.id) == FOG.public
    own = keyring.new()
    keyring.trust(own.text)
    assert statuses(keyring)[own.id] == "active"


def test_what_is_not_known_or_revoked_is_not_trusted(keyring: Keyring):
    with pytest.raises(
        ShardError, match=r"does not know; if it is the fog's, run: rinr keys trust KEY --keys "
    ) as error:
        keyring.public_key(OTHER.public.id)
    assert error.value.fault is Fault.UNKNOWN_KEY
    keyring.trust(OTHER.public.text)
    keyring.revoke(OTHER.public.id)
    with pytest.raises(ShardError, match="which was revoked") as error:
        keyring.public_key(OTHER.public.id)
    assert error.value.fault is Fault.REVOKED_KEY
    with pytest.raises(KeyringError, match="was revoked, which is final"):
        keyring.trust(OTHER.public.text)
    keyring.revoke(OTHER.public.id)


def test_revoking_ones_own_deletes_its_private_half(keyring: Keyring):
    first, second = keyring.new(), keyring.new()
    with pytest.raises(KeyringError, match=r"is the key that signs; let another sign first \(rinr keys rotate\)"):
        keyring.revoke(first.id)
    assert statuses(keyring)[first.id] == "active"
    keyring.revoke(first.id, force=True)
    assert statuses(keyring) == {first.id: "revoked", second.id: "active"}
    assert keyring.signer().public == second
    assert not (keyring.folder / f"{first.id}.pem").exists()
    with pytest.raises(KeyringError, match=f"no key 'abc' in .*; there are: {first.id}, {second.id}"):
        keyring.revoke("abc")


def test_only_its_owner_reads_it(keyring: Keyring):
    before = os.umask(0o002)
    try:
        key = keyring.new()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keyring.folder.iterdir() if path.name != ".lock"}
    assert stat.S_IMODE(keyring.folder.stat().st_mode) == 0o700
    assert modes == {"keyring.json": 0o600, f"{key.id}.pem": 0o600}
    secret = (keyring.folder / f"{key.id}.pem").read_text().split("\n")[1]
    assert secret not in (keyring.folder / "keyring.json").read_text()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660])
def test_a_private_key_that_others_may_read_is_refused(keyring: Keyring, mode: int):
    file = keyring.folder / f"{keyring.new().id}.pem"
    file.chmod(mode)
    with pytest.raises(
        KeyringError, match=r"may be read by others; if nobody did, run: chmod 600 .*\.pem; if somebody"
    ):
        keyring.signer()
    file.chmod(0o600)
    keyring.signer()


def test_a_keyring_that_others_may_write_is_refused(keyring: Keyring):
    keyring.new()
    file = keyring.folder / "keyring.json"
    for path, bad, right in ((file, 0o666, 0o600), (file, 0o620, 0o600), (keyring.folder, 0o770, 0o700)):
        path.chmod(bad)
        for use in (keyring.entries, keyring.signer, keyring.new, lambda: keyring.public_key("0" * 16)):
            with pytest.raises(KeyringError, match=f"may be written by others, .*; run: chmod {right:o} {path}$"):
                use()
        path.chmod(right)
    keyring.signer()


def test_a_private_key_that_is_gone_wrong_or_anothers(keyring: Keyring):
    first, second = keyring.new(), keyring.new()
    files = [keyring.folder / f"{key.id}.pem" for key in (first, second)]
    good = files[0].read_bytes()
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(KeyringError, match=f"is the private half of {second.id}; expected that of {first.id}"):
        keyring.signer()
    files[0].write_bytes(good[:-40])
    with pytest.raises(KeyringError, match=rf"{first.id}\.pem: the signing key cannot be read"):
        keyring.signer()
    files[0].unlink()
    with pytest.raises(KeyringError, match=rf"the private key .*{first.id}\.pem cannot be read: No such file"):
        keyring.signer()
    files[1].unlink()
    with pytest.raises(KeyringError, match="cannot be read"):
        keyring.rotate()
    assert statuses(keyring) == {first.id: "active", second.id: "standby"}


def damaged(**changes: object) -> str:
    entry = {
        "id": FOG.public.id,
        "key": FOG.public.text,
        "status": "trusted",
        "label": "",
        "added_at": "2026-01-01T00:00:00+00:00",
    }
    return json.dumps({"version": 1, "keys": [entry | changes]})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "keys": []}',
        '{"version": 1, "keys": [1]}',
        '{"version": 1, "keys": {"a": 1}}',
        "[" * 100_000,
        damaged(id=OTHER.public.id),
        damaged(key="x"),
        damaged(key=None),
        damaged(status="friend"),
        damaged(label="\n"),
        damaged(label=None),
        damaged(added_at="2026-01-01T00:00:00"),
        damaged(added_at=1),
    ],
)
def test_a_keyring_that_cannot_be_read(keyring: Keyring, text: str):
    keyring.folder.mkdir(parents=True)
    file = keyring.folder / "keyring.json"
    file.write_text(text)
    file.chmod(0o600)
    for use in (keyring.entries, keyring.new, keyring.signer):
        with pytest.raises(KeyringError, match=r"keyring\.json is no keyring: .*; restore it from a copy"):
            use()
    assert file.read_text() == text
    file.write_text(damaged())
    assert keyring.public_key(FOG.public.id) == FOG.public


def test_labels_are_plain(keyring: Keyring):
    for label in ("a\nb", "x" * 101):
        with pytest.raises(KeyringError, match="expected at most 100 printable characters"):
            keyring.new(label)
    assert keyring.entries() == []


def test_keys_are_used_by_both_ends(keyring: Keyring, tmp_path: Path):
    fog = Keyring(tmp_path / "fog")
    keyring.trust(fog.new().text)
    data = signed(b"x", "p", fog.signer())
    from storage.shards.signing import opened

    assert opened(data, "p", keyring.public_key, "a file") == b"x"
    fog.rotate()
    with pytest.raises(ShardError, match=r"a file is signed by .*, which .*keys does not know"):
        opened(signed(b"x", "p", fog.signer()), "p", keyring.public_key, "a file")


def test_many_processes_at_once_lose_no_key(keyring: Keyring):
    code = "import sys; from pathlib import Path; from storage.shards.keyring import Keyring\n"
    code += "for _ in range(5): Keyring(Path(sys.argv[1])).new()"
    made = [subprocess.Popen([sys.executable, "-c", code, str(keyring.folder)]) for _ in range(3)]
    assert [process.wait(120) for process in made] == [0, 0, 0]
    found = statuses(keyring)
    assert len(found) == 15
    assert sorted(found.values()) == ["active", *["standby"] * 14]
    keyring.signer()


@pytest.mark.parametrize("step", range(12))
def test_a_kill_at_any_step_leaves_a_keyring_that_works(keyring: Keyring, step: int, monkeypatch: pytest.MonkeyPatch):
    """Every system call that changes the folder is the last one once."""
    first = keyring.new()
    keyring.new()
    count = [0]

    class Killed(BaseException):
        pass

    def counted(real):
        def call(*arguments, **options):
            count[0] += 1
            if count[0] > step:
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(os, "open", counted(os.open))
        with suppress(Killed):
            keyring.revoke(first.id, force=True)
    assert sorted(statuses(keyring).values()) in (["active", "standby"], ["active", "revoked"])
    keyring.signer()
    keyring.revoke(first.id, force=True)
    assert statuses(keyring)[first.id] == "revoked"
    assert not (keyring.folder / f"{first.id}.pem").exists()
    keyring.signer()
