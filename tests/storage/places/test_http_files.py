"""A web server that is busy is asked again; what it says for good is believed at once; one with ranges gives blocks."""

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from storage.folder import Folder
from storage.places import http_files
from storage.places.transfer import BLOCK, Transfer, fetch

ASKED: Counter[str] = Counter()


class Ranges(SimpleHTTPRequestHandler):
    """Gives the range of a file that is asked for, as most web servers do."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        ASKED[self.headers["Range"]] += 1
        if first >= len(data):
            self.send_error(416)
            return
        body = data[first : last + 1]
        lies = 7 if "lies" in self.path else 0
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first + lies}-{first + len(body) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Busy(SimpleHTTPRequestHandler):
    """Gives each answer only to who asks for the third time."""

    def log_message(self, *_: object) -> None:
        pass

    def send_head(self):
        asked = f"{self.command} {self.path}"
        ASKED[asked] += 1
        if "closed" in self.path:
            self.send_error(403)
            return None
        if ASKED[asked] < 3 or "always" in self.path:
            self.send_error(503)
            return None
        return super().send_head()


@contextmanager
def served(handler: type[SimpleHTTPRequestHandler], folder: Path) -> Iterator[Folder]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Folder(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(http_files, "_PAUSES", (0.01, 0.01, 0.01))
    ASKED.clear()
    for name in ("a.jpg", "sub/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    with served(Busy, tmp_path) as opened:
        yield opened


def test_a_busy_server_is_asked_again(folder: Folder):
    found = folder.tree(lambda path: path.endswith(".jpg"))
    assert {path: info["size"] for path, info in found.items()} == {"a.jpg": 5, "sub/b.jpg": 9}
    assert folder.read("sub/b.jpg", 100) == b"sub/b.jpg"


@pytest.mark.parametrize(("name", "status", "times"), [("always.jpg", 503, 4), ("closed.jpg", 403, 1)])
def test_but_not_for_ever_and_not_where_it_refuses(folder: Folder, name: str, status: int, times: int):
    with pytest.raises(http_files.AnswerError, match=f"answered {status}"):
        folder.read(name, 100)
    assert ASKED[f"GET /{name}"] == times


def test_a_server_that_gives_ranges_is_asked_for_blocks(tmp_path: Path):
    """What lies there already of a file is not asked for again."""
    pytest.importorskip("aiohttp")
    data = random.Random(5).randbytes(3 * BLOCK + 5)
    sha256 = hashlib.sha256(data).hexdigest()
    (tmp_path / "a").write_bytes(data)
    target = tmp_path / "home" / "a"
    target.parent.mkdir()
    target.with_name(f"a.{sha256[:16]}.part").write_bytes(data[: BLOCK + 9])
    ASKED.clear()
    with served(Ranges, tmp_path) as folder:
        assert fetch(folder, "a", target, len(data), sha256) == Transfer(len(data) - BLOCK, BLOCK)
        # The last byte that is asked for is beyond the end.
        blocks = [(BLOCK, 2 * BLOCK), (2 * BLOCK, 3 * BLOCK), (3 * BLOCK, len(data) + 1)]
        assert set(ASKED) == {f"bytes={start}-{end - 1}" for start, end in blocks}
        assert target.read_bytes() == data
        assert folder.read_block("a", len(data), 10) == b""
        (tmp_path / "lies").write_bytes(data)
        with pytest.raises(http_files.AnswerError, match="gives another range of"):
            folder.read_block("lies", 0, 10)
