from dataclasses import replace
from pathlib import Path

import pytest

from rinr.shard import ShardRow
from storage.inbox import Inbox, InboxError
from storage.places.transfer import LocalFileError, Transfer
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest, open_manifest, write_manifest
from storage.shards.shard_file import read_shard
from tests.storage.shards.examples import DATA, FOG, MANIFEST, ROWS, SIGNED, trusted

NAME = MANIFEST.name


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(str(tmp_path / "inbox"))


def files(inbox: Inbox) -> list[str]:
    return sorted(path.name for path in Path(inbox.url).iterdir())


def received(inbox: Inbox, home: Path) -> list[tuple[Manifest, list[ShardRow]]]:
    """All that lies there, as a device takes it."""
    found = []
    for name in inbox.names():
        manifest = open_manifest(inbox.manifest(name), f"{name}.manifest", trusted)
        inbox.fetch(manifest, home / name)
        found.append((manifest, read_shard((home / name).read_bytes(), manifest)))
    return found


def test_what_is_put_is_received(inbox: Inbox, tmp_path: Path):
    assert inbox.names() == []
    assert inbox.put(NAME, DATA, SIGNED) == Transfer(len(DATA) + len(SIGNED), 0)
    assert inbox.names() == [NAME] == ["shard-0001-00000002"]
    assert files(inbox) == [f"{NAME}.manifest", f"{NAME}.parquet"]
    assert received(inbox, tmp_path) == [(MANIFEST, ROWS)]


def test_object_stores_work_the_same(tmp_path: Path):
    inbox = Inbox(f"memory://{tmp_path}/inbox")
    inbox.put(NAME, DATA, SIGNED)
    assert received(inbox, tmp_path) == [(MANIFEST, ROWS)]
    inbox.remove([NAME])
    assert inbox.names() == []


def test_names_are_sorted_and_other_files_passed_over(inbox: Inbox):
    for place in ((2, 1), (1, 10), (1, 9)):
        manifest = replace(MANIFEST, generation=place[0], sequence=place[1])
        inbox.put(manifest.name, DATA, write_manifest(manifest, FOG))
    for name in (
        "notes.manifest",
        f".{NAME}.manifest.12.part",
        "shard-0000-00000001.manifest",
        "README",
        f"{NAME}.json",
    ):
        Path(inbox.url, name).write_text("x")
    Path(inbox.url, "shard-0003-00000001.parquet").write_text("no manifest yet")
    assert inbox.names() == ["shard-0001-00000009", "shard-0001-00000010", "shard-0002-00000001"]


def test_the_manifest_comes_last(inbox: Inbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A put that is cut off leaves no manifest; the next one finishes it."""
    from storage import inbox as module

    real = module.send

    def cut_off(folder, name, data):
        if name.endswith(".manifest"):
            raise OSError("cut off")
        return real(folder, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(module, "send", cut_off)
        with pytest.raises(InboxError, match="cannot be written: cut off; check `inbox`"):
            inbox.put(NAME, DATA, SIGNED)
    assert (inbox.names(), files(inbox)) == ([], [f"{NAME}.parquet"])
    inbox.put(NAME, DATA, SIGNED)
    assert received(inbox, tmp_path) == [(MANIFEST, ROWS)]


def test_a_put_writes_over_what_was_tampered_with(inbox: Inbox, tmp_path: Path):
    inbox.put(NAME, DATA, SIGNED)
    Path(inbox.url, f"{NAME}.parquet").write_bytes(b"x")
    Path(inbox.url, f"{NAME}.manifest").write_bytes(b"x")
    inbox.put(NAME, DATA, SIGNED)
    assert received(inbox, tmp_path) == [(MANIFEST, ROWS)]


def test_what_is_removed_is_gone(inbox: Inbox):
    inbox.put(NAME, DATA, SIGNED)
    inbox.remove([NAME, "shard-0001-00000077"])
    assert (inbox.names(), files(inbox)) == ([], [])
    inbox.remove([NAME])
    with pytest.raises(
        ShardError, match=r"shard-0001-00000002\.manifest is not in the inbox .*; have it sent"
    ) as error:
        inbox.manifest(NAME)
    assert error.value.fault is Fault.MISSING


@pytest.mark.parametrize(
    ("found", "fault"),
    [(None, Fault.MISSING), (DATA[:-1], Fault.TRUNCATED), (DATA + b"x", Fault.EDITED), (DATA[::-1], Fault.EDITED)],
)
def test_a_shard_that_is_not_what_its_manifest_says(inbox: Inbox, tmp_path: Path, found: bytes | None, fault: Fault):
    inbox.put(NAME, DATA, SIGNED)
    file = Path(inbox.url, f"{NAME}.parquet")
    if found is None:
        file.unlink()
    else:
        file.write_bytes(found)
    with pytest.raises(ShardError, match=r"^shard-0001-00000002\.parquet .*; have it sent again") as error:
        inbox.fetch(MANIFEST, tmp_path / "home" / "x")
    assert error.value.fault is fault
    assert not (tmp_path / "home" / "x").exists()


def test_an_inbox_that_cannot_be_used(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InboxError, match=r"file/in cannot be written: Not a directory; check `inbox` of the device"):
        Inbox(f"{tmp_path}/file/in").put(NAME, DATA, SIGNED)
    with pytest.raises(InboxError, match="the inbox nowhere://x cannot be read"):
        Inbox("nowhere://x").names()


def test_a_home_that_cannot_be_used_is_not_the_inboxs_fault(inbox: Inbox, tmp_path: Path):
    inbox.put(NAME, DATA, SIGNED)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LocalFileError, match=r"file/home/x cannot be written: Not a directory"):
        inbox.fetch(MANIFEST, tmp_path / "file" / "home" / "x")


@pytest.mark.parametrize("name", ["../outside", "", "shard-0001-00000002.parquet", "shard-0001-0000000/"])
def test_a_name_never_leaves_the_inbox(inbox: Inbox, name: str):
    for use in (lambda: inbox.put(name, DATA, SIGNED), lambda: inbox.manifest(name), lambda: inbox.remove([name])):
        with pytest.raises(ValueError, match="is no name of a shard"):
            use()
    assert not Path(inbox.url).exists()


def test_a_manifest_is_read_with_a_bound(inbox: Inbox, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.inbox.MAX_MANIFEST_BYTES", 10)
    inbox.put(NAME, DATA, SIGNED)
    assert inbox.manifest(NAME) == SIGNED[:11]
