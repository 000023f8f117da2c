"""Whatever is done to a shard or its manifest on the way: it is refused, and nothing of it is parsed or decoded."""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import pytest

from rinr.shard import ShardPart, frames_among
from storage.shards import manifest as manifest_module
from storage.shards import shard_file
from storage.shards.acknowledgement import AcknowledgementError, open_acknowledgement
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import MAX_GENERATION, MAX_ROWS, MAX_SEQUENCE, MAX_SHARD_BYTES, Manifest, open_manifest
from storage.shards.shard_file import read_shard, write_shard
from storage.shards.signing import signed
from tests.storage.examples import shared_part
from tests.storage.shards.examples import DATA, FOG, MANIFEST, NAME, ROWS, SIGNED, trusted

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

Result = TypeVar("Result")
FEW = settings(max_examples=100, deadline=None)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be parsed: neither JSON, nor Parquet, nor a frame."""

    def fail(*_: object, **__: object) -> None:
        pytest.fail("bytes that are not authentic are parsed")

    monkeypatch.setattr(manifest_module.json, "loads", fail)
    monkeypatch.setattr(shard_file.pq, "ParquetFile", fail)
    monkeypatch.setattr(shard_file, "from_table", fail)
    monkeypatch.setattr(shard_file, "parts_in", fail)


def flipped(data: bytes) -> Iterator[bytes]:
    """The data with each of its bits flipped once."""
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def fault_of_manifest(data: bytes) -> Fault:
    with pytest.raises(ShardError) as error:
        open_manifest(data, NAME, trusted)
    return error.value.fault


def fault_of_shard(data: bytes) -> Fault:
    with pytest.raises(ShardError) as error:
        read_shard(data, MANIFEST)
    return error.value.fault


def test_every_bit_of_a_manifest(unread: None):
    faults = Counter(map(fault_of_manifest, flipped(SIGNED)))
    assert set(faults) == {Fault.EDITED, Fault.UNSIGNED, Fault.UNKNOWN_KEY}
    assert faults.total() == 8 * len(SIGNED)
    assert faults[Fault.EDITED] >= 8 * SIGNED.index(b"\n")


def test_every_bit_of_a_shard(unread: None):
    assert Counter(map(fault_of_shard, flipped(DATA))) == {Fault.EDITED: 8 * len(DATA)}


def test_every_length_of_a_manifest(unread: None):
    faults = Counter(fault_of_manifest(SIGNED[:length]) for length in range(len(SIGNED)))
    assert faults == {Fault.UNSIGNED: len(SIGNED)}
    assert {fault_of_manifest(SIGNED[start:]) for start in range(1, SIGNED.index(b"\n"))} == {Fault.EDITED}


def test_every_length_of_a_shard(unread: None):
    assert {fault_of_shard(DATA[:length]) for length in range(len(DATA))} == {Fault.TRUNCATED}
    assert fault_of_shard(DATA + b"\0") is Fault.EDITED


def test_manifests_that_are_put_together(unread: None):
    document, line, _ = SIGNED.split(b"\n")
    for data in (SIGNED + SIGNED, document + b"\n" + SIGNED, SIGNED + line + b"\n", document + document + b"\n" + line):
        assert fault_of_manifest(data) in (Fault.EDITED, Fault.UNSIGNED)


@FEW
@given(st.binary(max_size=2_000))
def test_any_bytes_are_no_manifest(data: bytes):
    fault_of_manifest(data)
    fault_of_manifest(data + b"\n" + SIGNED)
    fault_of_manifest(SIGNED + data + b"\n")


def result_or_error(call: Callable[[], Result]) -> Result | ShardError:
    """What a call gives, or the refusal that it raises; any other error is the test's."""
    try:
        return call()
    except ShardError as error:
        return error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "version", "device", "generation", "sequence", "encoding_id", "rows", "bytes", "payload_bytes", "sha256",
    "created_at", "image_ids",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), JSON | st.integers(-1, 10**9), max_size=3))
def test_any_authentic_document_is_read_within_bounds_or_refused(changes: dict[str, object]):
    import json

    document = json.loads(SIGNED.split(b"\n")[0]) | changes
    data = signed(json.dumps(document).encode(), "residual-inr shard manifest", FOG)
    manifest = result_or_error(lambda: open_manifest(data, NAME, trusted))
    if isinstance(manifest, ShardError):
        assert manifest.fault in (Fault.MALFORMED, Fault.REPLAYED, Fault.OUT_OF_ORDER)
        assert len(str(manifest)) < 600
        assert str(manifest).isprintable()
        return
    assert manifest.name == "shard-0001-00000002"
    assert 1 <= manifest.generation <= MAX_GENERATION
    assert 1 <= manifest.sequence <= MAX_SEQUENCE
    assert 1 <= manifest.rows <= MAX_ROWS
    assert 1 <= manifest.bytes <= MAX_SHARD_BYTES
    assert isinstance(manifest.created_at, datetime)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data after one to four small changes, most of them in Parquet's footer."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        footer = chance.random() < 0.6
        place = chance.randrange(max(0, len(changed) - 330) if footer else 0, len(changed))
        kind = chance.randrange(4)
        if kind == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[place] = chance.choice([0, 0x7F, 0x80, 0xFF])
        elif kind == 2:
            del changed[place : place + chance.randrange(1, 20)]
        else:
            changed[place:place] = chance.randbytes(chance.randrange(1, 9))
    return bytes(changed)


def read_or_refused(data: bytes, whole: Manifest = MANIFEST) -> bool:
    """Whether bytes that are authentic are read, as the rows that the manifest says; otherwise they are refused."""
    manifest = replace(whole, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    rows = result_or_error(lambda: read_shard(data, manifest))
    if isinstance(rows, ShardError):
        assert rows.fault is Fault.MALFORMED
        assert str(rows).isprintable()
        return False
    frames = frames_among(rows)
    assert tuple(one.image_id for one in frames) == manifest.image_ids
    parts = [one.part_id for one in rows if isinstance(one, ShardPart)]
    assert len(parts) + len(frames) == len(rows)
    assert len(set(parts)) == len(parts)
    return True


def count_mutations(count: int, data: bytes = DATA, whole: Manifest = MANIFEST) -> Counter[bool]:
    chance = random.Random(count)
    return Counter(read_or_refused(mutated(data, chance), whole) for _ in range(count))


def test_an_authentic_shard_that_is_malformed_is_refused():
    assert count_mutations(1_500)[False] > 1_000
    part = shared_part(1)
    size = MANIFEST.payload_bytes + len(part)
    data = write_shard([ShardPart(part), *ROWS])
    assert count_mutations(500, data, replace(MANIFEST, payload_bytes=size))[False] > 300


@pytest.mark.drill
def test_an_authentic_shard_that_is_malformed_in_many_ways_is_refused():
    counts = count_mutations(100_000)
    print(f"\n{counts[False]:,} malformed shards refused, {counts[True]:,} changes made no difference, no other end")
    assert counts[False] > 70_000


@FEW
@given(st.binary(max_size=2_000))
@example(b"\xef\xbb\xbf")  # a byte order mark
def test_any_bytes_are_no_acknowledgement(data: bytes):
    from tests.storage.shards.test_acknowledgement import ACKNOWLEDGEMENT, KEYED, UNKEYED, write_acknowledgement

    good = write_acknowledgement(ACKNOWLEDGEMENT, FOG)
    is_space = not data.strip(b" \t\r\n")  # which JSON allows before a document that nobody has to sign
    for device, bad in ((KEYED, data), (KEYED, data + good), (UNKEYED, data), (UNKEYED, data + good)):
        if bad != good and not (is_space and device is UNKEYED and bad != data):
            with pytest.raises(AcknowledgementError):
                open_acknowledgement(bad, device)
