"""Devices' storage and inboxes on real servers: local folders, S3, SFTP and HTTP, sound and in trouble."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from storage.devices import DeviceError, DeviceStorage, path_fault
from storage.fleet import Device
from storage.folder import Folder
from storage.inbox import Inbox, InboxError
from storage.places.http_files import links
from storage.shards.manifest import open_manifest
from storage.shards.shard_file import read_shard
from tests.servers import PASSWORD, FaultProxy, HttpServer, S3Server, SftpServer, closed_port
from tests.storage.examples import jpeg
from tests.storage.shards.examples import DATA, MANIFEST, ROWS, SIGNED, trusted

KINDS = ["local", "s3", "sftp", "http"]
REMOTE = ["s3", "sftp", "http"]
LARGE = os.urandom(400_000)
FILES = {
    "a.jpg": jpeg(1),
    "sub/b ä#%41.JPEG": jpeg(2),
    "annotations.json": b"{}",
    "sub/b.txt": b"0 0.5 0.5 1 1\n",
    "notes.md": b"",
    ".hidden.jpg": b"x",
    ".folder/c.jpg": b"x",
    "c.jpg.part": b"x",
}


@dataclass
class Place:
    """A device's storage on a server, and what lies before it."""

    kind: str
    url: str
    options: dict[str, Any]
    port: int = 0

    def storage(self, port: int | None = None, **options: Any) -> DeviceStorage:
        return DeviceStorage(Device(name="cam", inbox="/in", home="/home", **self.fields(port, **options)))

    def fields(self, port: int | None = None, **options: Any) -> dict[str, Any]:
        """The storage's URL and options, through a proxy where its port is given."""
        url, own = self.url, dict(self.options)
        if port and self.kind == "s3":
            own["endpoint_url"] = f"http://127.0.0.1:{port}"
        elif port:
            url = url.replace(f":{self.port}/", f":{port}/")
        return {"storage": url, "storage_options": own | options}


@pytest.fixture
def make_place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(kind: str, files: dict[str, bytes]) -> Place:
        name = f"at-{len(os.fspath(tmp_path))}-{time.monotonic_ns()}"
        monkeypatch.setenv("TEST_SECRET", "testing-secret")
        monkeypatch.setenv("TEST_KEY", "testing-key")
        monkeypatch.setenv("TEST_PASSWORD", PASSWORD)
        if kind == "s3":
            s3: S3Server = request.getfixturevalue("s3_server")
            bucket = s3.new_bucket()
            for path, data in files.items():
                s3.put(bucket, f"cam/{path}", data)
            options = s3.options() | {"key": {"env": "TEST_KEY"}, "secret": {"env": "TEST_SECRET"}}
            return Place(kind, f"s3://{bucket}/cam", options, s3.port)
        if kind == "sftp":
            sftp: SftpServer = request.getfixturevalue("sftp_server")
            write(sftp.folder / name, files)
            return Place(kind, sftp.url(name), sftp.options | {"password": {"env": "TEST_PASSWORD"}}, sftp.port)
        if kind == "http":
            http: HttpServer = request.getfixturevalue("http_server")
            write(http.folder / name, files)
            return Place(kind, http.url(name), {}, http.port)
        write(tmp_path / name, files)
        return Place(kind, str(tmp_path / name), {})

    return make


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


@pytest.fixture
def proxies() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", KINDS)
def test_storage_is_listed_and_read(make_place, kind: str):
    storage = make_place(kind, FILES).storage()
    listing = storage.list()
    files = {file.path: file for file in listing.pictures} | listing.others
    assert sorted(files) == ["a.jpg", "annotations.json", "sub/b ä#%41.JPEG", "sub/b.txt"]
    assert sorted(listing.others) == ["annotations.json", "sub/b.txt"]
    for path, file in files.items():
        assert file.size == len(FILES[path])
        assert file.regular
        assert abs((datetime.now(UTC) - file.modified).total_seconds()) < 600
        assert (file.etag is None) == (kind in ("local", "sftp"))
        assert storage.stat(path).state == file.state
    assert storage.read("sub/b ä#%41.JPEG") == FILES["sub/b ä#%41.JPEG"]
    assert storage.read_label("annotations.json") == b"{}"
    with pytest.raises(DeviceError, match=r"cam cannot be read: gone\.jpg"):
        storage.read("gone.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_and_an_empty_file_come_whole(make_place, kind: str):
    storage = make_place(kind, {"large.jpg": LARGE, "empty.jpg": b""}).storage()
    assert storage.read("large.jpg") == LARGE
    assert storage.read("empty.jpg") == b""


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_files_are_moved_over_others_and_deleted(make_place, kind: str):
    storage = make_place(kind, {"sub/a.jpg": b"new", "done/sub/a.jpg": b"old", "b.jpg": b"x"}).storage()
    storage.move("sub/a.jpg", "done")
    storage.delete("b.jpg")
    storage.delete("b.jpg")
    assert [file.path for file in storage.list().pictures] == ["done/sub/a.jpg"]
    assert storage.read("done/sub/a.jpg") == b"new"
    with pytest.raises(DeviceError):
        storage.move("gone.jpg", "done")


def test_links_behind_sftp_are_links(make_place, sftp_server: SftpServer):
    place = make_place("sftp", {"a.jpg": b"x", "elsewhere/b.jpg": b"y"})
    folder = sftp_server.folder / place.url.rsplit("/", 1)[1]
    (folder / "link.jpg").symlink_to("a.jpg")
    (folder / "loop").symlink_to(".")
    storage = place.storage()
    listed = {file.path: file.regular for file in storage.list().pictures}
    assert listed == {"a.jpg": True, "elsewhere/b.jpg": True, "link.jpg": False}
    with pytest.raises(DeviceError, match=r"link\.jpg of device cam is not read: not a regular file"):
        storage.read("link.jpg")


def test_a_page_of_links_out_of_the_folder_leads_nowhere(make_place):
    beyond = [
        "../x.jpg",
        "/y.jpg",
        "http://127.0.0.1:1/z.jpg",
        "b.jpg?x=1",
        "sub/c.jpg",
        "%2e%2e/d.jpg",
        "//",
        "http://[",
    ]
    page = "".join(
        f'<a href="{link}">x</a>' for link in ["a.jpg", *beyond, "sub/", ".", "./", "", "e%0a.jpg", "%ff.jpg"]
    )
    files = {"index.html": page.encode(), "a.jpg": b"x", "sub/c.jpg": b"x", "x.jpg": b"x", "e\n.jpg": b"x"}
    listed = {file.path for file in make_place("http", files).storage().list().pictures}
    assert listed == {"a.jpg", "sub/c.jpg", "e\n.jpg"}
    assert [path for path in listed if path_fault(path)] == ["e\n.jpg"]


@pytest.mark.parametrize(
    "piece", ["<a ", "<a href=", '<a href="', "<a href='x\" ", "<a href ", "<a " + "x" * 499, '<a href="' + "x" * 7_999]
)
def test_a_page_made_to_take_long_takes_no_longer(piece: str):
    page = (piece * (4_000_000 // len(piece))).encode()
    began = time.monotonic()
    assert links("http://h/x/", page) == []
    assert time.monotonic() - began < 60


def test_http_is_not_written(make_place):
    storage = make_place("http", {"a.jpg": b"x"}).storage()
    for act in (lambda: storage.delete("a.jpg"), lambda: storage.move("a.jpg", "done")):
        with pytest.raises(DeviceError, match=r"cannot be written: .*HTTP only reads"):
            act()
    assert storage.read("a.jpg") == b"x"


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_that_is_not_there(make_place, kind: str):
    place = make_place(kind, {})
    url = "s3://no-such-bucket/cam" if kind == "s3" else f"{place.url}-no"
    with pytest.raises(DeviceError, match="does not exist; check `storage` of device cam"):
        Place(kind, url, place.options, place.port).storage().list()
    assert place.storage().list().pictures == ()


@pytest.mark.parametrize("kind", ["local", "s3", "sftp"])
def test_an_inbox_is_written_and_read(make_place, kind: str, tmp_path: Path):
    place = make_place(kind, {})
    inbox = Inbox(f"{place.url}/inbox", place.options)
    assert inbox.names() == []
    inbox.put(MANIFEST.name, DATA, SIGNED)
    check_received(Inbox(f"{place.url}/inbox", place.options), tmp_path)
    folder = Folder(f"{place.url}/inbox", place.options)
    assert folder.names() == [f"{MANIFEST.name}.manifest", f"{MANIFEST.name}.parquet"]
    inbox.remove([MANIFEST.name])
    assert folder.names() == []


def check_received(inbox: Inbox, home: Path) -> None:
    """The one shard that lies there, as a device takes it."""
    (name,) = inbox.names()
    manifest = open_manifest(inbox.manifest(name), f"{name}.manifest", trusted)
    inbox.fetch(manifest, home / "received" / name)
    assert read_shard((home / "received" / name).read_bytes(), manifest) == ROWS


def test_an_inbox_behind_http_is_read_and_not_written(make_place, http_server: HttpServer, tmp_path: Path):
    Inbox(str(http_server.folder / "inbox")).put(MANIFEST.name, DATA, SIGNED)
    inbox = Inbox(http_server.url("inbox"))
    check_received(inbox, tmp_path)
    with pytest.raises(InboxError, match="HTTP only reads"):
        inbox.put(MANIFEST.name, DATA, SIGNED)


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_a_wrong_password_is_told_and_not_shown(make_place, kind: str, monkeypatch: pytest.MonkeyPatch):
    place = make_place(kind, {"a.jpg": b"x"})
    if kind == "s3":  # moto believes every key: a secret that is missing has to do
        monkeypatch.delenv("TEST_SECRET")
    monkeypatch.setenv("TEST_PASSWORD", "wrong-password")
    with pytest.raises(DeviceError) as error:
        place.storage().list()
    assert "wrong-password" not in str(error.value)
    assert ("TEST_SECRET is not set" if kind == "s3" else "Permission denied") in str(error.value)


@pytest.mark.parametrize("nested", [False, True])
def test_headers_open_a_closed_folder(http_server: HttpServer, monkeypatch: pytest.MonkeyPatch, nested: bool):
    write(http_server.folder / "closed", {"a.jpg": b"x"})
    headers: dict[str, Any] = {"headers": {"Authorization": {"env": "TEST_BEARER"}}}
    place = Place("http", http_server.url("closed"), {"client_kwargs": headers} if nested else headers)
    monkeypatch.setenv("TEST_BEARER", "Bearer wrong")
    with pytest.raises(DeviceError, match=r"cannot be listed: the server answered 401 for .*/closed/; check"):
        place.storage().list()
    monkeypatch.setenv("TEST_BEARER", "Bearer testing-secret")
    storage = place.storage()
    assert [file.size for file in storage.list().pictures] == [1]
    assert storage.read("a.jpg") == b"x"


def test_one_file_that_http_does_not_give_hides_no_other(make_place):
    storage = make_place("http", {"a.jpg": b"x", "forbidden.jpg": b"y", "sizeless.jpg": b"z"}).storage()
    listed = {file.path: file.size for file in storage.list().pictures}
    assert listed == {"a.jpg": 1, "forbidden.jpg": 0, "sizeless.jpg": 0}
    with pytest.raises(DeviceError, match="the server answered 403 for"):
        storage.read("forbidden.jpg")
    with pytest.raises(DeviceError, match="the server does not say the size of"):
        storage.read("sizeless.jpg")


@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_a_name_that_is_not_utf8_hides_no_other(make_place, tmp_path: Path, sftp_server: SftpServer, kind: str):
    place = make_place(kind, {"a.jpg": b"x"})
    folder = Path(place.url) if kind == "local" else sftp_server.folder / place.url.rsplit("/", 1)[1]
    (folder / "\udcff.jpg").write_bytes(b"y")
    storage = place.storage()
    assert sorted(file.path for file in storage.list().pictures) == ["a.jpg", "\udcff.jpg"]
    with pytest.raises(DeviceError, match=r"\\udcff\.jpg of device cam is not read: its name holds"):
        storage.read("\udcff.jpg")


def test_a_host_that_nobody_vouches_for_is_not_spoken_to(make_place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    place = make_place("sftp", {"a.jpg": b"x"})
    del place.options["known_hosts"]
    with pytest.raises(DeviceError, match=r"cannot be listed: .*[Hh]ost key"):
        place.storage().list()
    assert len(place.storage(known_hosts=False).list().pictures) == 1


def test_a_host_of_another_key_is_not_spoken_to(make_place, tmp_path: Path):
    import asyncssh

    other = tmp_path / "hosts"
    other.write_bytes(b"* " + asyncssh.generate_private_key("ssh-ed25519").export_public_key())
    with pytest.raises(DeviceError, match=r"cannot be listed: .*[Hh]ost key"):
        make_place("sftp", {}).storage(known_hosts=str(other)).list()


@pytest.mark.parametrize("kind", REMOTE)
def test_slow_a_device_that_answers_late_is_waited_for(make_place, proxies: ExitStack, kind: str):
    place = make_place(kind, {"a.jpg": jpeg(1)})
    proxy = proxies.enter_context(FaultProxy(place.port, delay=0.03))
    storage = place.storage(proxy.port)
    assert [file.path for file in storage.list().pictures] == ["a.jpg"]
    assert storage.read("a.jpg") == jpeg(1)


@pytest.mark.parametrize("kind", REMOTE)
def test_slow_a_device_that_never_answers_is_an_error(make_place, proxies: ExitStack, kind: str):
    """Its connection stands, and nothing comes: before anything was said, and in the middle."""
    place = make_place(kind, {"a.jpg": jpeg(1)})
    proxy = proxies.enter_context(FaultProxy(place.port))
    limits: dict[str, Any] = {"timeout": 1.0}
    if kind == "http":  # a listing may take long in all, but no answer may
        limits["client_kwargs"] = {"timeout": {"sock_read": 0.5}}
    elif kind == "s3":
        limits["config_kwargs"] = {"read_timeout": 0.5, "retries": {"max_attempts": 0}}
    else:
        limits["login_timeout"] = 1
    storage = place.storage(proxy.port, **limits)
    assert len(storage.list().pictures) == 1
    proxy.silent = True
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"a\.jpg"):
        storage.read("a.jpg")
    with pytest.raises(DeviceError, match="cannot be listed"):
        place.storage(proxy.port, **limits).list()
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("kind", REMOTE)
def test_dropping_a_connection_cut_in_mid_file_gives_no_short_file(make_place, proxies: ExitStack, kind: str):
    place = make_place(kind, {"a.jpg": LARGE})
    proxy = proxies.enter_context(FaultProxy(place.port))
    storage = place.storage(proxy.port)
    assert storage.list().pictures[0].size == len(LARGE)
    proxy.cut_after = 150_000
    with pytest.raises(DeviceError, match=r"cam cannot be read: a\.jpg: "):
        # SFTP's one connection has passed bytes before: it is cut now, or was.
        storage.read("a.jpg")
    proxy.cut_after = None
    assert place.storage(proxy.port).read("a.jpg") == LARGE


def test_dropping_a_local_file_that_shrinks_while_it_is_read_is_no_short_file(
    make_place, monkeypatch: pytest.MonkeyPatch
):
    storage = make_place("local", {"a.jpg": LARGE}).storage()
    whole = Folder.read
    monkeypatch.setattr(Folder, "read", lambda self, name, limit: whole(self, name, limit)[:100_000])
    with pytest.raises(DeviceError, match=r"a\.jpg: 100,000 bytes came of 400,000"):
        storage.read("a.jpg")


@pytest.mark.parametrize("kind", REMOTE)
def test_refusing_a_port_on_which_nobody_listens(make_place, kind: str):
    place = make_place(kind, {"a.jpg": b"x"})
    limits = {"config_kwargs": {"retries": {"max_attempts": 0}}} if kind == "s3" else {}
    with pytest.raises(DeviceError, match=r"of device cam cannot be listed: .*; check `storage`"):
        place.storage(closed_port(), **limits).list()


def test_refusing_a_local_file_in_place_of_the_folder(make_place):
    place = make_place("local", {"a.jpg": b"x"})
    with pytest.raises(DeviceError, match=r"of device cam cannot be listed: Not a directory; check `storage`"):
        Place("local", f"{place.url}/a.jpg", {}).storage().list()


def test_refusing_a_server_that_sends_elsewhere_is_not_followed(http_server: HttpServer):
    with pytest.raises(DeviceError, match=r"answered 302 .*give the address that it is moved to"):
        Place("http", http_server.url("moved/"), {}, http_server.port).storage().list()


def test_refusing_s3_that_fails_now_and_then_is_asked_again(make_place, proxies: ExitStack):
    """A third of all requests fail, and some twice: what fails for good is an error, and nothing is read wrong."""
    place = make_place("s3", {"a.jpg": LARGE})
    proxy = proxies.enter_context(FaultProxy(place.port, failing=0.35, seed=1))
    came, failed = 0, 0
    for _ in range(6):
        try:
            assert place.storage(proxy.port).read("a.jpg") == LARGE
            came += 1
        except DeviceError:
            failed += 1
    assert came > failed


FULL = b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: %d\r\nContent-Type: application/xml\r\n\r\n%s"
QUOTA = b"<Error><Code>XMinioStorageFull</Code><Message>Storage has reached its minimum free space</Message></Error>"


def test_full_s3(make_place, proxies: ExitStack):
    place = make_place("s3", {"a.jpg": b"x"})
    proxy = proxies.enter_context(FaultProxy(place.port, refusal={b"PUT": FULL % (len(QUOTA), QUOTA)}))
    fields = place.fields(proxy.port)
    with pytest.raises(InboxError, match=r"cannot be written: .*minimum free space; check `inbox`"):
        Inbox(f"{place.url}/inbox", fields["storage_options"]).put(MANIFEST.name, DATA, SIGNED)
    storage = place.storage(proxy.port)
    with pytest.raises(DeviceError, match=r"cannot be written: a\.jpg: .*minimum free space"):
        storage.move("a.jpg", "done")
    assert storage.read("a.jpg") == b"x"


def test_full_sftp(make_place, sftp_server: SftpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    place = make_place("sftp", {})
    monkeypatch.setattr(sftp_server, "full", True)
    inbox = Inbox(f"{place.url}/inbox", place.options)
    with pytest.raises(InboxError, match=r"cannot be written: No space left on device; check `inbox`"):
        inbox.put(MANIFEST.name, DATA, SIGNED)
    assert Folder(f"{place.url}/inbox", place.options).names() == []
    monkeypatch.setattr(sftp_server, "full", False)
    inbox.put(MANIFEST.name, DATA, SIGNED)
    check_received(inbox, tmp_path)
    left = sftp_server.folder / place.url.rsplit("/", 1)[1] / "inbox"
    assert sorted(path.name for path in left.iterdir()) == [f"{MANIFEST.name}.manifest", f"{MANIFEST.name}.parquet"]


def test_full_local(tmp_path: Path):
    """A process that may write no file beyond 100 bytes meets what a full disk gives: a write that fails half-way."""
    code = """
import resource, signal, sys
from storage.inbox import Inbox, InboxError
from tests.storage.shards.examples import DATA, MANIFEST, SIGNED
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    Inbox(sys.argv[1]).put(MANIFEST.name, DATA, SIGNED)
except InboxError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "inbox")], capture_output=True, text=True, timeout=120
    )
    assert "cannot be written: File too large; check `inbox`" in done.stdout, done.stderr
    inbox = Inbox(str(tmp_path / "inbox"))
    assert inbox.names() == []
    inbox.put(MANIFEST.name, DATA, SIGNED)
    check_received(inbox, tmp_path)
    assert len(list((tmp_path / "inbox").iterdir())) == 2
