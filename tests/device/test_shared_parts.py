"""What frames of clips share at a device: frames whose part has not come wait, and are trained on once it has."""

import shutil
from dataclasses import replace

import pyarrow as pa
import pytest

from device.acknowledging import acknowledge
from device.errors import NothingToTrainError
from device.job import run
from device.received import look
from device.receiving import receive
from rinr.codec.clip import SharedPart, pack_part
from rinr.codec.encoded import EncodedClip
from rinr.shard import SHARD, ShardPart, ShardRow, frames_among, to_table
from storage.shards import shard_file
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import DATA
from storage.store import Store
from storage.tables import IMAGES
from tests.clips import clip_frame, shared_part
from tests.storage.delivery_bench import contact
from tests.storage.examples import ENCODING, clip_of, source

PART, OTHER = ShardPart(shared_part(7)), ShardPart(shared_part(8))


def rows(*seeds, part=PART):
    return [ShardRow(f"{seed:064x}", clip_frame(seed, part and part.payload)) for seed in seeds]


def waiting(report):
    return [note for note in report.notes if "for a shared part" in note]


def test_frames_of_several_shards_are_trained_on_with_the_part_that_one_of_them_carried(bench):
    first = bench.fog.deliver([PART, *rows(1, 2)])
    second = bench.fog.deliver(rows(3))
    third = bench.fog.deliver([OTHER, *rows(4, part=OTHER), *rows(5, part=None)])
    report = run(bench.job(epochs=1))
    assert (report.frames, report.objects, waiting(report), report.refused) == (5, 5, [], ())
    assert report.payload_bytes == first.payload_bytes + second.payload_bytes + third.payload_bytes
    assert (bench.fog.heard().taken, bench.fog.heard().wanted) == (3, ())
    assert run(bench.job(epochs=1)) == report


def test_frames_wait_while_their_part_is_lost_and_come_in_with_it(bench):
    first = bench.fog.deliver([PART, *rows(1, 2)])
    bench.fog.deliver(rows(3, 4))
    bench.fog.deliver([OTHER, *rows(5, part=OTHER), *rows(6, part=None)])
    whole = run(bench.job(epochs=1, start="scratch"))
    bench.fog.inbox.remove([first.name])
    path = bench.home / "received" / f"{first.name}{DATA}"
    path.write_bytes(path.read_bytes()[:-1] + b"x")

    report = run(bench.job(epochs=1, start="scratch"))
    assert report.frames == 2
    assert [(one.name, one.fault) for one in report.refused] == [(first.name, Fault.EDITED)]
    (note,) = waiting(report)
    assert note.startswith("2 frames wait for a shared part that has not come")
    assert f"{PART.part_id[:16]} (2)" in note
    assert (bench.fog.heard().taken, bench.fog.heard().wanted) == (0, (1,))  # the shard that carried it

    bench.fog.again(first.name)
    healed = run(bench.job(epochs=1, start="scratch"))
    assert (healed.frames, waiting(healed), healed.refused) == (6, [], ())
    assert healed.model_sha256 == whole.model_sha256
    assert (bench.fog.heard().taken, bench.fog.heard().wanted) == (3, ())


def test_nothing_but_frames_that_wait(bench):
    bench.fog.deliver(rows(1, 2))
    with pytest.raises(NothingToTrainError, match="of 2 frames received 2 frames wait for a shared part"):
        run(bench.job(epochs=1))
    assert bench.fog.heard().taken == 1
    bench.fog.deliver([PART, *rows(3)])
    assert run(bench.job(epochs=1)).frames == 3


def test_a_picture_whose_newest_labels_wait_is_not_shown_with_the_old_ones(bench):
    bench.fog.deliver([*rows(1, 2, part=None)])
    bench.fog.deliver(rows(1))
    report = run(bench.job(epochs=1))
    assert report.frames == 1
    assert waiting(report)[0].startswith("1 frame waits for a shared part")


@pytest.mark.parametrize("harm", ["another", "network"])
def test_a_damaged_part_is_refused_with_its_shard_and_its_frames_are_named(bench, harm):
    part = PART
    if harm == "network":  # its hash is right, and what it holds is nonsense
        part = ShardPart(pack_part(SharedPart(96, 72, b"no network")))
    table = to_table([part, *rows(1, 2, part=part)])
    if harm == "another":
        payloads = [OTHER.payload, *table["payload"].to_pylist()[1:]]
        table = table.set_column(1, SHARD.field("payload"), pa.array(payloads, pa.binary()))
    wrong = bench.fog.deliver(
        [part, *rows(1, 2, part=part)],
        data=_shard(table),
        payload_bytes=sum(map(len, table["payload"].to_pylist())),
    )
    good = bench.fog.deliver([*rows(3, part=part), *rows(4, part=None)])
    report = run(bench.job(epochs=1))
    assert report.frames == 1
    assert report.shard_bytes == good.bytes
    (refused,) = report.refused
    assert (refused.name, refused.fault) == (wrong.name, Fault.MALFORMED)
    assert f"the shared part {part.part_id}" in refused.reason
    with pytest.raises(ShardError, match=f"2 frames need it: {1:064x}, {2:064x}"):
        look(bench.device).rows(wrong)
    assert waiting(report)[0].startswith("1 frame waits for a shared part")
    assert (bench.fog.heard().taken, bench.fog.heard().wanted) == (2, ())  # sending it again would not help
    assert run(bench.job(epochs=1)) == report


def _shard(table: pa.Table) -> bytes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_file, "to_table", lambda rows: table)
        return shard_file.write_shard(rows(1))


def test_what_was_entropy_decoded_is_kept_with_the_part_it_was_decoded_with(bench):
    first = bench.fog.deliver([PART, *rows(1, 2)])
    bench.fog.deliver(rows(3, 4, part=None))
    run(bench.job(epochs=1))
    before = {path.name for path in (bench.home / "cache").iterdir()}
    bench.fog.deliver([OTHER, *rows(5)])
    run(bench.job(epochs=1))
    assert before < {path.name for path in (bench.home / "cache").iterdir()}
    shutil.copy(bench.home / "received" / f"{first.name}{DATA}", bench.folder / "kept")
    assert run(bench.job(epochs=1)).frames == 5


def test_a_real_fog_node_sends_what_was_lost_again_and_training_goes_on_meanwhile(bench, tmp_path):
    store, device = Store(str(tmp_path / "store")), bench.device

    def encoded(numbers, new):
        clip = clip_of(numbers, PART.payload, new=new)
        images = [
            replace(image, frame=clip_frame(number, PART.payload))
            for number, image in zip(numbers, clip.images, strict=True)
        ]
        store.append([source(number, device="cam-a") for number in numbers])
        store.append([EncodedClip(tuple(images), clip.part)])

    def deliver():
        return contact(store, device, ENCODING, bench.fog.keyring.signer())

    encoded(range(3), new=True)
    deliver()
    acknowledge(device, receive(device))
    encoded(range(3, 5), new=False)
    deliver()
    assert run(bench.job(epochs=1)).frames == 5
    deliver()
    carried = [len(look(device).rows(one)) - len(one.image_ids) for one in look(device).shards.values()]
    assert carried == [1, 0]

    name = look(device).shards[1].name
    look(device).file(name).unlink()  # the disk lost it, and the fog node's inbox has it no more
    with pytest.raises(NothingToTrainError, match="2 frames wait"):
        run(bench.job(epochs=1))
    report = deliver()
    assert [(shard.name, shard.again) for shard in report.sent] == [(name, True)]
    assert run(bench.job(epochs=1)).frames == 5
    received = look(device)
    frames = [row for one in received.shards.values() for row in frames_among(received.rows(one))]
    assert {row.image_id for row in frames} == set(store.scan(IMAGES)["image_id"].to_pylist())
