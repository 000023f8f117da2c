"""Files of the format's first release are read by every later one, by this project's code and by others'."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rinr.codec.frame import pack_frame, unpack_frame
from storage.fleet import Device
from storage.shards.acknowledgement import Acknowledgement, RefusedShard, open_acknowledgement
from storage.shards.faults import Fault
from storage.shards.manifest import open_manifest, shard_name
from storage.shards.shard_file import read_shard
from tests.storage.shards.examples import read_independently, seeded_key

GOLDEN = Path(__file__).parents[2] / "golden"
FOLDER = GOLDEN / "shard-1"
NAME = shard_name(1, 7)
PAYLOADS = [(GOLDEN / f"{name}.rinr").read_bytes() for name in ("version1-siren", "version2-objects", "version2-tiny")]
IDS = tuple(hashlib.sha256(payload).hexdigest() for payload in PAYLOADS)
WRITTEN = [pack_frame(unpack_frame(payload)) for payload in PAYLOADS]
"""Frames are written as the newest version of their payload."""


def test_the_golden_shard_is_read():
    data = (FOLDER / f"{NAME}.parquet").read_bytes()
    manifest = open_manifest(
        (FOLDER / f"{NAME}.manifest").read_bytes(), f"{NAME}.manifest", lambda _: seeded_key(7).public
    )
    assert (manifest.device, manifest.encoding_id, manifest.creator) == (
        "bridge-cam",
        "golden-1",
        seeded_key(7).public.id,
    )
    assert (manifest.image_ids, manifest.created_at) == (IDS, datetime(2026, 5, 2, 3, 4, 5, 678, UTC))
    rows = read_shard(data, manifest)
    assert [row.frame for row in rows] == [unpack_frame(payload) for payload in PAYLOADS]


def test_the_golden_acknowledgement_is_read():
    key = seeded_key(8).public
    device = Device(name="bridge-cam", storage="/s", inbox="/i", home="/h", public_key=key.text)
    data = (FOLDER / "acknowledgement").read_bytes()
    assert open_acknowledgement(data, device) == Acknowledgement(
        device="bridge-cam",
        number=1_777_690_000_000_000,
        generation=1,
        taken=7,
        wanted=(9,),
        refused=(RefusedShard("shard-0001-00000009", Fault.TRUNCATED, "it has 12 bytes"),),
        created_at=datetime(2026, 5, 2, 3, 4, 5, 678, UTC),
        report=b'{"epochs":3}',
    )
    assert read_independently(data, b"residual-inr acknowledgement", key.text)["taken"] == 7


@pytest.mark.parametrize("library", ["polars", "duckdb"])
def test_other_libraries_read_the_golden_shard(library: str):
    reader = pytest.importorskip(library)
    path = str(FOLDER / f"{NAME}.parquet")
    if library == "polars":
        rows = reader.read_parquet(path).rows()
    else:
        rows = reader.sql(f"select image_id, payload from '{path}'").fetchall()
    assert [(bytes(image_id).hex(), bytes(payload)) for image_id, payload in rows] == list(
        zip(IDS, WRITTEN, strict=True)
    )
