"""The policy `cheapest`: never larger than what a plain search over every codec's files finds, and as good as asked."""

import itertools
import math
import re
from dataclasses import replace

import pytest

from rinr.codec.frame import EncodedFrame
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.metrics import frame_psnr
from rinr.networks.settings import CodecSettings, PolicySettings
from rinr.outcome import Outcome
from rinr.policy import cheapest
from rinr.presets import BALANCED, CHEAPEST, codec_preset, encoding_id, find_preset
from tests.conftest import frame
from tests.rinr.test_captured_file import jpeg_frame
from tests.storage.examples import encoded_image

SMALL = PolicySettings(codecs=("webp", "jpeg"), scales=(4, 1), crop_scales=(1,))


class Formula:
    """Trials without a codec: bytes and dB rise with quality, and fall with scale; networks cost what is said."""

    def __init__(self, networks: int, objects: bool = True, dearer: int = 1) -> None:
        self.networks, self.objects, self.dearer, self.presets = networks, objects, dearer, []

    def __call__(self, preset):
        self.presets.append(preset)
        background = preset.background
        if not isinstance(background, CodecSettings):
            size, outside, inside = self.networks // 2, 26.0, 20.0
        else:
            cost = {"webp": 1.0, "jpeg": 2.0, "avif": 1.2}[background.family]
            size = round(self.dearer * cost * (200 + 40 * background.quality) / background.scale)
            outside = 20 + 0.2 * background.quality - 4 * math.log2(background.scale) + 8
            inside = outside - 2
        if preset.objects and isinstance(preset.objects[0].network, CodecSettings):
            size, inside = (
                size + 100 + 10 * preset.objects[0].network.quality,
                20 + preset.objects[0].network.quality / 4,
            )
        elif preset.objects:
            size, inside = self.networks, 32.0
        return encoded_image(
            1, preset=preset.name, family=background.family, background_db=outside,
            object_db=inside if self.objects else None, frame=EncodedFrame(64, 48, b"x" * size),
        )  # fmt: skip


def every_file(policy, trial, objects):
    """All the files that the policy may choose among, without any search."""
    frames = [CodecSettings(c, q, s) for c in policy.codecs for q in range(101) for s in policy.scales]
    crops = [CodecSettings(c, q, s) for c in policy.codecs for q in range(101) for s in policy.crop_scales]
    yield from (trial(codec_preset(f)) for f in frames)
    if objects:
        yield from (trial(codec_preset(f, c)) for f, c in itertools.product(frames[::7], crops))


@pytest.mark.parametrize("networks", [300, 900, 1_500, 40_000])
@pytest.mark.parametrize("objects", [True, False])
def test_nothing_that_is_good_enough_takes_fewer_bytes(networks, objects):
    trial = Formula(networks, objects)
    image = cheapest(replace(BALANCED, policy=SMALL), trial)
    asked = Outcome(background_db=26.0, object_db=32.0 if objects else None)  # what the networks have
    assert asked.met_by(image)
    least = min(
        one.frame.bytes_total for one in every_file(SMALL, Formula(networks, objects), objects) if asked.met_by(one)
    )
    ours = trial(BALANCED).frame.bytes_total
    assert image.frame.bytes_total <= min(ours, least)
    assert (image.family == "cosine") == (ours < least)


def test_dear_codecs_are_given_up_early():
    trial = Formula(300)
    cheapest(replace(BALANCED, policy=SMALL), trial)
    assert len(trial.presets) < 30  # of some 400 frames, each with some 200 crops


def test_the_networks_own_background_is_tried_beneath_crops():
    image = cheapest(replace(BALANCED, policy=SMALL), Formula(2_000, dearer=10))
    assert image.frame.bytes_total - encoded_image(1, frame=EncodedFrame(64, 48, b"")).frame.bytes_total == 1_000 + 580
    assert "cosine + webp:48 " in image.stopped


def test_what_nothing_meets_comes_as_near_as_it_can():
    image = cheapest(find_preset("cheapest:99/99"), Formula(900))
    assert "object-db 99 not reached, best possible: " in image.stopped
    assert image.object_db == 46  # a whole frame at the highest quality
    assert image.background_db == 48


def test_the_file_itself_is_the_last_resort():
    itself = encoded_image(
        1, family="jpeg", background_db=100.0, object_db=100.0, frame=EncodedFrame(64, 48, b"x" * 5_000)
    )
    image = cheapest(find_preset("cheapest:60/60"), Formula(900), itself)
    assert image.frame == itself.frame
    assert "the file itself 5,0" in image.stopped
    assert image.preset == "cheapest:60/60"


def test_a_file_that_is_no_help_is_not_named():
    itself = encoded_image(
        1, family="jpeg", background_db=100.0, object_db=100.0, frame=EncodedFrame(64, 48, b"x" * 5_000)
    )
    image = cheapest(replace(BALANCED, policy=SMALL), Formula(300), itself)
    assert image.stopped.endswith(f"cosine {image.frame.bytes_total} bytes, every codec more")


def test_real_frames_are_as_good_as_balanced_in_no_more_bytes():
    frames = [frame(seed, width=96, height=64) for seed in range(2)]
    ours, chosen = encode(frames, BALANCED), encode(frames, CHEAPEST)
    for plain, image, one in zip(ours, chosen, frames, strict=True):
        assert image.frame.bytes_total <= plain.frame.bytes_total
        measured = frame_psnr(one.pixels, decode(image.frame), one.boxes)
        assert measured == (image.background_db, image.object_db)
        for got, needed in zip(measured, (plain.background_db, plain.object_db), strict=True):
            assert needed is None or got >= needed
        assert image.encoding_id == encoding_id(CHEAPEST) != encoding_id(BALANCED)
        assert image.preset == "cheapest"
        assert re.search(r"cosine [\d,]+ bytes, ", image.stopped)


def test_payloads_do_not_depend_on_what_they_are_grouped_with():
    frames = [frame(seed) for seed in range(3)]
    preset = replace(CHEAPEST, policy=SMALL)
    together = encode(frames, preset)
    alone = [image for one in frames for image in encode([one], preset)]
    assert [image.frame for image in together] == [image.frame for image in alone]


def test_a_frame_that_is_a_poor_jpeg_travels_as_that_jpeg():
    one = jpeg_frame(quality=8)
    (image,) = encode([one], find_preset("cheapest:100/100"))
    assert (image.background_db, image.object_db) == (100.0, None)
    assert image.family == "jpeg"
    assert image.frame.bytes_total <= len(one.file) + 60  # the container's


@pytest.mark.parametrize(
    "name", ["cheapest:0/26", "cheapest:33/101", "cheapest:33", "cheapest:3/2/1", "cheapest:-1/20"]
)
def test_dbs_that_make_no_sense_are_refused(name):
    with pytest.raises(ValueError, match="cheapest:OBJECT/BACKGROUND"):
        find_preset(name)


def test_it_is_asked_by_its_name_alone():
    with pytest.raises(ValueError, match="by its name alone"):
        encode([], CHEAPEST, outcome=Outcome(max_bytes=500))
