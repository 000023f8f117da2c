"""Contacts with one device, on a real store: what is sent, heard, sent again, and refused."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest

from rinr.codec.encoded import EncodedImage
from storage.delivery import DeliveryReport, candidates, deliver, reset, standings, waits
from storage.fleet import Device, Fleet, Receives
from storage.inbox import Inbox
from storage.outbox import Outbox
from storage.shards.acknowledgement import RefusedShard
from storage.shards.faults import Fault
from storage.shards.signing import SigningKey
from storage.store import Store
from storage.tables import DELIVERIES
from storage.upkeep.verification import verify
from tests.storage.delivery_bench import FOG, Edge, contact, inbox_bytes, statuses
from tests.storage.examples import ENCODING, digest, encoded_image, source

MakeDevice = Callable[..., Device]
FIRST, SECOND = "shard-0001-00000001", "shard-0001-00000002"


def fill(store: Store, numbers: dict[int, str]) -> list[EncodedImage]:
    """Images with the device that each came from."""
    images = [encoded_image(number) for number in numbers]
    store.append(images)
    store.append([source(number, device=name) for number, name in numbers.items()])
    return images


def ids(*numbers: int) -> set[str]:
    return {digest(f"image {number}") for number in numbers}


def are_sound(store: Store) -> bool:
    """Whether nothing is wrong with the deliveries of a store, whose sources are none that would pass."""
    return "deliveries" not in {table for table, _, _ in verify(store.url).counts}


def go(store: Store, device: Device) -> DeliveryReport:
    return contact(store, device, ENCODING)


def test_a_device_gets_the_images_of_the_others(store: Store, make_device: MakeDevice):
    images = fill(store, {0: "cam-a", 1: "cam-b", 2: "cam-c", 3: "cam-b"})
    device = make_device("cam-a")
    report = go(store, device)
    assert [(shard.name, shard.images, shard.again) for shard in report.sent] == [(FIRST, 3, False)]
    assert (report.generation, report.sequence, report.left_out, report.notes) == (1, 1, 0, ())
    assert report.bytes == inbox_bytes(device)
    edge = Edge(device)
    assert edge.receive() == 1
    assert edge.images == {image.image_id: image.frame for image in images[1:]}
    assert statuses(store, "cam-a") == [(1, "planned", 0), (1, "sent", 0)]
    assert are_sound(store)
    (planned,) = store.scan(DELIVERIES, where=pc.field("status") == "planned").to_pylist()
    (manifest, _) = edge.held[1]
    assert (manifest.created_at, manifest.creator) == (planned["delivered_at"], FOG.public.id)
    assert manifest.payload_bytes == sum(image.frame.bytes_total for image in images[1:])


def test_what_is_acknowledged_leaves_the_inbox_and_nothing_is_delivered_twice(store: Store, make_device: MakeDevice):
    device = make_device("cam-a")
    assert go(store, device).idle
    fill(store, {0: "cam-a", 1: "cam-b"})
    assert len(go(store, device).sent) == 1
    assert go(store, device).idle
    edge = Edge(device)
    edge.receive()
    edge.acknowledge()
    report = go(store, device)
    assert (report.acknowledged, report.sent, report.sequence) == ((FIRST,), (), 1)
    assert Inbox(device.inbox).names() == []
    assert go(store, device).idle
    fill(store, {2: "cam-b"})
    assert [shard.name for shard in go(store, device).sent] == [SECOND]
    edge.receive()
    edge.acknowledge()
    go(store, device)
    assert edge.images.keys() == ids(1, 2)
    assert set(edge.copies.values()) == {1}


def test_each_device_gets_its_own(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-a", 1: "cam-b", 2: "cam-c"})
    shared = candidates(store, ENCODING)
    edges = [Edge(make_device(name)) for name in ("cam-a", "cam-b", "cam-c")]
    for edge in edges:
        deliver(store, edge.device, shared, FOG)
        edge.receive()
    assert [set(edge.images) for edge in edges] == [ids(1, 2), ids(0, 2), ids(0, 1)]


def test_an_image_that_the_device_has_as_well_is_not_sent(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    store.append([source(0, device="cam-a", path="same.jpg")])
    assert go(store, make_device("cam-a")).idle


def test_other_encodings_are_not_sent(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    assert contact(store, make_device("cam-a"), "another").idle


def test_corrected_labels_are_sent_and_old_ones_are_not(store: Store, make_device: MakeDevice):
    (image,) = fill(store, {1: "cam-b"})
    edge, late = Edge(make_device("cam-a")), Edge(make_device("cam-c"))
    go(store, edge.device)
    corrected = replace(image, labels_id=digest("corrected"), frame=replace(image.frame, boxes=(), objects=b""))
    store.append([corrected])
    store.append([source(1, device="cam-b", labels_id=corrected.labels_id)])
    assert len(go(store, edge.device).sent) == len(go(store, late.device).sent) == 1
    edge.receive()
    late.receive()
    assert [rows[0].frame for _, rows in edge.held.values()] == [image.frame, corrected.frame]
    assert late.images == {image.image_id: corrected.frame}


def test_rows_that_newer_labels_overtook_wait_for_the_next_contact(store: Store, make_device: MakeDevice):
    images = fill(store, {0: "cam-b", 1: "cam-b"})
    stale = candidates(store, ENCODING)
    corrected = replace(images[0], labels_id=digest("corrected"))
    store.append([corrected])
    store.append([source(0, device="cam-b", labels_id=corrected.labels_id)])
    edge = Edge(make_device("cam-a"))
    report = deliver(store, edge.device, stale, FOG)
    assert ([shard.images for shard in report.sent], report.left_out) == ([1], 1)
    assert [shard.images for shard in go(store, edge.device).sent] == [1]
    edge.receive()
    assert edge.images.keys() == ids(0, 1)


def test_what_waits_is_bounded_and_the_rest_goes_in_few_shards(
    store: Store, make_device: MakeDevice, monkeypatch: pytest.MonkeyPatch
):
    edge = Edge(make_device("cam-a"))
    for number in range(6):  # it is away: of six contacts four bring a shard each
        fill(store, {number: "cam-b"})
        report = go(store, edge.device)
    assert (report.left_out, report.standing.shards_waiting, report.standing.images_waiting) == (2, 4, 4)
    edge.receive()
    edge.acknowledge()
    assert [shard.images for shard in go(store, edge.device).sent] == [2]
    monkeypatch.setattr("storage.delivery.MAX_ROWS", 2)
    fill(store, dict.fromkeys(range(6, 17), "cam-b"))
    report = go(store, edge.device)
    assert ([shard.images for shard in report.sent], report.left_out) == ([2, 2, 2], 5)
    monkeypatch.setattr("storage.delivery.MAX_SHARD_BYTES", 1)
    edge.receive()
    edge.acknowledge()
    assert [shard.images for shard in go(store, edge.device).sent] == [1, 1, 1, 1]


def test_a_budget_bounds_what_waits(store: Store, make_device: MakeDevice):
    fill(store, dict.fromkeys(range(20), "cam-b"))
    edge = Edge(make_device("cam-a").model_copy(update={"receives": Receives(budget=4_000)}))
    rounds = 0
    while (report := go(store, edge.device)).left_out or report.sent:
        assert 0 < sum(shard.bytes for shard in report.sent) <= 4_000
        assert inbox_bytes(edge.device) <= 4_000
        assert go(store, edge.device).sent == ()
        edge.receive()
        edge.acknowledge()
        rounds += 1
    assert edge.images.keys() == ids(*range(20))
    assert rounds <= 20 * 400 // 1_500
    tiny = make_device("cam-c").model_copy(update={"receives": Receives(budget=100)})
    assert (go(store, tiny).sent, go(store, tiny).left_out) == ((), 20)


def test_a_shard_that_is_wanted_again_is_sent_once_for_each_time_it_is_asked_for(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b", 1: "cam-b"})
    edge = Edge(make_device("cam-a"))
    first = go(store, edge.device)
    edge.generation = 1
    for number in (1, 2):
        edge.acknowledge(wanted=(1,), refused=(RefusedShard(FIRST, Fault.EDITED, "the hash does not fit"),))
        report = go(store, edge.device)
        assert [(shard.name, shard.again, shard.bytes) for shard in report.sent] == [(FIRST, True, first.bytes)]
        assert dict(report.asked) == {FIRST: "edited: the hash does not fit"}
        said = (RefusedShard(FIRST, Fault.EDITED, "the hash does not fit"),)
        assert report.refused == (said if number == 1 else ())  # it is no news the second time
        assert go(store, edge.device).sent == ()
        assert go(store, edge.device).standing.refused == ((FIRST, "edited: the hash does not fit"),)
        assert (1, "resent", number) in statuses(store, "cam-a")
    edge.receive()
    edge.acknowledge()
    assert go(store, edge.device).acknowledged == (FIRST,)
    assert go(store, edge.device).standing.refused == ()
    assert go(store, edge.device).standing.bytes_sent == 3 * first.bytes


def test_what_is_missing_in_the_inbox_is_sent_again_as_often_as_it_is(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    edge = Edge(make_device("cam-a"))
    sent = go(store, edge.device)
    before = {file.name: file.read_bytes() for file in Path(edge.device.inbox).glob("shard-*")}
    for number in (-1, -2):
        for file in Path(edge.device.inbox).glob("shard-*"):
            file.unlink()
        report = go(store, edge.device)
        assert (report.bytes, report.asked) == (sent.bytes, ((FIRST, "it is missing in the inbox"),))
        assert statuses(store, "cam-a")[-2:] == [(1, "asked", number), (1, "resent", number)]
        assert {file.name: file.read_bytes() for file in Path(edge.device.inbox).glob("shard-*")} == before
    assert go(store, edge.device).idle


def test_a_key_that_the_device_does_not_know_is_reported_and_not_asked_for(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    edge = Edge(make_device("cam-a"))
    signer = SigningKey.new()
    contact(store, edge.device, ENCODING, signer=signer)
    assert edge.receive() == 0
    edge.acknowledge()
    report = contact(store, edge.device, ENCODING, signer=signer)
    assert (report.sent, report.asked) == ((), ())
    assert [one.fault for one in report.refused] == [Fault.UNKNOWN_KEY]
    assert report.standing.refused[0][1].startswith("unknown key: ")


def test_a_wiped_device_is_noticed_and_refilled_by_a_reset(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b", 1: "cam-b"})
    edge = Edge(make_device("cam-a"))
    go(store, edge.device)
    edge.receive()
    edge.acknowledge()
    go(store, edge.device)
    wiped = Edge(edge.device, generation=1, number=5)
    wiped.acknowledge()
    report = go(store, wiped.device)
    assert "has 0 shards, and acknowledged 1 before; if it was wiped, run `rinr device reset`" in report.notes[0]
    assert (report.sent, report.standing.shards_acknowledged) == ((), 1)
    assert reset(store, "cam-a") == 2
    report = go(store, wiped.device)
    assert [shard.name for shard in report.sent] == ["shard-0002-00000001"]
    assert report.notes == ()  # that it still speaks of the first generation is no fault
    wiped.receive()
    wiped.acknowledge()
    report = go(store, wiped.device)
    assert report.acknowledged == ("shard-0002-00000001",)
    assert wiped.images.keys() == ids(0, 1)
    assert reset(store, "cam-a") == 3


def test_what_a_device_lost_of_what_it_had_is_sent_again(store: Store, make_device: MakeDevice):
    edge = Edge(make_device("cam-a"))
    for number in range(6):
        fill(store, {number: "cam-b"})
        go(store, edge.device)
        edge.receive()
        edge.acknowledge()
        go(store, edge.device)
    for lost in (2, 3, 4, 5, 6):
        del edge.held[lost]
    edge.acknowledge(taken=1, wanted=(2, 3, 4, 5, 6))
    report = go(store, edge.device)
    assert "it lost shard-0001-00000002, shard-0001-00000003" in report.notes[0]
    assert [shard.name[-1] for shard in report.sent] == ["2", "3", "4", "5"]  # no more than may wait
    assert go(store, edge.device).sent == ()
    edge.copies.clear()
    edge.receive()
    edge.acknowledge(wanted=(6,))
    report = go(store, edge.device)
    assert [shard.name[-1] for shard in report.sent] == ["6"]
    assert len(report.acknowledged) == 4
    edge.receive()
    edge.acknowledge()
    assert go(store, edge.device).acknowledged == ("shard-0001-00000006",)
    assert set(edge.images) == ids(*range(6))
    assert go(store, edge.device).standing.shards_acknowledged == 6
    assert Inbox(edge.device.inbox).names() == []


def test_files_of_an_earlier_generation_leave_the_inbox(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    device = make_device("cam-a")
    go(store, device)
    reset(store, "cam-a")
    go(store, device)
    assert Inbox(device.inbox).names() == ["shard-0002-00000001"]


def test_a_shard_of_the_new_generation_that_was_refused_is_sent_again_though_the_device_is_in_the_old(
    store: Store, make_device: MakeDevice
):
    fill(store, {0: "cam-b"})
    edge = Edge(make_device("cam-a"))
    go(store, edge.device)
    edge.receive()
    reset(store, "cam-a")
    go(store, edge.device)
    edge.acknowledge(refused=(RefusedShard("shard-0002-00000001", Fault.TRUNCATED, "too short"),))
    assert [(one.name, one.again) for one in go(store, edge.device).sent] == [("shard-0002-00000001", True)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "cam-b"}, "is one of cam-b"),
        ({"taken": 2}, "took 2 shards, and 1 were sent"),
        ({"generation": 2}, "speaks of generation 2, and 1 is the newest"),
        ({"number": 6}, "its acknowledgement 6 was replaced by 7"),
        ({"wanted": (9,)}, "asks for shard 9 again, and 1 is the last"),
        ({"refused": (RefusedShard("shard-0001-00000005", Fault.EDITED, "x"),)}, "shard-0001-00000005 (edited)"),
        ({"data": b"x" * 3_000_000}, "more than 2,097,152 bytes"),
        ({"data": b"{}"}, "malformed"),
        ({"data": b"\xff\n\x1b[31m"}, "malformed"),
    ],
)
def test_a_bogus_acknowledgement_changes_nothing_and_is_reported(
    store: Store, make_device: MakeDevice, changes: dict, words: str
):
    fill(store, {0: "cam-b"})
    edge = Edge(make_device("cam-a"), generation=1)
    go(store, edge.device)
    edge.number = 6
    edge.acknowledge()
    go(store, edge.device)
    before = store.scan(DELIVERIES).num_rows
    if "data" in changes:
        Outbox(edge.device.outbox).write_acknowledgement(changes["data"])
    else:
        edge.acknowledge(**{"number": 8} | changes)
    report = go(store, edge.device)
    assert words in report.notes[0]
    assert "\x1b" not in report.notes[0]
    assert not report.idle
    assert (report.sent, report.acknowledged, report.asked) == ((), (), ())
    heard = [(0, "heard", 8)] if "wanted" in changes or "refused" in changes else []  # and nothing else of it
    assert statuses(store, "cam-a")[before:] == heard
    assert Inbox(edge.device.inbox).names() == [FIRST]
    edge.receive()
    edge.number = 10
    edge.acknowledge()
    assert go(store, edge.device).acknowledged == (FIRST,)


def test_where_the_device_has_a_key_only_what_it_signed_counts(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    key = SigningKey.new()
    edge = Edge(make_device("cam-a").model_copy(update={"public_key": key.public.text}))
    go(store, edge.device)
    edge.receive()
    for wrong in (None, SigningKey.new(), FOG):
        edge.key = wrong
        edge.acknowledge()
        report = go(store, edge.device)
        assert report.notes[0].startswith("its acknowledgement is refused: ")
        assert report.acknowledged == ()
    edge.key = key
    edge.acknowledge()
    assert go(store, edge.device).acknowledged == (FIRST,)


def test_a_manifest_of_another_fog_in_the_inbox_is_written_over(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b"})
    edge = Edge(make_device("cam-a"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inbox, "put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            go(store, edge.device)
    assert statuses(store, "cam-a") == [(1, "planned", 0)]
    Inbox(edge.device.inbox).put(FIRST, b"scrawl", b"scrawl")
    assert [shard.name for shard in go(store, edge.device).sent] == [FIRST]
    assert edge.receive() == 1


def test_rows_that_are_lost_to_the_store_are_planned_again(store: Store, make_device: MakeDevice):
    images = fill(store, {0: "cam-b", 1: "cam-b"})
    edge = Edge(make_device("cam-a"))
    go(store, edge.device)
    for file in Path(edge.device.inbox).glob("shard-*"):
        file.unlink()
    for file in Path(store.url, "images").iterdir():  # lost, and one of two encoded again
        _remove(file)
    lone = Store(store.url)
    assert "cannot be made: none of its 2 images has a row" in go(lone, edge.device).notes[0]
    lone.append(images[:1])
    assert [(shard.images, shard.again) for shard in go(lone, edge.device).sent] == [(1, True)]
    lone.append(images[1:])
    assert [(shard.images, shard.again) for shard in go(lone, edge.device).sent] == [(1, False)]
    edge.receive()
    edge.acknowledge()
    assert go(lone, edge.device).acknowledged == (FIRST, SECOND)
    assert edge.images.keys() == ids(0, 1)
    assert set(edge.copies.values()) == {1}
    assert are_sound(store)


def _remove(path: Path) -> None:
    for inner in path.iterdir() if path.is_dir() else ():
        _remove(inner)
    path.rmdir() if path.is_dir() else path.unlink()


def test_waiting_is_told_without_writing(store: Store, make_device: MakeDevice):
    edge = Edge(make_device("cam-a"))

    def told() -> bool:
        before = store.scan(DELIVERIES).num_rows
        found = waits(store, edge.device, candidates(store, ENCODING))
        assert store.scan(DELIVERIES).num_rows == before
        return found

    assert not told()
    fill(store, {0: "cam-b"})
    assert told()  # it lacks something
    go(store, edge.device)
    assert told()  # something waits for it
    edge.receive()
    edge.acknowledge()
    assert told()
    assert go(store, edge.device).training_due
    assert told()  # nothing waits, and it has not trained on all of it
    edge.acknowledge(report=b"{}")
    assert not go(store, edge.device).training_due
    assert not told()
    edge.acknowledge(report=b"{}", taken=0)
    assert told()  # there is something to say


def test_standings_of_a_fleet(store: Store, make_device: MakeDevice):
    fill(store, {0: "cam-b", 1: "cam-b"})
    edge = Edge(make_device("cam-a"))
    report = go(store, edge.device)
    quiet = make_device("cam-z").model_copy(update={"silent_after": 1e-9})
    go(store, quiet)
    fleet = Fleet(devices=(quiet, edge.device))
    silent, waiting = standings(store, fleet)
    assert (silent.device, silent.silent, silent.last_heard) == ("cam-z", True, None)
    assert (waiting.shards_waiting, waiting.images_waiting, waiting.bytes_waiting) == (1, 2, report.bytes)
    assert (waiting.silent, waiting.images_acknowledged, waiting.bytes_sent) == (False, 0, report.bytes)
    assert waiting.waiting_since is not None
    edge.receive()
    edge.acknowledge()
    go(store, edge.device)
    done = standings(store, fleet)[1]
    assert (done.shards_waiting, done.images_acknowledged, done.waiting_since) == (0, 2, None)
    assert done.last_heard is not None
    assert standings(Store(f"{store.url}-none"), fleet)[0].shards_planned == 0


def test_a_device_that_lives_and_says_nothing_new_is_written_down_now_and_then(store: Store, make_device: MakeDevice):
    edge = Edge(make_device("cam-a"))
    for _ in range(3):
        edge.acknowledge()
        go(store, edge.device)
    assert statuses(store, "cam-a") == [(0, "heard", 1)]


def test_deliveries_of_earlier_versions_count_as_never_made(store: Store, make_device: MakeDevice):
    import pyarrow as pa
    from deltalake import write_deltalake

    (image,) = fill(store, {0: "cam-b"})
    old = {
        "device": "cam-a", "shard": "x", "sha256": digest("x"), "bytes": 1, "payload_bytes": 1, "rows": 1,
        "image_ids": [image.image_id], "labels_ids": [image.labels_id], "encoding_ids": [ENCODING],
    }  # fmt: skip
    names: Sequence[str] = [*old, "delivered_at"]
    schema = pa.schema([DELIVERIES.schema.field(name) for name in names])
    at = store.scan(DELIVERIES).schema.field("delivered_at")
    assert at.type == schema.field("delivered_at").type
    from storage.tables import now

    write_deltalake(store.table_url("deliveries"), pa.Table.from_pylist([old | {"delivered_at": now()}], schema=schema))
    assert are_sound(store)
    assert len(go(Store(store.url), make_device("cam-a")).sent) == 1
    assert are_sound(store)
    reset(Store(store.url), "cam-a")
    assert {row["status"] for row in Store(store.url).scan(DELIVERIES).to_pylist()} == {
        "delivered", "planned", "sent", "reset",
    }  # fmt: skip
