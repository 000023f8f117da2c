"""A web server that is busy is asked again; what it says for good is believed at once."""

import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from storage.folder import Folder
from storage.places import http_files

ASKED: Counter[str] = Counter()


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


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(http_files, "_PAUSES", (0.01, 0.01, 0.01))
    ASKED.clear()
    for name in ("a.jpg", "sub/b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Busy, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Folder(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


def test_a_busy_server_is_asked_again(folder: Folder):
    found = folder.tree(lambda path: path.endswith(".jpg"))
    assert {path: info["size"] for path, info in found.items()} == {"a.jpg": 5, "sub/b.jpg": 9}
    assert folder.read("sub/b.jpg", 100) == b"sub/b.jpg"


@pytest.mark.parametrize(("name", "status", "times"), [("always.jpg", 503, 4), ("closed.jpg", 403, 1)])
def test_but_not_for_ever_and_not_where_it_refuses(folder: Folder, name: str, status: int, times: int):
    with pytest.raises(http_files.AnswerError, match=f"answered {status}"):
        folder.read(name, 100)
    assert ASKED[f"GET /{name}"] == times
