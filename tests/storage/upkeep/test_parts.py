"""What frames of clips share, verified and repaired: frames that lost it are damage, parts without frames are none."""

from collections.abc import Sequence

import pytest
from deltalake import DeltaTable

from rinr.codec.clip import part_id
from rinr.codec.encoded import EncodedClip
from rinr.labels import labels_id
from storage.store import Store
from storage.tables import IMAGES, PARTS, part_row
from storage.upkeep.repair import repair
from storage.upkeep.verification import verify
from tests.storage.examples import ENCODING, clip_of, digest, shared_part
from tests.storage.stores import BOXES, append_raw, files, read_raw, sound_row, sound_source

ONE, TWO = shared_part(1), shared_part(2)


def clip(numbers: Sequence[int], part: bytes, *, new: bool = True) -> EncodedClip:
    return clip_of(numbers, part, new=new, labels_id=labels_id(BOXES))


@pytest.fixture
def filled(store: Store) -> Store:
    """Clips of frames 0 to 2 and 3 to 4, and frame 5, which came later to the first."""
    store.append([sound_source(number) for number in range(6)])
    store.append([clip(range(3), ONE), clip([3, 4], TWO)])
    store.append([clip([5], ONE, new=False)])
    return store


def lose(store: Store, part: bytes) -> None:
    rows = [row for row in read_raw(store, "parts") if row["part_id"] != part_id(part)]
    DeltaTable(store.table_url("parts")).delete()
    append_raw(store, "parts", rows)


def test_clips_are_sound_and_parts_without_frames_are_no_damage(filled: Store):
    filled.append([clip([9], shared_part(9))])
    filled.append([sound_source(9)])
    DeltaTable(filled.table_url("images")).delete(f"image_id = '{digest('image 9')}'")
    found = verify(filled.url)
    assert [finding for finding in found.findings if finding.table == "parts"] == []
    assert {(state.name, state.rows) for state in found.tables} >= {("parts", 3), ("images", 6)}


@pytest.mark.parametrize("harm", ["lost", "damaged"])
def test_frames_whose_part_is_lost_are_named_and_encoded_anew(filled: Store, harm: str):
    if harm == "lost":
        lose(filled, ONE)
    else:
        lose(filled, ONE)
        spoilt = part_row(clip(range(3), ONE), filled.scan(IMAGES)["created_at"][0].as_py())
        append_raw(filled, "parts", [spoilt | {"payload": ONE[:50] + b"!" + ONE[51:]}])
    found = verify(filled.url)
    assert {(table, kind): number for table, kind, number in found.counts if kind in ("part", "row")} == {
        ("images", "part"): 4,
        **({("parts", "row"): 1} if harm == "damaged" else {}),
    }
    named = {finding.key.split(",")[0] for finding in found.findings if finding.kind == "part"}
    assert named == {f"image_id={digest(f'image {number}')}" for number in (0, 1, 2, 5)}
    if harm == "damaged":
        (of_part,) = [finding for finding in found.findings if finding.table == "parts" and finding.kind == "row"]
        assert of_part.key == f"part_id={part_id(ONE)}"
        assert "its SHA-256 is" in of_part.what

    done = repair(filled.url)
    assert done.after.clean
    assert dict(done.dropped)["images"] == 4
    assert verify(filled.url).clean
    store = Store(filled.url)
    assert store.scan(IMAGES)["part_id"].to_pylist() == [part_id(TWO)] * 2
    waiting = {pending.image_id for pending in store.missing(ENCODING)}
    assert waiting == {digest(f"image {number}") for number in (0, 1, 2, 5)}
    assert store.append([clip(range(3), ONE), clip([5], ONE, new=False)]) == 4
    assert verify(filled.url).clean
    assert sorted(row["part_id"] for row in store.scan(PARTS).to_pylist()) == sorted(map(part_id, (ONE, TWO)))


def test_all_parts_lost_with_their_file(filled: Store):
    for path in files(filled, "parts"):
        path.write_bytes(b"")
    counts = {(table, kind): number for table, kind, number in verify(filled.url).counts}
    assert counts == {("parts", "file"): 1, ("images", "part"): 6}
    assert repair(filled.url).after.clean
    assert verify(filled.url).clean
    assert Store(filled.url).scan(IMAGES).num_rows == 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"part_id": part_id(TWO)}, "the payload needs"),
        ({"part_id": None, "bytes_shared": None}, "part_id is None, and the payload needs"),
        ({"part_id": "x"}, "part_id is 'x', expected 64 hexadecimal digits"),
        ({"bytes_shared": -1.0}, "bytes_shared is -1.0"),
        ({"bytes_shared": float("nan")}, "bytes_shared is nan"),
    ],
)
def test_a_row_of_a_clips_frame_that_says_what_cannot_be(filled: Store, changes: dict, what: str):
    row = next(row for row in read_raw(filled, "images") if row["image_id"] == digest("image 0"))
    append_raw(filled, "images", [row | {"labels_id": digest("other")} | changes])
    (finding,) = [each for each in verify(filled.url).findings if (each.table, each.kind) == ("images", "row")]
    assert what in finding.what


def test_a_frame_alone_that_claims_a_share(filled: Store):
    append_raw(filled, "images", [sound_row(0, bytes_shared=3.0, encoding_id="another")])
    append_raw(filled, "images", [sound_row(1, part_id=part_id(ONE), encoding_id="another")])
    found = [each for each in verify(filled.url).findings if (each.table, each.kind) == ("images", "row")]
    assert ["bytes_shared is given" in each.what or "needs none" in each.what for each in found] == [True, True]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"bytes": 3}, "bytes is 3, and the payload says"),
        ({"width": 3}, "width is 3, and the payload says 96"),
        ({"frames": 0}, "frames is 0"),
        ({"encoding_id": ""}, "encoding_id is"),
        ({"payload": None}, "payload is missing"),
        ({"payload": b"RS\x01"}, "payload: "),
    ],
)
def test_a_row_of_parts_that_says_what_cannot_be(filled: Store, changes: dict, what: str):
    row = part_row(clip([8], shared_part(8)), filled.scan(IMAGES)["created_at"][0].as_py())
    append_raw(filled, "parts", [row | changes])
    (finding,) = verify(filled.url).findings
    assert (finding.table, finding.kind) == ("parts", "row")
    assert what in finding.what
    assert repair(filled.url).after.clean
    assert verify(filled.url).clean
    assert Store(filled.url).scan(IMAGES).num_rows == 6
