"""Which shared parts new frames of a camera may extend."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rinr.codec.clip import part_id
from rinr.codec.encoded import EncodedClip
from storage.known_parts import KnownParts
from storage.store import Store
from storage.tables import Pending
from tests.rinr.test_backgrounds import OTHER, PART
from tests.storage.examples import ENCODING, digest, encoded_image, source

CLIPS = {PART: (10, 11, 12), OTHER: (30, 31)}


def filled(place: Path) -> Store:
    """A store with two clips of one camera, captured at minutes 10 to 12 and 30 to 31, and a frame alone at 20."""
    store = Store(str(place / "store"))
    store.append([source(number) for number in (10, 11, 12, 20, 30, 31)])
    clips = [
        EncodedClip(tuple(encoded_image(number, part_id=part_id(part)) for number in numbers), part)
        for part, numbers in CLIPS.items()
    ]
    store.append([*clips, EncodedClip((encoded_image(20),))])
    return store


def pending(minute: float, device: str = "cam-a") -> Pending:
    captured_at = source(0).captured_at + timedelta(minutes=minute)
    return Pending(digest(f"new {minute}"), digest("labels"), b"[]", None, device, f"{minute}.jpg", captured_at)


def test_the_nearer_of_the_clips_before_and_after_comes_last(tmp_path: Path) -> None:
    known = KnownParts(filled(tmp_path), ENCODING)
    assert known.near([pending(13.0), pending(14.0)]) == {"cam-a": (OTHER, PART)}
    assert known.near([pending(29.0)]) == {"cam-a": (PART, OTHER)}
    assert known.near([pending(11.5)]) == {"cam-a": (PART,)}  # a late one, between two of its clip
    assert known.near([pending(5.0)]) == {"cam-a": (PART,)}
    assert known.near([pending(2000.0)]) == {"cam-a": (OTHER,)}


def test_a_clip_serves_its_own_camera_and_encoding(tmp_path: Path) -> None:
    store = filled(tmp_path)
    assert KnownParts(store, ENCODING).near([pending(31.5, "cam-b"), pending(31.5)]) == {"cam-a": (OTHER,)}
    assert KnownParts(store, "another").near([pending(31.5)]) == {}
    assert KnownParts(Store(str(tmp_path / "none")), ENCODING).near([pending(31.5)]) == {}
    assert KnownParts(store, ENCODING).near([replace(pending(1.0), captured_at=None)]) == {}


def test_what_is_committed_meanwhile_is_known_next(tmp_path: Path) -> None:
    store = filled(tmp_path)
    known = KnownParts(store, ENCODING)
    new = pending(100.0)
    known.near([new])
    image = replace(encoded_image(99), image_id=new.image_id, part_id=part_id(PART))
    known.committed([image, replace(encoded_image(98), image_id=digest("not asked for"))])
    assert known.near([pending(101.0)]) == {"cam-a": (PART,)}
