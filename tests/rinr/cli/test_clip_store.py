"""Clips in a weight store through the command line, and what is drawn and compared of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rinr.codec.frame import unpack_frame
from rinr.decoder import decode
from rinr.weights import parts_of
from storage.store import Store
from storage.tables import IMAGES, PARTS
from tests.rinr.cli.test_clip import camera, invoke, told
from tests.rinr.standing import still


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Seven frames of one scene in a folder, a second apart, and in a store."""
    place = tmp_path_factory.mktemp("made")
    names = [f"f{number}" for number in range(7)]
    dates = {name: f"2026-05-01 12:00:{number:02}" for number, name in enumerate(names)}
    folder = camera(place / "cam", {name: still(0, number) for number, name in enumerate(names)}, **dates)
    said = told("encode", folder, "--store", place / "store", "--preset", "clip")
    assert (said["images"], said["refused"]) == (7, 0)
    store = Store(str(place / "store"))
    sizes = [store.scan(IMAGES)["bytes_total"], store.scan(PARTS)["bytes"]]
    assert said["bytes_total"] == sum(size for column in sizes for size in column.to_pylist())
    return folder, place / "store"


def test_a_stores_frames_decode_with_what_they_share(made: tuple[Path, Path], tmp_path: Path) -> None:
    store = Store(str(made[1]))
    (part,) = store.scan(PARTS)["payload"].to_pylist()
    invoke("decode", "--store", made[1], "--out", tmp_path / "png")
    for number in range(7):
        png = np.asarray(Image.open(tmp_path / "png" / f"f{number}.png"))
        payloads = store.scan(IMAGES)["payload"].to_pylist()
        decoded = [decode(unpack_frame(payload), parts=parts_of([part])) for payload in payloads]
        assert any(np.array_equal(png, one) for one in decoded)
    assert "nothing new" in invoke("encode", made[0], "--store", made[1], "--preset", "clip").output


def test_a_frame_that_comes_later_lies_in_what_the_others_share(made: tuple[Path, Path]) -> None:
    folder, url = made
    document = json.loads((folder / "annotations.json").read_text())
    (folder / "f7.jpg").write_bytes((folder / "f6.jpg").read_bytes() + b"later")
    document["images"].append(document["images"][6] | {"id": 7, "file_name": "f7.jpg"})
    (folder / "annotations.json").write_text(json.dumps(document))
    before = Store(str(url)).scan(PARTS)["part_id"].to_pylist()
    assert told("encode", folder, "--store", url, "--preset", "clip")["images"] == 1
    store = Store(str(url))
    assert store.scan(PARTS)["part_id"].to_pylist() == before
    assert set(store.scan(IMAGES)["part_id"].to_pylist()) == set(before)


def test_stored_clips_are_drawn_and_compared(made: tuple[Path, Path], tmp_path: Path) -> None:
    invoke("mosaic", made[0], "--store", made[1], "--out", tmp_path / "mosaic.png", "--frames", 2)
    assert Image.open(tmp_path / "mosaic.png").width > 1000
    rows = told("bench", made[0], "--preset", "clip", "--preset", "balanced", "--frames", 7)["rows"]
    sizes = {row["preset"]: row["bytes_a_frame"] for row in rows}
    store = Store(str(made[1]))
    first = [row for row in store.scan(IMAGES).to_pylist() if row["bytes_shared"]]
    assert sizes["clip"] == pytest.approx(sum(row["bytes_total"] + row["bytes_shared"] for row in first) / 7, rel=0.02)
    assert sizes["clip"] < sizes["balanced"]
