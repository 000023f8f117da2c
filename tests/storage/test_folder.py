import threading
from pathlib import Path

import pytest

from storage.folder import Folder


def test_reads_are_bounded(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"12345")
    folder = Folder(str(tmp_path))
    assert folder.read("a", 5) == b"12345"
    assert folder.read("a", 3) == b"1234"


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_what_is_written_is_listed_read_and_deleted(tmp_path: Path, scheme: str):
    folder = Folder(f"{scheme}{tmp_path}/in ner")
    assert folder.names() == []
    folder.write("b", b"old")
    folder.write("b", b"new")
    folder.write("a", b"")
    assert folder.names() == ["a", "b"]
    assert folder.exists("b")
    assert folder.read("b", 10) == b"new"
    folder.delete(["b", "b", "not there"])
    assert folder.names() == ["a"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path):
    folder = Folder(str(tmp_path))
    contents = [bytes([i]) * 300_000 for i in range(4)]
    folder.write("x", contents[0])
    writers = [threading.Thread(target=lambda c=c: [folder.write("x", c) for _ in range(20)]) for c in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert folder.read("x", 400_000) in contents
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
