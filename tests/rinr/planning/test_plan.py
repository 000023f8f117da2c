"""Plans and verdicts over made-up measurements, against arithmetic by hand."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from rinr.frames import Frame
from rinr.planning.encoding import Measured, Uploads
from rinr.planning.plan import Plan, Setting, make_plan
from rinr.planning.plot import draw
from rinr.planning.sample import FolderSample
from rinr.planning.survey import Survey
from rinr.planning.verdict import judge
from rinr.traffic import Exchange, SharedPart
from tests.conftest import frame

PICTURE, LABELS = 80_000.0, 150.0
FRAMES = (frame(0), frame(1))


def sample(frames: tuple[Frame, ...] = FRAMES, box_share: float = 0.01) -> FolderSample:
    return FolderSample((), 100, PICTURE, LABELS, frames, 20.0, 0.015, box_share, ())


def one(preset: str, size: float, **changes: object) -> Measured:
    family = "cosine" if preset in ("balanced", "cheapest", "clip") else preset[:4]
    values = {"fit_seconds": 0.8, "decode_seconds": 0.002, "families": {family: 2}} | changes
    return Measured(preset, size, 5.0, 25.0, 32.0, **values)  # type: ignore[arg-type]


CONTROL = one("webp:10/4+60", 700.0, fit_seconds=0.05)


def planned(
    *,
    ours: float = 360.0,
    controls: tuple[Measured, ...] = (CONTROL,),
    exchange: Exchange | None = None,
    uploads: Uploads | None = None,
    measured_sample: FolderSample | None = None,
    **changes: object,
) -> Plan:
    found = measured_sample or sample()
    captured = Uploads("jpeg", PICTURE, found.frames, 0.0)
    smaller = Uploads("avif:50", 10_000.0, found.frames, 0.1)
    values = {"train_seconds": 0.03, "smaller_uploads": None if uploads else smaller} | changes
    survey = Survey(
        found, uploads or captured, one("balanced", ours), controls, controls[0] if controls else None, **values
    )  # type: ignore[arg-type]
    return make_plan(survey, Setting(exchange or Exchange(100, 10, 9), 2e6, 2, model_bytes=947_092))


def test_every_line_is_the_sum_of_what_is_sent():
    plan = planned()
    totals = {way.kind: way.traffic.total for way in plan.ways}
    up, own = 100 * 80_150, 10 * 283
    assert totals["direct"] == 9 * up
    assert totals["fog jpeg"] == pytest.approx(up + own + 900 * (80_020 + 77) + 10 * 650)
    assert totals["control"] == pytest.approx(up + own + 900 * (700 + 77) + 10 * 650)
    assert totals["ours"] == pytest.approx(up + own + 900 * (360 + 77) + 10 * 650)
    assert totals["model"] == pytest.approx(up + own + 10 * 947_092)
    assert totals["direct control"] == 900 * 700
    ours = plan.find("ours")
    assert ours is not None
    assert ours.ratio == pytest.approx(9 * up / totals["ours"])
    assert ours.radio_seconds == pytest.approx(totals["ours"] / 2e6)
    assert ours.fog_core_hours == pytest.approx(100 * 0.8 / 3600)
    assert ours.device_seconds == pytest.approx(90 * 0.002)  # each device has 90 of the 100 to decode
    assert ours.break_even == 2
    trained = plan.find("model")
    assert trained is not None
    assert trained.fog_core_hours == pytest.approx(20 * 100 * 0.03 / 3600)
    directly = plan.find("direct control")
    assert directly is not None
    assert directly.device_seconds == pytest.approx(90 * 0.002 + 10 * 0.05)


def test_curves_pass_through_the_fleet_and_stay_below_the_bound():
    plan = planned()
    for way in plan.ways:
        curve = plan.curve(way)
        assert len(curve) == 20
        assert curve[8] == pytest.approx(way.ratio)
        if way.sending.route != "direct":
            assert all(ratio < plan.bound(n + 1) for n, ratio in enumerate(curve))
    assert plan.bound(9) == 9
    assert plan.bound(9, 0.5) == 18
    assert len(planned(exchange=Exchange(100, 41, 40)).curve(plan.ways[0])) == 40


def test_smaller_uploads_change_every_line_that_goes_up():
    uploads = Uploads("webp:50", 8_000.0, FRAMES, 0.1, 40.0, 41.0)
    plan = planned(uploads=uploads)
    assert plan.uploaded == pytest.approx(8_150 / 80_150)
    ours = plan.find("ours")
    assert ours is not None
    assert ours.traffic.up == pytest.approx(100 * 8_150 + 2_830)
    assert ours.ratio > 9  # the bound of captured uploads is passed
    assert ours.device_seconds == pytest.approx(90 * 0.002 + 10 * 0.1)
    straight, relayed = (way for way in plan.ways if way.kind == "uploads")
    assert straight.traffic.total == 900 * 8_150
    assert relayed.traffic.down == pytest.approx(900 * (8_020 + 77) + 6_500)
    assert plan.find("fog jpeg") is not None


def test_clips_share_and_a_policy_mixes():
    clips = one("clip", 300.0, shared=SharedPart(2_000, 20))
    policy = one("cheapest", 340.0, families={"cosine": 1, "webp": 1})
    plan = planned(clips=clips, policy=policy)
    found = plan.find("clips")
    assert found is not None
    assert found.traffic.down == pytest.approx(900 * (300 + 77 + 2_077 / 20) + 6_500)
    assert not any("--preset clip" in said for said in judge(plan).reasons)
    cheaper = planned(clips=one("clip", 200.0, shared=SharedPart(1_000, 20)), policy=policy)
    # (900 * (277 + 53.85) + 6,500) / (900 * 417 + 6,500), beside the policy, which takes the fewest of frames alone.
    assert any("--preset clip) come down in 0.80 of" in said for said in judge(cheaper).reasons)
    mixed = plan.find("policy")
    assert mixed is not None
    assert mixed.families == {"cosine": 1, "webp": 1}
    assert judge(plan).use in (mixed.name, "fog, two-stream WebP 10/4 + 60")


def test_worth_using_where_uploads_are_small_and_controls_larger():
    verdict = judge(planned(uploads=Uploads("webp:50", 3_000.0, FRAMES, 0.1)))
    assert verdict.worth
    assert verdict.preset == "balanced"
    assert verdict.headline.startswith("Worth using: fog, ours: balanced")
    # 900 * 3,150 from device to device; 100 * 3,150 + 2,830 up and 399,800 down through the fog.
    assert any("would give 25.4; the way through the fog makes 3.95 times" in said for said in verdict.reasons)


def test_a_control_within_five_per_cent_is_used_instead():
    verdict = judge(planned())
    assert (verdict.worth, verdict.preset) == (False, "webp:10/4+60")
    assert "networks are not" in verdict.headline
    assert "3.6% more bytes than ours" in verdict.headline  # 8,723,630 over 8,417,630
    assert "in 1/16 of the time" in verdict.headline
    said = " ".join(verdict.reasons)
    assert "0.51 of it" in said
    assert "Uploads are 95% of all that is sent" in said
    assert "the bound would be 71.1" in said  # 9 * 80,150 / 10,150
    assert "--upload avif:50" in said


def test_few_receivers_send_jpegs():
    verdict = judge(planned(exchange=Exchange(100, 2, 1)))
    assert (verdict.worth, verdict.preset, verdict.use) == (False, None, "device to device, JPEG")
    assert "with 1 receiver it takes 1.01 times their bytes, and fewer only from 2 on" in verdict.headline


def test_one_sending_that_reaches_all_needs_no_fog():
    verdict = judge(planned(exchange=Exchange(100, 10, 9, broadcast=True)))
    assert verdict.use == "device to device, JPEG"
    assert "no number of receivers" in verdict.headline
    assert "One sending reaches all receivers" in verdict.reasons[0]


def test_without_labels_no_object_is_sharp():
    bare = sample(tuple(replace(each, boxes=()) for each in FRAMES))
    verdict = judge(planned(measured_sample=bare))
    assert not verdict.worth
    assert "none of the 2 frames that were looked at has a label" in verdict.headline
    assert verdict.preset == "webp:10/4+60"
    some = sample((FRAMES[0], replace(FRAMES[1], boxes=())))
    assert any("1 of 2 frames have no label" in said for said in judge(planned(measured_sample=some)).reasons)


def test_large_objects_and_small_samples_are_told():
    assert any("Boxes cover 40%" in said for said in judge(planned(measured_sample=sample(box_share=0.4))).reasons)
    plan = planned()
    unsure = replace(plan, survey=replace(plan.survey, ours=replace(plan.survey.ours, error_bytes=72.0)))
    assert any("± 20%" in said for said in judge(unsure).reasons)


def test_training_at_the_fog_wins_from_so_many_images():
    plan = planned()
    assert plan.images_for_model is not None
    for images, wins in ((plan.images_for_model - 1, False), (plan.images_for_model, True)):
        later = planned(exchange=Exchange(images, 10, 9))
        ours, model = later.find("ours"), later.find("model")
        assert ours is not None
        assert model is not None
        assert (model.traffic.total < ours.traffic.total) is wins
        assert any(("round it would." in said) is wins for said in judge(later).reasons if "Training" in said)


def test_asked_for_more_than_networks_reach():
    plan = planned()
    short = replace(plan, survey=replace(plan.survey, ours=replace(plan.survey.ours, fell_short=2)))
    verdict = judge(short)
    assert "2 of 2 frames do not reach what was asked with balanced" in verdict.headline
    assert verdict.preset == "webp:10/4+60"


def test_without_any_control_that_is_as_good():
    verdict = judge(planned(controls=()))
    assert verdict.worth
    assert "no image codec" in verdict.headline


def test_the_plot_is_a_picture():
    with Image.open(io.BytesIO(draw(planned(), "two frames"))) as image:
        assert image.format == "PNG"
        assert image.width > 600
