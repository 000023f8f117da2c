"""What may be sent, against plain Python over the rows that were written."""

import random
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rinr.boxes import Box
from rinr.codec.clip import part_id
from storage.outgoing.candidates import LEAST_OBJECTS, ROW_BYTES, candidates, microseconds
from storage.store import Store
from storage.tables import IMAGES
from tests.storage.examples import ENCODING, clip_of, digest, encoded_image, shared_part, source

LABELS = ("boat", "buoy", "it's \N{SPEEDBOAT}")


@pytest.fixture
def filled(store: Store) -> tuple[Store, dict[int, dict[str, Any]]]:
    """Thirty images with labels, devices and times of their own; the last two have no source."""
    chance = random.Random(3)
    world: dict[int, dict[str, Any]] = {}
    images, sources = [], []
    for number in range(30):
        labels = [chance.choice(LABELS) for _ in range(chance.randrange(4))]
        image = encoded_image(2 * number)
        frame = image.frame
        boxes = tuple(sorted(Box(1, 2, 5, 6, label) for label in labels))
        images.append(encoded_image(2 * number, frame=type(frame)(64, 48, frame.background, boxes, b"o" * bool(boxes))))
        devices = chance.sample(["cam-a", "cam-b", "cam-c"], chance.randrange(1, 3)) if number < 28 else []
        rows = [source(2 * number % 60, device=name, path=f"{number}.jpg") for name in devices]
        rows = [
            type(row)(**{**vars(row), "image_id": image.image_id, "labels_id": image.labels_id,
                         "captured_at": row.captured_at + timedelta(hours=chance.randrange(9))})
            for row in rows
        ]  # fmt: skip
        sources += rows
        world[number] = {
            "key": (image.image_id, image.labels_id),
            "labels": labels,
            "devices": set(devices),
            "captured": max((microseconds(row.captured_at) for row in rows), default=0),
        }
    store.append(images)
    store.append(sources)
    store.append([encoded_image(500, encoding_id="another")])
    sizes = {row["image_id"]: row["bytes_total"] for row in store.scan(IMAGES).to_pylist()}
    for entry in world.values():
        entry["size"] = sizes[entry["key"][0]]
    return store, world


def test_candidates_are_the_rows_of_one_encoding_in_the_order_of_their_capture(filled: Any):
    store, world = filled
    found = candidates(store, ENCODING)
    rows = sorted(world.values(), key=lambda entry: (entry["captured"], entry["key"][0]))
    assert list(zip(found.image_ids.to_pylist(), found.labels_ids.to_pylist(), strict=True)) == [
        entry["key"] for entry in rows
    ]
    assert found.captured.tolist() == [entry["captured"] for entry in rows]
    assert found.sizes.tolist() == [entry["size"] for entry in rows]
    assert found.objects.tolist() == [len(entry["labels"]) for entry in rows]
    for name in ("cam-a", "cam-b", "cam-c"):
        assert found.by_device[name].tolist() == [n for n, entry in enumerate(rows) if name in entry["devices"]]
    for label in LABELS:
        assert found.counts([label]).tolist() == [entry["labels"].count(label) for entry in rows]
    assert found.counts(LABELS).tolist() == found.counts([]).tolist() == found.objects.tolist()
    assert found.counts(["nobody"]).sum() == 0


def test_the_most_wanted_objects_per_byte_come_first(filled: Any):
    store, world = filled
    found = candidates(store, ENCODING)
    rows = sorted(world.values(), key=lambda entry: (entry["captured"], entry["key"][0]))
    for labels in ([], ["boat"], ["buoy", "boat"]):
        wanted = labels or LABELS

        def worth(number: int, wanted: Any = wanted) -> tuple[float, int]:
            objects = sum(label in wanted for label in rows[number]["labels"])
            return max(objects, LEAST_OBJECTS) / (rows[number]["size"] + ROW_BYTES), number

        assert found.ranked(labels).tolist() == sorted(range(len(rows)), key=worth, reverse=True)


def test_keys_are_found_by_both_of_their_hashes(filled: Any):
    store, _ = filled
    found = candidates(store, ENCODING)
    some = [5, 3, 29, 0]
    images, labels = found.image_ids.take(pa.array(some)), found.labels_ids.take(pa.array(some))
    assert sorted(found.places(images, labels).tolist()) == sorted(some)
    assert found.places(images, labels.take(pa.array([1, 0, 3, 2]))).tolist() == []
    assert found.places(images.slice(1, 2), labels.slice(1, 2)).tolist() == [3, 29]
    mixed = pa.array(["i", None, images[0].as_py()])
    assert found.places(mixed, pa.array(["l", "m", labels[0].as_py()])).tolist() == [5]
    empty = pa.array([], pa.string())
    assert found.places(empty, empty).tolist() == []


def test_images_of_other_programs_whose_ids_are_no_hashes_are_told_apart(store: Store):
    store.append([encoded_image(1, image_id="i"), encoded_image(2, image_id="j", labels_id=digest("x"))])
    found = candidates(store, ENCODING)
    ids = found.image_ids.to_pylist()
    assert found.places(pa.array(["j"]), pa.array([digest("x")])).tolist() == [ids.index("j")]


def test_frames_of_clips_know_their_part_and_their_share(store: Store):
    one, two = shared_part(1, 400), shared_part(2, 900)
    store.append([clip_of([0, 2], one), clip_of([4], two), clip_of([6], one, new=False)])
    store.append([encoded_image(8)])
    found = candidates(store, ENCODING)
    part_ids = found.part_ids.to_pylist()
    assert sorted(part_ids) == sorted([part_id(one), part_id(two)])
    assert dict(zip(part_ids, found.part_sizes.tolist(), strict=True)) == {
        part_id(one): len(one),
        part_id(two): len(two),
    }
    said = {}
    for image_id, part, share in zip(found.image_ids.to_pylist(), found.part_of, found.shares, strict=True):
        said[image_id] = (None if part < 0 else part_ids[part], share)
    expected = {0: (one, len(one) / 2), 2: (one, len(one) / 2), 4: (two, len(two)), 6: (one, 0), 8: (None, 0)}
    assert said == {digest(f"image {n}"): (part and part_id(part), share) for n, (part, share) in expected.items()}
    assert found.numbered({part_id(two), "another"}).tolist() == [one_id == part_id(two) for one_id in part_ids]


def test_an_empty_store_has_none(store: Store):
    found = candidates(store, ENCODING)
    assert len(found) == 0
    assert found.places(pa.array(["i"]), pa.array(["l"])).tolist() == []
    assert found.ranked(()).tolist() == []
    assert np.array_equal(found.counts(["boat"]), np.zeros(0))
    assert found.numbered({"p"}).tolist() == []
