"""Transfers over local folders, S3 and SFTP, broken at random bytes: whole or not at all, and little sent again."""

import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from storage.folder import Folder
from storage.places import transfer
from storage.places.s3_uploads import PART
from storage.places.transfer import BLOCK, LocalFileError, Transfer, fetch, send
from storage.shards.faults import Fault, ShardError
from tests.servers import FaultProxy, HttpServer, S3Server, SftpServer

DATA = random.Random(1).randbytes(5 * BLOCK + 12_345)
# An S3 upload of two parts and of a last one of five bytes.
PARTS = DATA[:PART] + random.Random(2).randbytes(PART + 5)
SHA256 = hashlib.sha256(DATA).hexdigest()
SLACK = 200_000
"""Bytes that handshakes, headers and listings may take over a few attempts."""


@dataclass
class Route:
    """A folder reached through a proxy that can break."""

    kind: str
    url: str
    options: dict[str, Any]
    proxy: FaultProxy
    folder: Folder

    def through(self) -> Folder:
        """A new connection, as a new process would have."""
        return Folder(self.url, dict(self.options))


@pytest.fixture(params=["s3", "sftp"])
def route(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Route]:
    kind = request.param
    if kind == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        with FaultProxy(server.port) as proxy:
            url = f"s3://{server.new_bucket()}/inbox"
            direct = Folder(url, server.options())
            yield Route(kind, url, server.options(proxy.port) | {"skip_instance_cache": True}, proxy, direct)
    else:
        sftp: SftpServer = request.getfixturevalue("sftp_server")
        with FaultProxy(sftp.port) as proxy:
            place = f"{tmp_path.name}/inbox"
            (sftp.folder / place).mkdir(parents=True)
            yield Route(kind, sftp.url(place, proxy.port), sftp.options, proxy, Folder(sftp.url(place), sftp.options))


def entries(folder: Path) -> list[str]:
    """Names in a local folder, hidden ones as well."""
    return sorted(path.name for path in folder.iterdir())


def stopped_writing(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Local writes end in an error after so many bytes, the last of them half-way."""
    left = [after]
    real = Folder.write_block

    def write(self: Folder, name: str, start: int, block: bytes) -> None:
        real(self, name, start, block[: left[0]])
        left[0] -= len(block)
        if left[0] < 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "write_block", write)


def test_a_file_is_sent_whole_and_over_what_stood_there(tmp_path: Path):
    folder = Folder(str(tmp_path / "inbox"))
    assert send(folder, "a", b"old") == Transfer(3, 0)
    assert send(folder, "a", DATA) == Transfer(len(DATA), 0)
    assert (tmp_path / "inbox" / "a").read_bytes() == DATA
    assert entries(tmp_path / "inbox") == ["a"]


@pytest.mark.parametrize("seed", range(8))
def test_a_local_write_that_breaks_is_gone_on_with(tmp_path: Path, seed: int):
    folder = Folder(str(tmp_path))
    (tmp_path / "a").write_bytes(b"old")
    at = random.Random(seed).randrange(len(DATA))
    with pytest.MonkeyPatch.context() as patch:
        stopped_writing(patch, at)
        with pytest.raises(OSError, match="No space left"):
            send(folder, "a", DATA)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert folder.names() == ["a"]
    again = send(folder, "a", DATA)
    assert (tmp_path / "a").read_bytes() == DATA
    assert again.sent + again.kept == len(DATA)
    assert at - BLOCK <= again.kept <= at
    assert entries(tmp_path) == ["a"]


def test_what_a_dead_machine_left_of_a_local_file_is_not_believed(tmp_path: Path):
    part = tmp_path / f".a.{SHA256[:16]}.part"
    part.write_bytes(DATA[:BLOCK] + bytes(3 * BLOCK))
    assert send(Folder(str(tmp_path)), "a", DATA).kept == BLOCK
    assert (tmp_path / "a").read_bytes() == DATA
    part.write_bytes(DATA + b"x")
    assert send(Folder(str(tmp_path)), "a", DATA).kept == 0
    assert (tmp_path / "a").read_bytes() == DATA


def test_what_was_left_of_other_bytes_is_cleared_away(tmp_path: Path, sftp_server: SftpServer):
    (sftp_server.folder / tmp_path.name).mkdir()
    target = tmp_path / "home" / "a"
    target.parent.mkdir()
    for folder, place in (
        (Folder(str(tmp_path / "inbox")), tmp_path / "inbox"),
        (Folder(sftp_server.url(tmp_path.name), sftp_server.options), sftp_server.folder / tmp_path.name),
    ):
        place.mkdir(exist_ok=True)
        for name in (".a.0123456789abcdef.part", ".b.0123456789abcdef.part"):
            (place / name).write_bytes(b"x")
        target.with_name("a.0123456789abcdef.part").write_bytes(b"x")
        send(folder, "a", DATA)
        assert entries(place) == [".b.0123456789abcdef.part", "a"]
        fetch(folder, "a", target, len(DATA), SHA256)
        assert entries(target.parent) == ["a"]


def test_an_upload_that_breaks_at_any_byte_sends_at_most_one_block_again(route: Route):
    """Broken, on a connection that carries so many bytes in all, and sent again; then it stands there whole."""
    data = PARTS if route.kind == "s3" else DATA
    block = PART if route.kind == "s3" else BLOCK
    chance = random.Random(3)
    breaks = sorted(chance.randrange(len(data) // 2, len(data)) for _ in range(1 if route.kind == "s3" else 3))
    for at in breaks:
        route.proxy.up_limit = at
        with pytest.raises(Exception):  # noqa: B017, PT011  (each client has errors of its own)
            send(route.through(), "a", data)
        assert not route.folder.exists("a")
    route.proxy.up_limit = None
    last = send(route.through(), "a", data)
    assert route.folder.read("a", len(data)) == data
    assert last.sent + last.kept == len(data)
    assert last.kept > 0
    assert route.proxy.up <= len(data) + len(breaks) * block + SLACK
    assert route.folder.names() == ["a"]


def test_a_download_that_breaks_at_any_byte_fetches_at_most_one_block_again(route: Route, tmp_path: Path):
    route.folder.write("a", DATA)
    target = tmp_path / "received" / "a"
    chance = random.Random(4)
    breaks = sorted(chance.randrange(len(DATA)) for _ in range(1 if route.kind == "s3" else 3))
    for at in breaks:
        route.proxy.down_limit = at
        with pytest.raises(Exception):  # noqa: B017, PT011
            fetch(route.through(), "a", target, len(DATA), SHA256)
        assert not target.exists()
    route.proxy.down_limit = None
    last = fetch(route.through(), "a", target, len(DATA), SHA256)
    assert target.read_bytes() == DATA
    assert last.sent + last.kept == len(DATA)
    # s3fs asks a second time by itself before it gives up, which makes another break.
    assert route.proxy.down <= len(DATA) + 2 * len(breaks) * BLOCK + SLACK
    assert entries(target.parent) == ["a"]


def test_two_senders_of_the_same_bytes_do_not_disturb_each_other(route: Route):
    failed: list[BaseException] = []
    data = PARTS if route.kind == "s3" else DATA

    def one() -> None:
        try:
            send(route.through(), "a", data)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failed == []
    assert route.folder.read("a", len(data)) == data
    assert route.folder.names() == ["a"]


def test_an_unfinished_upload_of_other_bytes_is_not_gone_on_with(s3_server: S3Server):
    folder = Folder(f"s3://{s3_server.new_bucket()}/inbox", s3_server.options())
    bucket, key, _ = folder.file_system.split_path(folder.path("a"))
    system = folder.file_system

    def unfinished() -> list[Any]:
        return system.call_s3("list_multipart_uploads", Bucket=bucket).get("Uploads") or []

    for other in (DATA[PART - 5 :] + bytes(PART), PARTS[:PART] + bytes(PART)):
        upload = system.call_s3("create_multipart_upload", Bucket=bucket, Key=key)["UploadId"]
        for number in (1, 2):
            body = other[(number - 1) * PART : number * PART]
            system.call_s3("upload_part", Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body)
    assert send(folder, "a", PARTS) == Transfer(len(PARTS), 0)
    assert folder.read("a", len(PARTS)) == PARTS
    assert unfinished() == []


def test_a_fetch_that_was_killed_between_blocks_keeps_whole_blocks(tmp_path: Path):
    (tmp_path / "a").write_bytes(DATA)
    target = tmp_path / "home" / "a"
    target.parent.mkdir()
    part = target.with_name(f"a.{SHA256[:16]}.part")
    for there in (0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 7, len(DATA), len(DATA) + 1):
        part.write_bytes(DATA[:there] + bytes(max(0, there - len(DATA))))
        got = fetch(Folder(str(tmp_path)), "a", target, len(DATA), SHA256)
        assert got.kept == (there // BLOCK * BLOCK if there <= len(DATA) else 0)
        assert target.read_bytes() == DATA
        assert entries(target.parent) == ["a"]


def test_blocks_of_a_file_that_was_tampered_with_do_not_spoil_the_good_one(tmp_path: Path):
    (tmp_path / "a").write_bytes(DATA)
    target = tmp_path / "home" / "a"
    target.parent.mkdir()
    target.with_name(f"a.{SHA256[:16]}.part").write_bytes(bytes(3 * BLOCK))
    assert fetch(Folder(str(tmp_path)), "a", target, len(DATA), SHA256).kept == 0
    assert target.read_bytes() == DATA


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (None, Fault.MISSING),
        (b"", Fault.TRUNCATED),
        (DATA[:-1], Fault.TRUNCATED),
        (DATA[: 2 * BLOCK], Fault.TRUNCATED),
        (DATA + b"x", Fault.EDITED),
        (DATA[:-1] + b"x", Fault.EDITED),
        (b"x" + DATA[1:], Fault.EDITED),
    ],
)
@pytest.mark.parametrize("kind", ["local", "s3", "sftp", "http"])
def test_a_file_that_is_not_the_one_expected_is_refused(
    kind: str, found: bytes | None, fault: Fault, tmp_path: Path, request: pytest.FixtureRequest
):
    place = f"{tmp_path.name}-{kind}"
    make: dict[str, Callable[[], tuple[str, dict[str, Any]]]] = {
        "local": lambda: (str(tmp_path / "inbox"), {}),
        "s3": lambda: (f"s3://{(s := request.getfixturevalue('s3_server')).new_bucket()}/inbox", s.options()),
        "sftp": lambda: ((s := request.getfixturevalue("sftp_server")).url(place), s.options),
        "http": lambda: (request.getfixturevalue("http_server").url(place), {}),
    }
    url, options = make[kind]()
    folder = Folder(url, options)
    if found is not None:
        writer = Folder(str(request.getfixturevalue("http_server").folder / place)) if kind == "http" else folder
        writer.write("a", found)
    target = tmp_path / "home" / "a"
    with pytest.raises(ShardError, match=r"^a .*have it sent again") as error:
        fetch(folder, "a", target, len(DATA), SHA256)
    assert error.value.fault is fault
    assert not target.exists()
    if found is not None and fault is Fault.EDITED and len(found) == len(DATA):
        assert entries(target.parent) == []


def test_a_web_server_without_ranges_gives_the_whole(http_server: HttpServer, tmp_path: Path):
    (http_server.folder / "plain").mkdir()
    (http_server.folder / "plain" / "a").write_bytes(DATA)
    folder = Folder(http_server.url("plain"))
    target = tmp_path / "a"
    target.with_name(f"a.{SHA256[:16]}.part").write_bytes(DATA[: 2 * BLOCK])
    assert fetch(folder, "a", target, len(DATA), SHA256).kept == 2 * BLOCK
    assert target.read_bytes() == DATA


def test_a_full_disk_keeps_what_came_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_bytes(DATA)
    target = tmp_path / "home" / "a"
    room = [2 * BLOCK + 100]
    real = os.pwrite

    def pwrite(file: int, data: bytes, start: int) -> int:
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        written = real(file, data[: room[0]], start)
        room[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(transfer.os, "pwrite", pwrite)
        with pytest.raises(LocalFileError, match=r"home/a cannot be written: No space left on device; make room"):
            fetch(Folder(str(tmp_path)), "a", target, len(DATA), SHA256)
    assert fetch(Folder(str(tmp_path)), "a", target, len(DATA), SHA256) == Transfer(len(DATA) - 2 * BLOCK, 2 * BLOCK)
    assert target.read_bytes() == DATA


@pytest.mark.drill
def test_transfers_that_break_at_many_random_bytes(route: Route, tmp_path: Path):
    """Files up and down, each broken at up to four random bytes; prints the most that went again."""
    chance = random.Random(6)
    block = PART if route.kind == "s3" else BLOCK
    worst = {"up": 0.0, "down": 0.0}
    files = 6 if route.kind == "s3" else 20
    for number in range(files):
        data = chance.randbytes(chance.randrange(3 * block))
        name, target = f"file-{number}", tmp_path / f"file-{number}"
        sha256 = hashlib.sha256(data).hexdigest()
        for way in ("up", "down"):
            route.proxy.up = route.proxy.down = 0
            breaks = sorted(chance.randrange(len(data)) for _ in range(chance.randrange(1, 5)))
            act: Callable[[], Any] = {
                "up": lambda name=name, data=data: send(route.through(), name, data),
                "down": lambda name=name, data=data, sha256=sha256, target=target: fetch(
                    route.through(), name, target, len(data), sha256
                ),
            }[way]
            done = 0
            for at in breaks:
                setattr(route.proxy, f"{way}_limit", at)
                with suppress(Exception):
                    act()
                    done += 1
            setattr(route.proxy, f"{way}_limit", None)
            act()
            moved = getattr(route.proxy, way)
            # s3fs asks a second time by itself before it gives up, which makes another break.
            tries = len(breaks) * (2 if route.kind == "s3" else 1) + done
            assert moved <= len(data) + tries * (block if way == "up" else BLOCK) + done * len(data) + SLACK
            again = max(0, moved - len(data) * (1 + done) - SLACK) / (block if way == "up" else BLOCK) / tries
            worst[way] = max(worst[way], again)
        assert route.folder.read(name, len(data)) == data == target.read_bytes()
    up, down = worst["up"], worst["down"]
    print(f"\n{route.kind}: {files} files up and down, at most {up:.2f} and {down:.2f} blocks again a break")


@pytest.mark.drill
def test_senders_that_are_killed(tmp_path: Path):
    """A process that sends 40 MB into a folder is killed at random moments; the next one goes on where it was."""
    data = random.Random(7).randbytes(40 * BLOCK)
    (tmp_path / "data").write_bytes(data)
    code = """
import sys; from pathlib import Path; from storage.folder import Folder; from storage.places.transfer import send
print("ready", flush=True)
print(send(Folder(sys.argv[2]), "a", Path(sys.argv[1]).read_bytes()).kept)
"""
    chance = random.Random(8)
    killed, kept = 0, []
    command = [sys.executable, "-c", code, str(tmp_path / "data"), str(tmp_path / "inbox")]
    for _ in range(15):
        (tmp_path / "inbox" / "a").unlink(missing_ok=True)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        killed += process.wait() != 0
        parts = list((tmp_path / "inbox").glob(".a.*.part"))
        before = sum(part.stat().st_size for part in parts)
        assert (tmp_path / "inbox" / "a").exists() or len(parts) <= 1
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        kept.append(int(done.stdout.split()[1]))
        assert (tmp_path / "inbox" / "a").read_bytes() == data
        assert before - BLOCK < kept[-1] <= before
        assert entries(tmp_path / "inbox") == ["a"]
    print(
        f"\n{killed} of 15 senders killed; those after them kept {min(kept):,} to {max(kept):,} of {len(data):,} bytes"
    )
    assert killed > 5
