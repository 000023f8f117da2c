"""The report as a page: one HTML file that needs no network, for whoever has the device's disk before them.

It shows pictures that the device took itself. It stays in the device's home, and is sent nowhere.
"""

import base64
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from device.charts import Line, line_chart
from device.report import DeviceReport
from rinr.training.evaluate import Precision
from rinr.training.sizes import SHOWN_SCORE, SIZES

MAX_PAGE_BYTES = 2_000_000
"""Pictures are left out beyond."""


def draw_page(report: DeviceReport, pictures: Sequence[bytes]) -> bytes:
    """The page.

    Args:
        report: what it tells.
        pictures: JPEGs with detections drawn on them.
    """
    return "\n".join(_page(report, _fitting(pictures))).encode()


def _page(report: DeviceReport, pictures: Sequence[bytes]) -> Iterator[str]:
    name = escape(report.device)
    yield "<!doctype html>"
    yield f'<html lang="en"><head><meta charset="utf-8"><title>Training on {name}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
    yield f"style-src 'unsafe-inline'\"><style>{_STYLE}</style></head><body><main>"
    yield f"<h1>Training on {name}</h1>"
    word, style = ("In use", "good") if report.promoted else ("Kept as a candidate", "bad")
    yield f'<p class="verdict"><b class="{style}">{word}</b> {escape(report.verdict)}</p>'
    yield '<div class="charts">'
    yield from _charts(report)
    yield "</div>"
    yield "<h2>Precision</h2>"
    yield from _table(
        ("pictures", "frames", "objects", "mAP50 before", "after", "mAP50:95 before", "after"), _compared(report)
    )
    yield "<h2>By size of the objects</h2>"
    yield f"<p>Detections with a score of {SHOWN_SCORE:g} or more, on the pictures that decided. Sizes are in pixels "
    yield "of the training picture: small up to 32x32, medium up to 96x96.</p>"
    heads = ("labelled as", "objects", *(f"found as {size}" for size in SIZES), "missed", "imagined")
    yield from _table(heads, ((r.size, r.objects, *r.found_as, r.missed, r.imagined) for r in report.sizes))
    yield "<h2>Bytes and seconds</h2>"
    yield from _table(("what", ""), _facts(report), heading=False)
    if pictures:
        yield "<h2>Detections</h2>"
        which = "its own held-out pictures" if report.own else "received frames, as decoded"
        yield f"<p>On {which}: labels in white, detections in orange with their scores. "
        yield "This page stays on the device; nothing in it is sent anywhere.</p>"
        yield '<div class="pictures">'
        for number, picture in enumerate(pictures, 1):
            data = base64.b64encode(picture).decode()
            yield f'<img alt="picture {number} with detections" src="data:image/jpeg;base64,{data}">'
        yield "</div>"
    if report.notes:
        yield "<h2>Notes</h2><ul>"
        yield from (f"<li>{escape(note)}</li>" for note in report.notes)
        yield "</ul>"
    if report.refused:
        yield "<h2>Shards that were refused</h2>"
        yield from _table(("shard", "fault", "reason"), ((r.name, r.fault.value, r.reason) for r in report.refused))
    yield "</main></body></html>"


def _charts(report: DeviceReport) -> Iterator[str]:
    losses = [(float(epoch), loss) for epoch, loss in enumerate(report.losses, 1)]
    yield line_chart("training loss", "epoch", [Line("loss", "first", losses)], max(report.losses))
    decided = report.own or report.decoded
    points = [(0, decided.before), *((e.epoch, e.precision) for e in report.examined if report.own)]
    points.append((len(report.losses), decided.after))
    yield line_chart(
        f"precision, {'own held out' if report.own else 'received'}",
        "epoch",
        [
            Line("mAP50", "first", [(float(epoch), one.map50) for epoch, one in points]),
            Line("mAP50:95", "second", [(float(epoch), one.map50_95) for epoch, one in points]),
        ],
        1.0,
    )


def _compared(report: DeviceReport) -> Iterator[tuple[object, ...]]:
    for name, one in (("own, held out", report.own), ("received, as decoded", report.decoded)):
        if one:
            figures = (one.before.map50, one.after.map50, one.before.map50_95, one.after.map50_95)
            yield (name, one.frames, one.objects, *(f"{figure:.3f}" for figure in figures))


def _facts(report: DeviceReport) -> Iterator[tuple[str, object]]:
    yield "trainer", report.trainer
    yield "started from", f"the model in use, {report.started_from[:12]}" if report.started_from else "the seed"
    yield "compared with the model in use", _figures(report.compared) if report.compared else "there was none"
    yield "model", report.model_sha256[:12]
    yield "received frames", f"{report.frames:,} with {report.objects:,} objects"
    yield "own pictures trained on", f"{report.own_frames:,}"
    yield "bytes received", f"{report.shard_bytes:,}, {report.shard_bytes / max(report.frames, 1):,.0f} a frame"
    yield "bytes of the payloads in them", f"{report.payload_bytes:,}"
    yield "training pictures", f"{report.training_size[0]}x{report.training_size[1]} pixels"
    yield "where", report.torch_device
    yield "epochs, seed", f"{report.epochs:,}, {report.seed}"
    if report.resumed_at:
        yield "gone on from a checkpoint at step", f"{report.resumed_at:,}"
    yield "entropy decoding, once", f"{report.load_seconds:.2f} s"
    yield "decoding and augmenting in the loop", f"{report.decode_seconds:.2f} s"
    yield "forward, backward, update", f"{report.train_seconds:.2f} s"
    yield "testing", f"{report.evaluate_seconds:.2f} s"


def _figures(precision: Precision) -> str:
    return f"mAP50 {precision.map50:.3f}, mAP50:95 {precision.map50_95:.3f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, heading: bool = True) -> Iterator[str]:
    yield '<div class="wide"><table>'
    if heading:
        yield "<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>"
    for row in rows:
        cells = (f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row)
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
    yield "</table></div>"


def _fitting(pictures: Sequence[bytes]) -> list[bytes]:
    kept: list[bytes] = []
    left = MAX_PAGE_BYTES * 3 // 4 - 300_000  # base64 adds a third; the rest is for everything else
    for picture in pictures:
        left -= len(picture)
        if left >= 0:
            kept.append(picture)
    return kept


_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1c1f23; --faint: #5d6670; --rule: #d9dee3;
  --first: #0b62b0; --second: #b4530a; --good: #14713a; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --ink: #e7eaed; --faint: #a3adb7; --rule: #363c43;
  --first: #6cb6ff; --second: #ffb067; --good: #6fd394; --bad: #ff8f86; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; color: var(--faint); } .verdict { color: var(--ink); }
.good { color: var(--good); } .bad { color: var(--bad); }
.charts, .pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); }
.pictures { gap: .5rem; } .pictures img { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th { color: var(--faint); font-weight: 500; }
svg { width: 100%; height: auto; } svg text { fill: var(--faint); font-size: 13px; }
svg .title { fill: var(--ink); font-weight: 600; } svg .grid { stroke: var(--rule); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 2; } svg line { stroke-width: 2; }
svg .first { stroke: var(--first); } svg .second { stroke: var(--second); }
svg circle.first { fill: var(--first); } svg circle.second { fill: var(--second); }
li { overflow-wrap: anywhere; }
"""
