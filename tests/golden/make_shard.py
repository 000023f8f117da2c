"""Writes the golden shard of this format's first release: ``python make_shard.py OUT``, with that release's code.

It is run once, when the format changes, and then what it wrote stays: later versions are asked to read it.
"""

import hashlib
import sys
from datetime import UTC, datetime
from pathlib import Path

from rinr.codec.frame import unpack_frame
from rinr.shard import ShardRow
from storage.shards.acknowledgement import Acknowledgement, RefusedShard, write_acknowledgement
from storage.shards.faults import Fault
from storage.shards.manifest import Manifest, write_manifest
from storage.shards.shard_file import write_shard
from tests.storage.shards.examples import seeded_key

PAYLOADS = ("version1-siren", "version2-objects", "version2-tiny")
TIME = datetime(2026, 5, 2, 3, 4, 5, 678, tzinfo=UTC)


def make(out: Path) -> None:
    """A shard of three golden payloads, its manifest, and what its device answers."""
    payloads = [(Path(__file__).parent / f"{name}.rinr").read_bytes() for name in PAYLOADS]
    rows = [ShardRow(hashlib.sha256(payload).hexdigest(), unpack_frame(payload)) for payload in payloads]
    data = write_shard(rows)
    manifest = Manifest(
        device="bridge-cam",
        generation=1,
        sequence=7,
        encoding_id="golden-1",
        image_ids=tuple(row.image_id for row in rows),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        payload_bytes=sum(row.frame.bytes_total for row in rows),
        created_at=TIME,
    )
    refused = RefusedShard("shard-0001-00000009", Fault.TRUNCATED, "it has 12 bytes")
    answer = Acknowledgement("bridge-cam", 1_777_690_000_000_000, 1, 7, (9,), (refused,), TIME, b'{"epochs":3}')
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{manifest.name}.parquet").write_bytes(data)
    (out / f"{manifest.name}.manifest").write_bytes(write_manifest(manifest, seeded_key(7)))
    (out / "acknowledgement").write_bytes(write_acknowledgement(answer, seeded_key(8)))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
