"""What a run leaves to look at of clips: sentences, a table, bars, and a film strip of frames as they decode."""

import io
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rinr.codec.clip import part_id, part_name
from rinr.codec.encoded import EncodedClip
from storage.fleet import Fleet
from storage.store import Store
from storage.tables import now
from tasks import publish_clips as module
from tasks.encode import encoding_of
from tasks.publish_clips import by_part, frames_since, publish_clips, sentences
from tests.rinr.test_backgrounds import PART, frames
from tests.storage.examples import encoded_image
from tests.storage.waiting import land

FLEET = Fleet(devices=())


def filled(place: Path) -> Store:
    """Four frames of a clip and one alone; originals of the first two have landed."""
    store = Store(str(place / "store"))
    sources = land(store, range(5))
    moved = [frame for frame in frames() if frame.clip and frame.clip.part == part_name(PART)]
    images = []
    for number, row in enumerate(sources):
        shared: dict[str, Any] = {
            "part_id": part_id(PART),
            "bytes_shared": len(PART) / 4,
            "clip": "one of 4 frames, 0.40",
        }
        if number == 4:
            shared = {"clip": "alone: *because*"}
        images.append(
            encoded_image(
                number,
                image_id=row.image_id,
                labels_id=row.labels_id,
                encoding_id=encoding_of("clip"),
                frame=moved[number % len(moved)],
                **shared,
            )
        )
    store.append([EncodedClip(tuple(images), PART)])
    return store


def test_a_runs_frames_in_the_order_of_capture_and_what_is_said_of_them(tmp_path: Path) -> None:
    store = filled(tmp_path)
    found = frames_since(store, encoding_of("clip"), now() - timedelta(hours=1))
    assert [frame.source["path"] for frame in found] == [f"00-{number}.jpg" for number in range(5)]
    assert frames_since(store, encoding_of("clip"), now() + timedelta(hours=1)) == []
    assert frames_since(store, encoding_of("instant"), now() - timedelta(hours=1)) == []
    (clip,) = by_part(found)
    assert [frame.source["path"] for frame in clip] == [f"00-{number}.jpg" for number in range(4)]
    own = sum(frame.bytes_own for frame in found)
    assert sentences(found) == [
        "4 of 5 frames are of 1 clips; 1 stand alone",
        f"{(own + len(PART)) / 5:,.0f} bytes a frame, {len(PART) / 5:,.0f} of them shared",
        "4 frames: one of 4 frames, 0.40",
        r"1 frames: alone: \*because\*",
    ]


def test_the_artifacts_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    published: dict[str, Any] = {}
    for name in ("publish_markdown", "publish_table", "publish_picture"):
        monkeypatch.setattr(module, name, lambda key, description, what: published.__setitem__(key, what))
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(module, "seconds_so_far", lambda: 3600.0)
    store = filled(tmp_path)
    publish_clips.fn(FLEET, store.url, "instant")
    assert published == {}
    for image_id in [
        frame.source["image_id"] for frame in frames_since(store, encoding_of("clip"), now() - timedelta(1))
    ][2:]:
        (Path(store.url) / "landing" / f"{image_id}.jpg").unlink()
    publish_clips.fn(FLEET, store.url, "clip")
    assert set(published) == {"clips-found", "clips", "bytes-a-frame", "film-strip"}
    (row,) = published["clips"]
    assert (row["device"], row["frames"], row["from"], row["to"]) == ("cam-a", 4, "00-0.jpg", "00-3.jpg")
    assert (row["seconds"], row["shared bytes"], row["why"]) == (3.0, len(PART), "one of 4 frames, 0.40")
    strip = Image.open(io.BytesIO(published["film-strip"]))
    assert strip.width > 4 * 240
    assert caplog.text.count("is not shown") == 2  # the originals that are gone
