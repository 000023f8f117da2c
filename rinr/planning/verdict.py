"""What a plan comes to, in words: whether this system is worth using, what is instead, and what the figures hide."""

from dataclasses import dataclass

from rinr.planning.plan import Plan, Way

LEVEL = 0.05
"""Two ways whose bytes differ by no more than this part are level: then the simpler one is to be had."""

_LARGE_BOXES, _MOSTLY, _UNSURE = 0.25, 0.5, 0.1


@dataclass(frozen=True)
class Verdict:
    """What to use.

    Attributes:
        worth: whether networks relayed by the fog are.
        use: the name of the way that is to be used: ours, or what is instead.
        preset: with which ``rinr encode`` does that; ``None`` where nothing is encoded.
        headline: in a sentence.
        reasons: sentences that belong to it.
    """

    worth: bool
    use: str
    preset: str | None
    headline: str
    reasons: tuple[str, ...]


def judge(plan: Plan) -> Verdict:
    """Say what a plan comes to."""
    ours, captured = _ours(plan), plan.ways[0]
    control = plan.find("control")
    worth, use, headline = _decided(plan, ours, captured, control)
    return Verdict(worth, use.name, use.preset, headline, tuple(_reasons(plan, ours, control)))


def _decided(plan: Plan, ours: Way, captured: Way, control: Way | None) -> tuple[bool, Way, str]:
    frames, exchange = len(plan.survey.sample.frames), plan.setting.exchange
    least = min([captured, *([control] if control else [])], key=lambda way: way.traffic.total)
    if not plan.survey.sample.labelled:
        return (
            False,
            least,
            f"Not worth using as it stands: none of the {frames} frames that were looked at has a label, so that no "
            "object can be kept sharp, and what is compared is the background alone. Label them first "
            f"(docs/labels.md); to send them as they are, use {_named(least)}.",
        )
    if plan.survey.ours.fell_short and control and least is control:
        return (
            False,
            control,
            f"Not worth using for this: {plan.survey.ours.fell_short} of {frames} frames do not reach what was asked "
            f"with {plan.survey.ours.preset}; use {_named(control)}, whose means do.",
        )
    if least is captured and ours.traffic.total >= captured.traffic.total * (1 - LEVEL):
        return False, captured, f"Not worth using: {_from_how_many(plan, ours)}; send the JPEGs from device to device."
    if least is control:
        more = control.traffic.total / ours.traffic.total - 1
        if more < LEVEL:
            differ = f"{more:.1%} more bytes than ours" if more >= 0 else f"{-more:.1%} fewer bytes than ours"
            return (
                False,
                control,
                f"Relaying through the fog is worth it ({control.ratio:.2f} times fewer bytes), networks are not: "
                f"{_named(control)} takes {differ} at no lower quality{_in_what_time(ours, control)}.",
            )
        beside = f"1/{1 + more:.2f} of those of the best image codec relayed in the same way"
    else:
        beside = "and no image codec relayed in the same way takes fewer than the JPEGs"
    return (
        True,
        ours,
        f"Worth using: {_named(ours)} takes 1/{ours.ratio:.2f} of the bytes of JPEGs from device to device, with "
        f"{exchange.receivers} receivers, {beside}.",
    )


def _reasons(plan: Plan, ours: Way, control: Way | None) -> list[str]:
    said = [
        _of_broadcasts(plan),
        _of_payloads(ours, control),
        _of_uploads(plan, ours),
        _of_shrunk_pictures(plan, ours),
        _of_clips(plan, ours),
        _of_devices_that_encode(plan, ours),
        _of_the_model(plan, ours),
        _of_shortfalls(plan),
        _of_boxes(plan),
        _of_missing_labels(plan),
        _of_the_sample(plan),
    ]
    return [sentence for sentence in said if sentence]


def _of_broadcasts(plan: Plan) -> str | None:
    if not plan.setting.exchange.broadcast:
        return None
    return (
        "One sending reaches all receivers, so that JPEGs are sent about once, and the way through the fog sends each "
        "picture twice: it can win by smaller uploads, or where much is lost."
    )


def _of_payloads(ours: Way, control: Way | None) -> str | None:
    if control is None:
        return None
    mine, theirs = ours.sending.payload_bytes, control.sending.payload_bytes
    return (
        f"What comes down for a picture: {mine:,.0f} bytes with ours, {theirs:,.0f} with the best control "
        f"({control.preset}), {mine / theirs:.2f} of it."
    )


def _of_uploads(plan: Plan, ours: Way) -> str | None:
    survey, receivers = plan.survey, plan.setting.exchange.receivers
    part = ours.traffic.up / ours.traffic.total
    if part <= _MOSTLY or survey.smaller_uploads is None or survey.upload_share is None:
        return None
    return (
        f"Uploads are {part:.0%} of all that is sent, and no encoding makes them smaller: the ratio cannot pass "
        f"{plan.bound(receivers):.3g}. As {survey.smaller_uploads.name} at the working size they would have "
        f"{survey.upload_share:.0%} of their bytes, and the bound would be "
        f"{plan.bound(receivers, survey.upload_share):.3g}: plan with --upload {survey.smaller_uploads.name}."
    )


def _of_shrunk_pictures(plan: Plan, ours: Way) -> str | None:
    straight = next((way for way in plan.ways if way.kind == "uploads" and way.sending.route == "direct"), None)
    if straight is None:
        return None
    return (
        f"Smaller pictures alone, {straight.preset} from device to device, would give {straight.ratio:.3g}; the way "
        f"through the fog makes {ours.ratio / straight.ratio:.3g} times of that."
    )


def _of_clips(plan: Plan, ours: Way) -> str | None:
    clips = plan.find("clips")
    if clips is None or clips.traffic.total >= ours.traffic.total:
        return None
    return (
        f"Neighbouring frames encoded together (--preset {clips.preset}) come down in "
        f"{clips.traffic.down / ours.traffic.down:.2f} of the bytes of frames alone."
    )


def _of_devices_that_encode(plan: Plan, ours: Way) -> str | None:
    way = plan.find("direct control")
    if way is None or way.traffic.total >= ours.traffic.total:
        return None
    return (
        f"Devices that can encode {way.preset} themselves and reach each other would send 1/{way.ratio:.3g} of the "
        "JPEGs' bytes without a fog; a fog is for devices that have JPEGs and no time."
    )


def _of_the_model(plan: Plan, ours: Way) -> str | None:
    model, exchange = plan.find("model"), plan.setting.exchange
    if model is None or plan.images_for_model is None:
        return None
    wins = "would" if model.traffic.total < ours.traffic.total else "would not"
    return (
        f"Training at the fog and sending the model ({model.sending.payload_bytes / 1e6:.3g} MB) to each of "
        f"{exchange.devices:,} devices takes fewer bytes from {plan.images_for_model:,} images a round on; with the "
        f"{exchange.images:,} of this round it {wins}. All devices then have one and the same model."
    )


def _of_shortfalls(plan: Plan) -> str | None:
    short, frames = plan.survey.ours.fell_short, len(plan.survey.sample.frames)
    if not short:
        return None
    return f"{short} of {frames} frames do not reach what was asked of each with {plan.survey.ours.preset}."


def _of_boxes(plan: Plan) -> str | None:
    share = plan.survey.sample.box_share
    if share <= _LARGE_BOXES:
        return None
    return (
        f"Boxes cover {share:.0%} of a labelled frame: the larger objects are, the less is left of what networks save, "
        "and the closer image codecs come."
    )


def _of_missing_labels(plan: Plan) -> str | None:
    sample = plan.survey.sample
    lacking = len(sample.frames) - sample.labelled
    if not 0 < lacking < len(sample.frames):
        return None
    return f"{lacking} of {len(sample.frames)} frames have no label: of these the background alone is kept."


def _of_the_sample(plan: Plan) -> str | None:
    ours = plan.survey.ours
    if ours.error_bytes <= _UNSURE * ours.payload_bytes:
        return None
    return (
        f"Frames differ much for so small a sample: {ours.payload_bytes:,.0f} bytes a picture are known to "
        f"± {ours.error_bytes / ours.payload_bytes:.0%} (standard error); a larger --sample says more."
    )


def _ours(plan: Plan) -> Way:
    """Networks, or the policy where it takes fewer bytes."""
    return min((way for way in plan.ways if way.kind in ("ours", "policy")), key=lambda way: way.traffic.total)


def _from_how_many(plan: Plan, ours: Way) -> str:
    receivers = plan.setting.exchange.receivers
    hearers = "receiver" if receivers == 1 else "receivers"
    said = f"with {receivers} {hearers} it takes {1 / ours.ratio:.2f} times their bytes"
    if ours.break_even is None:
        return f"{said}, and no number of receivers makes them fewer"
    return f"{said}, and fewer only from {ours.break_even:,} on"


def _in_what_time(ours: Way, control: Way) -> str:
    if not ours.fog_core_hours or not control.fog_core_hours or ours.fog_core_hours < 2 * control.fog_core_hours:
        return ""
    return f", and is encoded in 1/{ours.fog_core_hours / control.fog_core_hours:.0f} of the time"


def _named(way: Way) -> str:
    return f"{way.name} (--preset {way.preset})" if way.preset else way.name
