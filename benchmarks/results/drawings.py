"""The page's charts, of the records `curves` and `accuracy`."""

from collections.abc import Mapping
from html import escape

from benchmarks.accuracy_record import arms
from benchmarks.records import Record, Value
from benchmarks.results.charts import Point, Series, chart, legend
from benchmarks.results.markers import NOT_MEASURED

ARMS = {
    "a": "captured JPEGs", "b": "ours, balanced, as it comes", "b@dropped": "ours, half of the looks bare",
    "b@dropped@patched": "ours, as the device job trains", "c": "ours, backgrounds alone",
    "d-webp@dropped@patched": "two-stream WebP of the same bytes", "fast@dropped@patched": "ours, sine networks (fast)",
    "e": "nothing",
}  # fmt: skip
"""What the arms of the experiment are called on the page."""


_APART = 0.08
"""Between arms of the same bytes, a share of these."""


def curves(found: Mapping[str, Record]) -> str:
    """Background and object PSNR over bytes, ours and the codecs."""
    record = found.get("curves")
    if record is None or not record.values:
        return missing("curves", record)
    drawn = []
    for part, words in (("background_db", "background PSNR, dB"), ("object_db", "object PSNR, dB")):
        series = _curves(record.values, part)
        svg = chart(series, f"{words} over bytes a frame", "bytes a frame, all that travels", words)
        drawn.append(
            f"<figure>{svg}<figcaption>{words[0].upper()}{words[1:]}, over bytes a frame.</figcaption></figure>"
        )
    series = _curves(record.values, "background_db")
    return f"{legend(series)}\n<div class='charts'>{''.join(drawn)}</div>\n{_rates(record.values)}\n{source(record)}"


def accuracy(found: Mapping[str, Record]) -> str:
    """Mean average precision over bytes, a point an arm."""
    record = found.get("accuracy")
    if record is None or not record.values:
        return missing("accuracy", record)
    series = []
    for of in arms(record.values):
        name, size, score, low, high = (
            record.values[f"{of}.{part}"] for part in ("name", "bytes", "map50", "map50_lowest", "map50_highest")
        )
        if size:  # nothing that arrives has no place on a logarithm
            words = f"{ARMS.get(str(name), str(name))}: {size:,.0f} bytes, {score:.1f} points ({low:.1f} to {high:.1f})"
            place = float(size)  # type: ignore[arg-type]
            while any(abs(place / other.points[0].x - 1) < _APART / 2 for other in series):
                place *= 1 + _APART
            point = Point(place, float(score), words, float(low), float(high))  # type: ignore[arg-type]
            series.append(Series(ARMS.get(str(name), str(name)), (point,), "ours" in ARMS.get(str(name), ""), False))
    svg = chart(series, "mAP50 over bytes a frame", "bytes a frame, all that travels", "mAP50, points")
    caption = "Mean over sequences and seeds; bars reach from the lowest seed to the highest. Arms of the same bytes "
    caption += "stand side by side."
    return f"{legend(series)}\n<figure>{svg}<figcaption>{caption}</figcaption></figure>\n{source(record)}"


def source(record: Record) -> str:
    """What printed the numbers, where and when."""
    command = escape(record.command)
    return f'<p class="source"><code>{command}</code>; {escape(record.hardware)}; {record.date}</p>'


def missing(name: str, record: Record | None) -> str:
    """That there is nothing to show, and why."""
    why = record.not_measured if record else f"there is no record {name}"
    return f"<p>{NOT_MEASURED.capitalize()}: {escape(why)}.</p>"


def _curves(values: Mapping[str, Value], part: str) -> list[Series]:
    series = []
    for of in _names(values):
        points = []
        for number in range(int(values[f"{of}.points"])):  # type: ignore[arg-type]
            size, db = values[f"{of}.{number}.bytes"], values[f"{of}.{number}.{part}"]
            if db is not None:
                words = f"{values[f'{of}.{number}.preset']}: {size:,.0f} bytes, {db:.2f} dB"
                points.append(Point(float(size), float(db), words))  # type: ignore[arg-type]
        name = str(values[f"{of}.name"])
        series.append(Series(name, tuple(sorted(points, key=lambda point: point.x)), name.startswith("ours")))
    return series


def _rates(values: Mapping[str, Value]) -> str:
    rows = []
    for of in _names(values):
        rates = (values[f"{of}.{part}_bd_rate"] for part in ("background", "object"))
        cells = "".join(f"<td>{'–' if rate is None else f'{rate:+.0f} %'}</td>" for rate in rates)
        rows.append(f"<tr><td>{escape(str(values[f'{of}.name']))}</td>{cells}</tr>")
    titles = ("bytes against two-stream JPEG", "at equal background PSNR", "at equal object PSNR")
    head = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    return (
        "<details><summary>BD-rates</summary><div class='scroll' tabindex='0'><table><thead>"
        f"{head}</thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def _names(values: Mapping[str, Value]) -> list[str]:
    return [name.removesuffix(".name") for name in values if name.startswith("curve.") and name.endswith(".name")]
