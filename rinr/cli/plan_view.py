"""A plan for people, and as JSON."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from rinr import traffic
from rinr.cli.console import escaped
from rinr.planning.controls import CROP_QUALITIES, QUALITIES, SCALES
from rinr.planning.plan import Plan, Way
from rinr.planning.verdict import Verdict
from rinr.traffic import ACKNOWLEDGEMENT_BYTES, ROW_BYTES, SHARD_BYTES


def tables(plan: Plan, width: int) -> Iterator[Table]:
    """A line a way; in two halves where the terminal has fewer columns than the whole takes."""
    exchange = plan.setting.exchange
    title = f"{exchange.images:,} pictures of {exchange.devices:,} devices, each to {exchange.receivers:,}; a round"
    halves = [[*_BYTES, *_SECONDS]] if width >= _WIDE else [_BYTES, _SECONDS]
    for columns in halves:
        drawn = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0))
        drawn.add_column("", overflow="fold", min_width=24)
        for name, _ in columns:
            drawn.add_column(name, justify="right", no_wrap=True)
        for way in plan.ways:
            style = "bold" if way.kind in ("ours", "policy", "clips") else None
            drawn.add_row(escaped(_name(way)), *(cell(way) for _, cell in columns), style=style)
        yield drawn


def footnotes(plan: Plan) -> Iterator[str]:
    """What is measured, what is modelled, and what columns mean."""
    setting, survey = plan.setting, plan.survey
    sample, exchange = survey.sample, setting.exchange
    ours = survey.ours
    yield (
        f"Measured: {len(sample.frames)} of {sample.images:,} frames, {sample.labelled} of them labelled; JPEGs of "
        f"{size(sample.picture_bytes)} and labels of {size(sample.label_bytes)} a picture (the whole folder's); ours "
        f"{ours.payload_bytes:,.0f} ± {ours.error_bytes:,.0f} bytes a picture (standard error). PSNR is against the "
        "captured picture at the working size. Controls are the cheapest whose means are no lower than ours, over "
        f"{len(QUALITIES)} qualities of frames at full to 1/{max(SCALES)} size and {len(CROP_QUALITIES)} of crops."
    )
    if survey.uploads.name != "jpeg":
        yield (
            f"Uploads are {survey.uploads.name} at the working size, {size(survey.uploads.picture_bytes)} each, and "
            f"labels: {plan.uploaded:.1%} of the captured ones; what the fog encodes is made from them."
        )
    yield (
        f"Modelled, as the pipeline sends it: {ROW_BYTES:.0f} bytes a row and {SHARD_BYTES:.0f} a shard and its "
        f"manifest, one signed acknowledgement of {ACKNOWLEDGEMENT_BYTES:.0f} bytes a device, label files once a "
        f"round, and {exchange.sendings:.3g} sendings of each byte ({exchange.loss:.1%} lost). Protocols (TCP, SSH, "
        "HTTP, listings) and reports of trainings are not counted, in any line."
    )
    yield (
        f"radio: all bytes at {size(setting.rate)}/s, one sending at a time. fog: encoding (of `training at the fog`, "
        f"{setting.epochs} epochs) on one core of this machine, which has {setting.cores}. a device: decoding what it "
        "receives once, and encoding what it sends, on one core of this machine; its own training is in no line. pays "
        "from: receivers from which fewer bytes are sent than with JPEGs from device to device, in a fleet one larger."
    )
    if survey.clips:
        shared = survey.clips.shared
        yield (
            f"{survey.clips.preset}: neighbouring frames, not those of the sample; {size(shared.bytes)} are shared by "
            f"{shared.frames} frames and sent once a receiver."
            if shared.frames
            else f"{survey.clips.preset}: neighbouring frames were not worth encoding together here."
        )


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """The verdict in sentences."""
    yield f"\n[bold]{escaped(verdict.headline)}[/]"
    for reason in verdict.reasons:
        yield f"- {escaped(reason)}"


def document(plan: Plan, verdict: Verdict, folder: str) -> dict[str, Any]:
    """Every number and every assumption, as JSON takes it."""
    setting, survey = plan.setting, plan.survey
    sample, exchange = survey.sample, setting.exchange
    receivers = range(1, plan.drawn + 1)
    return {
        "folder": folder,
        "sample": {
            "images": sample.images,
            "frames": len(sample.frames),
            "labelled": sample.labelled,
            "picture_bytes": sample.picture_bytes,
            "label_bytes": sample.label_bytes,
            "packed_label_bytes": sample.packed_label_bytes,
            "open_seconds": sample.open_seconds,
            "box_share": sample.box_share,
            "left_out": list(sample.left_out),
        },
        "measured": {
            "ours": asdict(survey.ours),
            "controls": [asdict(control) for control in survey.controls],
            "sent_directly": asdict(survey.sent_directly) if survey.sent_directly else None,
            "policy": asdict(survey.policy) if survey.policy else None,
            "clips": asdict(survey.clips) if survey.clips else None,
            "train_seconds": survey.train_seconds,
            "upload": survey.uploads.name,
            "upload_picture_bytes": survey.uploads.picture_bytes,
            "upload_encode_seconds": survey.uploads.encode_seconds,
            "uploaded_part": plan.uploaded,
            "smaller_upload": survey.smaller_uploads.name if survey.smaller_uploads else None,
            "smaller_uploaded_part": survey.upload_share,
        },
        "assumptions": {
            **asdict(exchange),
            "sendings": exchange.sendings,
            "copies": exchange.copies,
            "recipients": exchange.recipients,
            "radio_bytes_a_second": setting.rate,
            "cores": setting.cores,
            "model_bytes": setting.model_bytes,
            "epochs": setting.epochs,
            "row_bytes": ROW_BYTES,
            "shard_bytes": SHARD_BYTES,
            "acknowledgement_bytes": ACKNOWLEDGEMENT_BYTES,
            "shard_rows": traffic.MAX_SHARD_ROWS,
        },
        "ways": [_as_json(way) for way in plan.ways],
        "images_for_model": plan.images_for_model,
        "bounds": {
            "captured": plan.bound(exchange.receivers),
            "uploaded": plan.bound(exchange.receivers, plan.uploaded),
            "smaller_uploaded": plan.bound(exchange.receivers, survey.upload_share) if survey.upload_share else None,
        },
        "curves": {"receivers": list(receivers), **{way.name: plan.curve(way) for way in plan.ways}},
        "verdict": asdict(verdict),
    }


def size(count: float) -> str:
    """Bytes for people, three digits."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            value = count / factor
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Seconds for people."""
    for unit, factor in (("d", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= factor:
            length = {"d": 86_400, "h": 3_600, "min": 60}[unit]
            return f"{seconds / length:,.1f} {unit}"
    return "0" if seconds == 0 else f"{seconds:.3g} s"


def _as_json(way: Way) -> dict[str, Any]:
    told = asdict(way)
    told["traffic"]["total"] = way.traffic.total
    return told


def _name(way: Way) -> str:
    if len(way.families) < 2:
        return way.name
    return f"{way.name} ({', '.join(f'{count} {family}' for family, count in way.families.items())})"


def _quality(way: Way) -> str:
    if way.kind == "model":
        return ""
    if way.background_db is None and way.object_db is None:
        return "captured"
    return " / ".join("–" if value is None else f"{value:.1f}" for value in (way.background_db, way.object_db))


def _pays(way: Way) -> str:
    if way.kind == "direct":
        return ""
    return "never" if way.break_even is None else f"{way.break_even:,}"


_WIDE = 118
_BYTES: list[tuple[str, Callable[[Way], str]]] = [
    ("dB back / obj", _quality),
    ("up", lambda way: size(way.traffic.up)),
    ("down", lambda way: size(way.traffic.down)),
    ("total", lambda way: size(way.traffic.total)),
    ("ratio", lambda way: f"{way.ratio:.2f}"),
]
_SECONDS: list[tuple[str, Callable[[Way], str]]] = [
    ("radio", lambda way: duration(way.radio_seconds)),
    ("fog", lambda way: "?" if way.fog_core_hours is None else duration(3_600 * way.fog_core_hours)),
    ("a device", lambda way: duration(way.device_seconds)),
    ("pays from", _pays),
]
