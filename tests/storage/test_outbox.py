from pathlib import Path

import pytest

from storage.outbox import Outbox, OutboxError
from storage.shards.acknowledgement import open_acknowledgement, write_acknowledgement
from tests.servers import FaultProxy, S3Server, SftpServer
from tests.storage.shards.examples import FOG
from tests.storage.shards.test_acknowledgement import ACKNOWLEDGEMENT, KEYED

SIGNED = write_acknowledgement(ACKNOWLEDGEMENT, FOG)


def test_what_is_written_is_read_and_replaced(tmp_path: Path):
    outbox = Outbox(str(tmp_path / "inbox" / "outbox"))
    assert outbox.read_acknowledgement() is None
    outbox.write_acknowledgement(b"old")
    outbox.write_acknowledgement(SIGNED)
    data = Outbox(outbox.url).read_acknowledgement()
    assert data is not None
    assert open_acknowledgement(data, KEYED) == ACKNOWLEDGEMENT
    assert [path.name for path in Path(outbox.url).iterdir()] == ["acknowledgement"]


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_on_servers(kind: str, tmp_path: Path, request: pytest.FixtureRequest):
    if kind == "s3":
        s3: S3Server = request.getfixturevalue("s3_server")
        url, options = f"s3://{s3.new_bucket()}/outbox", s3.options()
    else:
        sftp: SftpServer = request.getfixturevalue("sftp_server")
        (sftp.folder / tmp_path.name).mkdir()
        url, options = sftp.url(f"{tmp_path.name}/outbox"), sftp.options
    assert Outbox(url, options).read_acknowledgement() is None
    for data in (b"old", SIGNED):
        Outbox(url, options).write_acknowledgement(data)
        assert Outbox(url, options).read_acknowledgement() == data


def test_it_is_read_with_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("storage.outbox.MAX_ACKNOWLEDGEMENT_BYTES", 10)
    outbox = Outbox(str(tmp_path))
    outbox.write_acknowledgement(SIGNED)
    assert outbox.read_acknowledgement() == SIGNED[:11]


def test_one_that_cannot_be_used(tmp_path: Path, sftp_server: SftpServer):
    (tmp_path / "file").write_text("in the way")
    outbox = Outbox(f"{tmp_path}/file/out")
    with pytest.raises(OutboxError, match=r"file/out cannot be written: Not a directory; check `outbox` of the device"):
        outbox.write_acknowledgement(SIGNED)
    with pytest.raises(OutboxError, match="cannot be read"):
        Outbox("nowhere://x").read_acknowledgement()
    with FaultProxy(sftp_server.port, up_limit=5_000) as proxy:
        broken = Outbox(sftp_server.url(f"{tmp_path.name}/outbox", proxy.port), sftp_server.options)
        with pytest.raises(OutboxError, match="cannot be written"):
            broken.write_acknowledgement(SIGNED * 100)
    assert Outbox(sftp_server.url(f"{tmp_path.name}/outbox"), sftp_server.options).read_acknowledgement() is None
