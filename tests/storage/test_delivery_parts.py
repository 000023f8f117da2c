"""What frames of clips share goes to each device once in a generation, with the first shard whose frames need it."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from rinr.codec.clip import part_id
from rinr.labels import labels_id
from storage.delivery import deliver, reset
from storage.fleet import Device, Receives
from storage.outgoing.candidates import candidates
from storage.shards.faults import Fault
from storage.store import Store
from storage.tables import DELIVERIES
from storage.upkeep.verification import verify
from tests.storage.delivery_bench import FOG, Edge, contact, inbox_bytes
from tests.storage.examples import ENCODING, clip_of, digest, encoded_image, shared_part
from tests.storage.stores import BOXES, sound_source

MakeDevice = Callable[..., Device]
ONE, TWO = shared_part(1, 1500), shared_part(2, 700)
FIRST = "shard-0001-00000001"


def append(store: Store, numbers: range, part: bytes, *, new: bool = True) -> None:
    """A clip that cam-b took."""
    store.append([sound_source(number, device="cam-b") for number in numbers])
    store.append([clip_of(numbers, part, new=new, labels_id=labels_id(BOXES))])


def shard_bytes(device: Device, name: str = FIRST) -> bytes:
    return Path(device.inbox, f"{name}.parquet").read_bytes()


def go(store: Store, edge: Edge):
    """A contact, after which the device has and says so."""
    report = contact(store, edge.device, ENCODING)
    edge.receive()
    edge.acknowledge()
    return report


def test_the_first_shard_whose_frames_need_a_part_carries_it_and_no_later_one(store: Store, make_device: MakeDevice):
    edge, late = Edge(make_device("cam-a")), Edge(make_device("cam-c"))
    append(store, range(4), ONE)
    store.append([sound_source(9, device="cam-b")])
    store.append([encoded_image(9, labels_id=labels_id(BOXES))])
    go(store, edge)
    append(store, range(4, 6), ONE, new=False)
    append(store, range(6, 8), TWO)
    go(store, edge)
    append(store, range(10, 12), ONE, new=False)
    go(store, edge)
    assert edge.parts == {1: [part_id(ONE)], 2: [part_id(TWO)]}
    assert len(edge.images) == 11
    go(store, late)
    (parts,) = late.parts.values()
    assert sorted(parts) == sorted([part_id(ONE), part_id(TWO)])
    assert late.images == edge.images

    for (manifest, rows), carried in zip(edge.held.values(), (ONE, TWO, None), strict=True):
        own = sum(row.frame.bytes_total for row in rows if hasattr(row, "frame"))
        assert manifest.payload_bytes == own + len(carried or b"")
        assert len(manifest.image_ids) == len(rows) - bool(carried)
    planned = store.scan(DELIVERIES, where=pc.field("status") == "planned").sort_by("sequence").to_pylist()
    assert [(row["rows"], row["part_ids"]) for row in planned if row["device"] == "cam-a"] == [
        (5, [part_id(ONE)]),
        (4, [part_id(TWO)]),
        (2, None),
    ]
    assert verify(store.url).clean


def test_a_new_generation_and_another_encoding(store: Store, make_device: MakeDevice):
    edge = Edge(make_device("cam-a"))
    append(store, range(2), ONE)
    go(store, edge)
    store.append([clip_of(range(2), ONE, labels_id=labels_id(BOXES), encoding_id="another")])  # the same bytes
    contact(store, edge.device, "another")
    edge.receive()
    assert edge.parts == {1: [part_id(ONE)]}
    assert edge.taken == 2
    reset(store, "cam-a")
    contact(store, edge.device, ENCODING)
    edge.receive()
    assert (edge.generation, edge.parts) == (2, {1: [part_id(ONE)]})


def test_a_shard_asked_for_again_carries_the_same_whatever_became_of_its_frames(store: Store, make_device: MakeDevice):
    device = make_device("cam-a")
    edge = Edge(device)
    append(store, range(3), ONE)
    contact(store, device, ENCODING)
    first = shard_bytes(device)
    append(store, range(3, 5), ONE, new=False)
    contact(store, device, ENCODING)
    Path(device.inbox, f"{FIRST}.parquet").write_bytes(b"damaged")
    edge.receive()
    edge.acknowledge()
    contact(store, device, ENCODING)
    assert shard_bytes(device) == first
    edge.receive()
    edge.acknowledge()
    assert edge.parts == {1: [part_id(ONE)]}

    # A frame is deleted, another encoded anew and alone: those that came later still find what they need.
    for number in (0, 1):
        DeltaTable(store.table_url("images")).delete(f"image_id = '{digest(f'image {number}')}'")
    anew = Store(store.url)
    anew.append([encoded_image(1, labels_id=labels_id(BOXES))])
    edge.held, edge.copies = {}, {}
    edge.acknowledge(wanted=(1, 2))
    anew.compact(loose=1)  # of what deltalake's own delete wrote
    contact(anew, device, ENCODING)
    edge.receive()
    assert edge.parts == {1: [part_id(ONE)]}
    assert set(edge.images) == {digest(f"image {number}") for number in (1, 2, 3, 4)}
    again = contact(anew, device, ENCODING)
    assert again.sent == ()


def test_a_kill_after_the_plan_sends_what_was_planned(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    device = make_device("cam-a")
    append(store, range(3), ONE)
    with monkeypatch.context() as patch:
        patch.setattr("storage.inbox.Inbox.put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            contact(store, device, ENCODING)
    append(store, range(3, 5), ONE, new=False)
    (planned,) = store.scan(DELIVERIES).to_pylist()
    edge = Edge(device)
    go(store, edge)
    assert edge.held[1][0].sha256 == planned["sha256"]
    assert edge.parts == {1: [part_id(ONE)]}
    assert len(edge.images) == 5


def test_two_contacts_that_plan_at_once_send_a_part_once(store: Store, make_device: MakeDevice):
    device = make_device("cam-a").model_copy(update={"receives": Receives(budget=100_000)})
    edge = Edge(device)
    append(store, range(2), ONE)
    stale = candidates(store, ENCODING)
    contact(store, device, ENCODING)
    append(store, range(2, 4), ONE, new=False)
    deliver(Store(store.url), device, stale, FOG)
    contact(store, device, ENCODING)
    edge.receive()
    assert edge.parts == {1: [part_id(ONE)]}
    assert len(edge.images) == 4


@pytest.mark.parametrize("budget", [2_500, 3_000, 4_000, 8_000])
def test_a_budget_counts_what_frames_share(store: Store, make_device: MakeDevice, budget: int):
    device = make_device("cam-a").model_copy(update={"receives": Receives(budget=budget)})
    edge = Edge(device)
    append(store, range(8), ONE)
    append(store, range(8, 16), TWO)
    for _ in range(30):
        report = contact(store, device, ENCODING)
        assert inbox_bytes(device) <= budget
        edge.receive()
        edge.acknowledge()
        if report.left_out == 0:
            break
    fits = budget >= 1_000 + len(ONE) + 80 + 350  # what the first frame brings along has room at all
    assert sorted(one for parts in edge.parts.values() for one in parts) == sorted(
        map(part_id, (ONE, TWO) if fits else (TWO,))
    )
    assert len(edge.images) == (16 if fits else 8)


def test_frames_whose_part_the_store_has_lost_wait_for_it(store: Store, make_device: MakeDevice):
    edge = Edge(make_device("cam-a"))
    append(store, range(2), ONE)
    append(store, range(2, 4), TWO)
    DeltaTable(store.table_url("parts")).delete(f"part_id = '{part_id(ONE)}'")
    lone = Store(store.url)
    report = go(lone, edge)
    assert set(edge.images) == {digest("image 2"), digest("image 3")}
    (note,) = {note for note in report.notes if "lost" in note}
    assert part_id(ONE) in note
    assert f"{digest('image 0')[:16]}, {digest('image 1')[:16]}" in note
    assert Fault.MALFORMED not in {one.fault for one in report.refused}
    lone.append([clip_of(range(2), ONE, labels_id=labels_id(BOXES))])
    go(lone, edge)
    assert edge.parts == {1: [part_id(TWO)], 2: [part_id(ONE)]}
    assert len(edge.images) == 4


def test_a_shard_that_lost_its_part_before_it_was_sent_leaves_its_frames_to_a_later_one(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    edge = Edge(make_device("cam-a"))
    append(store, range(2), ONE)
    append(store, range(2, 4), TWO)
    with monkeypatch.context() as patch:
        patch.setattr("storage.inbox.Inbox.put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            contact(store, edge.device, ENCODING)
    DeltaTable(store.table_url("parts")).delete(f"part_id = '{part_id(ONE)}'")
    lone = Store(store.url)
    go(lone, edge)
    assert edge.parts == {1: [part_id(TWO)]}
    lone.append([clip_of(range(2), ONE, labels_id=labels_id(BOXES))])
    go(lone, edge)
    assert edge.parts == {1: [part_id(TWO)], 2: [part_id(ONE)]}
    assert len(edge.images) == 4
    assert verify(lone.url).counts == () or {table for table, *_ in verify(lone.url).counts} == {"parts"}
