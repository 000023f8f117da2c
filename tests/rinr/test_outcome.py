"""The search, over frames whose bytes and dB are formulas, and over real fits."""

import math
from dataclasses import replace

import pytest

from rinr.boxes import Annotation
from rinr.codec.frame import EncodedFrame
from rinr.encoder import encode
from rinr.outcome import COARSEST, FINEST, Outcome, check_searchable, reach
from rinr.presets import BALANCED, FAST, PAPER, encoding_id
from tests.conftest import frame
from tests.storage.examples import encoded_image

BOXES = (Annotation(10, 10, 30, 20, "a"),)


def step_of(settings):
    """The step as it is coded."""
    return 2 ** (settings.step_code / 16)


BACKGROUND, OBJECTS = step_of(BALANCED.background), step_of(BALANCED.objects[-1].network)


class Formula:
    """Trials without a fit: 2 dB and half the bytes an octave; counts them, and takes time on its own clock."""

    def __init__(self, objects: bool = True, seconds: float = 0.3) -> None:
        self.objects, self.seconds, self.now, self.count = objects, seconds, 0.0, 0
        self.tried = {}

    def __call__(self, preset):
        self.count += 1
        self.now += self.seconds
        background, objects = step_of(preset.background), step_of(preset.objects[-1].network)
        size = 300 * BACKGROUND / background + (900 * OBJECTS / objects if self.objects else 0)
        image = encoded_image(
            1,
            frame=EncodedFrame(640, 360, b"x" * round(size)),
            background_db=25 - 2 * math.log2(background / BACKGROUND),
            object_db=32 - 2 * math.log2(objects / OBJECTS) if self.objects else None,
        )
        self.tried[preset] = image
        return image


def ask(trial=None, **asked):
    trial = trial or Formula()
    return reach(Outcome(**asked), BALANCED, trial, clock=lambda: trial.now)


@pytest.mark.parametrize("background", [19, 22, 25, 25.01, 27.3, 33])
@pytest.mark.parametrize("objects", [22, 32.2, 38])
def test_targets_are_met_with_the_coarsest_steps_that_meet_them(background, objects):
    trial = Formula()
    image = ask(trial, background_db=background, object_db=objects)
    for got, asked in ((image.background_db, background), (image.object_db, objects)):
        assert asked <= got < asked + 2 / 16 + 0.03  # not a code finer than needed
    assert image.stopped == f"background-db {background:g} reached; object-db {objects:g} reached"
    assert trial.count < 16


def test_without_an_ask_it_is_the_preset():
    trial = Formula()
    image = ask(trial)
    assert (image.stopped, trial.count, image.background_db) == ("preset", 1, 25)


def test_a_target_leaves_the_rest_as_the_preset_has_it():
    image = ask(object_db=36)
    assert image.background_db == 25
    assert 36 <= image.object_db < 36.2


@pytest.mark.parametrize("cap", [400, 1_500, 5_000])
def test_bytes_alone_are_spent(cap):
    image = ask(max_bytes=cap)
    assert 0.93 * cap < len(image.frame.background) <= image.frame.bytes_total <= cap
    assert image.stopped == f"max-bytes {cap}"


def test_bytes_win_over_targets_and_it_is_said():
    image = ask(background_db=28, object_db=36, max_bytes=1_500)
    assert image.frame.bytes_total <= 1_500
    assert image.stopped.startswith("max-bytes 1500; background-db 28 not reached: 2")
    assert "object-db 36 not reached: 3" in image.stopped


def test_what_has_no_target_gives_way_first():
    image = ask(object_db=32.5, max_bytes=1_250)
    assert image.frame.bytes_total <= 1_250
    assert image.object_db >= 32.5
    assert image.background_db < 25
    assert image.stopped == "max-bytes 1250; object-db 32.5 reached"


def test_a_cap_that_does_not_bind_is_not_spent():
    assert ask(object_db=32, max_bytes=100_000) == ask(object_db=32)


def test_the_impossible_is_done_as_well_as_can_be_and_said():
    image = ask(object_db=99)
    assert image.object_db == pytest.approx(32 - 2 * math.log2(2 ** (FINEST / 16) / OBJECTS), abs=0.1)
    assert image.stopped == f"object-db 99 not reached, best possible: {image.object_db:.1f} dB at the finest step"
    image = ask(max_bytes=30)
    assert image.background_db == pytest.approx(25 - 2 * math.log2(2 ** (COARSEST / 16) / BACKGROUND), abs=0.1)
    assert image.stopped == f"max-bytes 30 not met, least possible: {image.frame.bytes_total} bytes"


def test_a_frame_without_boxes_has_no_object_target():
    image = ask(Formula(objects=False), object_db=40, background_db=26)
    assert image.stopped == "background-db 26 reached"


def test_time_ends_the_search_before_it_is_spent():
    for seconds, most in ((0.1, 1), (0.7, 2)):
        trial = Formula()
        image = ask(trial, background_db=26, object_db=40, max_seconds=seconds)
        assert trial.count <= most
        assert image.stopped.startswith(f"max-seconds {seconds:g}; ")
        assert image in [replace(tried, stopped=image.stopped) for tried in trial.tried.values()]
    image = ask(background_db=26, max_seconds=100)
    assert image.stopped == "background-db 26 reached"


def test_who_can_be_asked():
    check_searchable(BALANCED)
    for preset in (FAST, PAPER):
        with pytest.raises(ValueError, match=r"presets that can: balanced"):
            encode([frame(0)], preset, outcome=Outcome(object_db=30))


@pytest.mark.parametrize(
    "asked", [{"object_db": 0}, {"object_db": 101}, {"max_bytes": -1}, {"max_seconds": math.nan}, {"max_seconds": 0}]
)
def test_what_can_be_asked(asked):
    with pytest.raises(ValueError, match=r"expected more than 0"):
        Outcome(**asked)


def test_other_asks_are_other_encodings():
    asks = (None, Outcome(object_db=30), Outcome(background_db=30), Outcome(max_bytes=30), Outcome(max_seconds=30))
    assert len({encoding_id(BALANCED, outcome) for outcome in asks}) == 5
    assert encoding_id(BALANCED, Outcome()) == encoding_id(BALANCED)


def test_real_fits_come_to_what_was_asked_whatever_they_are_encoded_with():
    frames = [frame(seed, BOXES, 160, 90) for seed in range(3)]
    outcome = Outcome(background_db=30, object_db=34)
    images = encode(frames, BALANCED, outcome=outcome)
    for image, one in zip(images, frames, strict=True):
        assert outcome.met_by(image)
        assert image.encoding_id == encoding_id(BALANCED, outcome)
        assert image.frame == encode([one], BALANCED, outcome=outcome)[0].frame
    small = Outcome(max_bytes=images[0].frame.bytes_total - 6)
    (image,) = encode(frames[:1], BALANCED, outcome=small)
    assert small.met_by(image)
    assert not replace(outcome, max_bytes=small.max_bytes).met_by(image)
