import itertools
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

import pytest

from rinr.encoder import encode
from rinr.metrics import mean_db
from rinr.networks.settings import CodecSettings
from rinr.planning import controls
from rinr.planning.controls import Target, search_controls
from rinr.planning.encoding import Bench, shrunk
from rinr.presets import Preset, codec_preset, find_preset
from tests.conftest import frame

FRAMES = [frame(seed, width=160, height=120) for seed in range(2)]
QUALITIES, CROPS, SCALES = (5, 30, 60, 80), (20, 60, 90), (2, 1)


@pytest.fixture
def few(monkeypatch):
    """A grid that can be tried one by one."""
    monkeypatch.setattr(controls, "QUALITIES", QUALITIES)
    monkeypatch.setattr(controls, "CROP_QUALITIES", CROPS)
    monkeypatch.setattr(controls, "SCALES", SCALES)
    monkeypatch.setattr(controls, "CROP_SCALES", (1,))


def one_by_one(target: Target, codecs: Sequence[str]) -> dict[Preset, float]:
    """Every preset of the grid that meets the target, encoded whole, and its mean bytes."""
    sizes = {}
    frames = [CodecSettings(c, q, s) for c, q, s in itertools.product(codecs, QUALITIES, SCALES)]
    crops = [CodecSettings(c, q) for c, q in itertools.product(codecs, CROPS)]
    for whole, crop in itertools.product(frames, [None, *crops]):
        preset = codec_preset(whole, crop)
        images = encode(FRAMES, preset)
        if target.met_by(mean_db(i.background_db for i in images), mean_db(i.object_db for i in images)):
            sizes[preset] = mean(i.frame.bytes_total for i in images)
    return sizes


def of_one_codec(preset: Preset, codec: str) -> bool:
    return {preset.background.family, *(each.network.family for each in preset.objects)} == {codec}


def test_the_cheapest_is_that_of_all_tried_one_by_one(few, monkeypatch):
    monkeypatch.setattr(controls, "CODECS", ("jpeg", "webp"))
    target = Target(24.0, 25.0)
    found = search_controls(Bench(FRAMES, FRAMES), target)
    sizes = one_by_one(target, ("jpeg", "webp"))
    for codec in ("jpeg", "webp"):
        assert sizes[found.of_codec[codec]] == min(s for p, s in sizes.items() if of_one_codec(p, codec))
    assert found.cheapest is not None
    assert sizes[found.cheapest] == min(sizes.values())


def test_what_nothing_meets_says_what_is_possible(few, monkeypatch):
    monkeypatch.setattr(controls, "CODECS", ("webp",))
    found = search_controls(Bench(FRAMES, FRAMES), Target(90.0, 90.0))
    assert (found.of_codec, found.cheapest) == ({}, None)
    best = encode(FRAMES, find_preset("webp:80"))
    assert found.best.background_db == pytest.approx(mean_db(i.background_db for i in best))


def test_frames_without_boxes_are_sent_whole(few, monkeypatch):
    monkeypatch.setattr(controls, "CODECS", ("webp",))
    bare = [replace(each, boxes=()) for each in FRAMES]
    found = search_controls(Bench(bare, bare), Target(25.0, None))
    assert found.cheapest is not None
    assert not found.cheapest.objects


def test_progress_rises_and_never_ends_early(few, monkeypatch):
    monkeypatch.setattr(controls, "CODECS", ("webp",))
    told = []
    search_controls(Bench(FRAMES, FRAMES), Target(25.0, 30.0), lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert all(done < total for done, total in told)


def test_smaller_uploads_are_measured_against_the_captured_picture():
    uploads = shrunk(FRAMES, find_preset("webp:20"))
    (file,) = [encode([replace(FRAMES[0], boxes=())], find_preset("webp:20"))[0].frame.background]
    # A background's one network is its family's byte, then the file, which starts as WebP files do.
    assert file[1:5] == b"RIFF"
    assert uploads.picture_bytes == pytest.approx(
        mean(len(encode([replace(each, boxes=())], find_preset("webp:20"))[0].frame.background) - 1 for each in FRAMES)
    )
    fine = find_preset("webp:95")
    straight, again = (Bench(FRAMES, sent).trial(fine) for sent in (FRAMES, uploads.frames))
    assert straight.object_db is not None
    assert again.object_db is not None
    assert again.object_db < straight.object_db - 1  # what the upload lost stays lost
    with pytest.raises(ValueError, match="no single file of an image codec"):
        shrunk(FRAMES, find_preset("webp:20+50"))
    with pytest.raises(ValueError, match="no single file of an image codec"):
        shrunk(FRAMES, find_preset("balanced"))
