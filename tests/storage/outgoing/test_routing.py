"""The rule of the fleet file, against a rule in plain Python that looks at one image after another."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.fleet import Device, Receives
from storage.outgoing import routing
from storage.outgoing.candidates import LEAST_OBJECTS, ROW_BYTES, Candidates, microseconds
from storage.outgoing.routing import SHARD_BYTES, choose

DEVICES = ("me", "near", "far")
LABELS = ("boat", "buoy", "car")
NOW = datetime(2026, 6, 1, tzinfo=UTC)

IMAGE = st.fixed_dictionaries(
    {
        "size": st.integers(50, 3_000),
        "age": st.integers(0, 20),  # days
        "devices": st.sets(st.sampled_from(DEVICES)),
        "labels": st.lists(st.sampled_from(LABELS), max_size=4),
        "delivered": st.booleans(),
        "part": st.none() | st.integers(0, 2),  # which the frame needs
    }
)
PART_SIZES = (200, 2_000, 9_000)
RULE = st.builds(
    Receives,
    labels=st.lists(st.sampled_from((*LABELS, "none")), max_size=2, unique=True).map(tuple),
    neighbours=st.lists(st.sampled_from(("near", "far")), max_size=2, unique=True).map(tuple),
    days=st.none() | st.floats(0.5, 30),
    budget=st.none() | st.integers(1, 20_000),
)


def offered(images: list[dict[str, Any]]) -> Candidates:
    def places(holds: Any) -> np.ndarray:
        return np.array([number for number, image in enumerate(images) if holds(image)], np.int64)

    by_label = {
        label: (found, np.array([images[number]["labels"].count(label) for number in found]))
        for label in LABELS
        if len(found := places(lambda image, label=label: label in image["labels"]))
    }
    return Candidates(
        encoding_id="e",
        image_ids=pa.array([str(number) for number in range(len(images))]),
        labels_ids=pa.array(["l"] * len(images)),
        sizes=np.array([image["size"] for image in images], np.int64),
        shares=np.array([_share(image) for image in images], np.float64),
        part_of=np.array([-1 if image.get("part") is None else image["part"] for image in images], np.int64),
        part_ids=pa.array(["p0", "p1", "p2"]),
        part_sizes=np.array(PART_SIZES, np.int64),
        captured=np.array([microseconds(NOW - timedelta(days=image["age"])) for image in images], np.int64),
        objects=np.array([len(image["labels"]) for image in images], np.int64),
        by_device={name: places(lambda image, name=name: name in image["devices"]) for name in DEVICES},
        by_label=by_label,
        _prints=np.zeros(len(images), np.uint64),
        _order=np.arange(len(images)),
    )


def _share(image: dict[str, Any]) -> float:
    return 0.0 if image.get("part") is None else PART_SIZES[image["part"]] / 4


def expected(
    images: list[dict[str, Any]], rule: Receives, carried: set[int], room: int | None
) -> tuple[list[int], int]:
    """The rule as one would say it, image after image."""
    may = []
    for number, image in enumerate(images):
        objects = [label for label in image["labels"] if not rule.labels or label in rule.labels]
        if image["delivered"] or "me" in image["devices"]:
            continue
        if rule.neighbours and not image["devices"] & set(rule.neighbours):
            continue
        if rule.labels and not objects:
            continue
        if rule.days is not None and image["age"] > rule.days:
            continue
        may.append((max(len(objects), LEAST_OBJECTS) / (image["size"] + _share(image) + ROW_BYTES), number))
    if room is None:
        return [number for _, number in may], 0
    chosen, left, carried = [], room - SHARD_BYTES, set(carried)
    for _, number in sorted(may, reverse=True):
        part = images[number]["part"]
        brings = part is not None and part not in carried
        cost = images[number]["size"] + ROW_BYTES + (PART_SIZES[part] + ROW_BYTES if brings else 0)
        if cost <= left:
            left -= cost
            carried.add(part)
            chosen.append(number)
    return chosen, len(may) - len(chosen)


def device(rule: Receives) -> Device:
    return Device(name="me", storage="s", inbox="i", home="h", receives=rule)


@settings(max_examples=150, deadline=None)
@given(st.lists(IMAGE, max_size=25), RULE, st.sets(st.integers(0, 2)), st.none() | st.integers(0, 20_000))
def test_the_rule_chooses_as_it_is_said(
    images: list[dict[str, Any]], rule: Receives, carried: set[int], room: int | None
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "_BLOCK", 4)
        _check(images, rule, carried, room)


def _check(images: list[dict[str, Any]], rule: Receives, carried: set[int], room: int | None) -> None:
    images = sorted(images, key=lambda image: -image["age"])  # candidates stand in the order of their capture
    delivered = np.array([image["delivered"] for image in images], bool)
    found = offered(images)
    known = found.numbered({f"p{number}" for number in carried})
    choice = choose(found, device(rule), delivered, known, room=room, at=NOW)
    rows, left_out = expected(images, rule, carried, rule.budget if room is None else room)
    assert (choice.rows.tolist(), choice.left_out) == (rows, left_out)


def test_what_is_left_out_comes_next_time():
    images = [
        {"size": 900, "age": 0, "devices": {"near"}, "labels": ["boat"] * n, "delivered": False} for n in range(9)
    ]
    found = offered(images)
    delivered = np.zeros(9, bool)
    rounds = []
    while len(rows := choose(found, device(Receives(budget=4_000)), delivered, at=NOW).rows):
        rounds.append(rows.tolist())
        delivered[rows] = True
    assert rounds == [[8, 7, 6], [5, 4, 3], [2, 1, 0]]
