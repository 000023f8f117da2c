"""The paper's reported figures beside ours, each reproduced, not reproduced with its reason, or passed.

Every row is four values: ``paper_figures.NAME.figure``, ``.paper``, ``.ours`` and ``.verdict``; ``None`` for ours where
the run has not measured it.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.network import paper
from benchmarks.records import Value
from rinr import traffic

NOT_MEASURED = "not measured"

Values = Mapping[str, Any]


def figures(values: Values, devices: int) -> dict[str, Value]:
    """All rows, from what a run measured.

    Args:
        values: of the run.
        devices: in it.
    """
    rows = {
        "ten_devices": _ten_devices(values, devices),
        "relative_size": _relative_size(values),
        "frame_bytes": _frame_bytes(values),
        "quality": _quality(values),
        **{f"devices_{count}": _of_devices(values, count, devices) for count in range(2, 11)},
        **{f"class_{number}": _of_class(values, number) for number in range(1, 5)},
    }
    return {
        f"paper_figures.{name}.{part}": value
        for name, row in rows.items()
        for part, value in zip(("figure", "paper", "ours", "verdict"), row, strict=True)
    }


def table(values: Values) -> str:
    """The rows, as Markdown."""
    start = "paper_figures."
    names = dict.fromkeys(name.split(".")[1] for name in values if name.startswith(start))
    lines = ["| figure | paper | ours | |", "|---|---|---|---|"]
    for name in names:
        cells = [values.get(f"{start}{name}.{part}") or NOT_MEASURED for part in ("figure", "paper", "ours", "verdict")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_Row = tuple[str, str, str | None, str]


def _ten_devices(values: Values, devices: int) -> _Row:
    figure = f"data over {paper.DEVICES} devices, against JPEGs from device to device"
    said = f"{paper.RATIO} times less"
    if devices != paper.DEVICES or "paper.raw_ratio" not in values:
        return figure, said, None, NOT_MEASURED
    raw, coded = values["paper.raw_ratio"], values["paper.ratio"]
    ours = f"{raw:.2f} with its shapes and bits, {coded:.2f} entropy coded"
    if "balanced.ratio" in values:
        ours += f", {values['balanced.ratio']:.2f} with `balanced`"
    if raw >= paper.RATIO:
        return figure, said, ours, "reproduced" if raw < 1.1 * paper.RATIO else "passed"
    why = f"with all that crosses, its networks are {_relative(raw, 9):.3f} of our JPEGs, not {paper.RELATIVE_SIZE}"
    if max(coded, values.get("balanced.ratio", 0)) >= paper.RATIO:
        return figure, said, ours, f"not reproduced with weights sent as they are ({why}); passed once they are coded"
    return figure, said, ours, f"not reproduced: {why}"


def _relative_size(values: Values) -> _Row:
    figure, said = "a: bytes of a frame's networks over its JPEG's", f"{paper.RELATIVE_SIZE}"
    raw = values.get("paper.raw_relative_size")
    if raw is None:
        return figure, said, None, NOT_MEASURED
    ours = f"{raw:.3f} with its shapes and bits"
    best = values.get("balanced.relative_size")
    if best is None:
        return figure, said, ours, "reproduced" if raw <= 1.1 * paper.RELATIVE_SIZE else "not reproduced"
    ours += f", {best:.3f} with `balanced`"
    reached = (
        "reproduced within 10 %" if abs(raw / paper.RELATIVE_SIZE - 1) <= 0.1 else "not reproduced with its shapes"
    )
    return figure, said, ours, reached + ("; passed" if best < paper.RELATIVE_SIZE else "")


def _frame_bytes(values: Values) -> _Row:
    figure = "bytes of a frame of 640x360: background and object"
    said = f"{paper.BACKGROUND_KB:g} + {paper.OBJECT_KB:g} kB"
    raw = values.get("paper.raw_frame_bytes")
    if raw is None:
        return figure, said, None, NOT_MEASURED
    ours = f"{raw / 1000:.1f} kB with its released shapes, both together"
    if values.get("fine.frame_bytes"):
        ours += f"; {values['fine.frame_bytes'] / 1000:.1f} kB with `fine`"
    if raw <= 1000 * (paper.BACKGROUND_KB + paper.OBJECT_KB):
        why = "its released background shape, 28x10, has 6,667 weights: 6.7 kB at 8 bits, of which 24 kB do not follow"
        return (
            figure,
            said,
            ours,
            f"not reproduced: {why}; passed by `fine` at its quality"
            if _fine_is_good(values)
            else f"not reproduced: {why}",
        )
    return figure, said, ours, "not reproduced: larger"


def _quality(values: Values) -> _Row:
    figure = "PSNR of background and object in those bytes"
    said = f"{paper.BACKGROUND_DB} / {paper.OBJECT_DB} dB in {paper.BACKGROUND_KB + paper.OBJECT_KB:g} kB"
    if values.get("fine.frame_bytes") is None:
        return figure, said, None, NOT_MEASURED
    size = values["fine.frame_bytes"] / 1000
    ours = f"{values['fine.background_db']:.2f} / {values['fine.object_db']:.2f} dB in {size:.1f} kB with `fine`"
    if _fine_is_good(values):
        return figure, said, ours, "passed" if size < paper.BACKGROUND_KB + paper.OBJECT_KB else "reproduced"
    return (
        figure,
        said,
        ours,
        "reproduced within 1 dB" if _fine_is_good(values, 1.0) else "not reproduced: other frames, other dB",
    )


def _fine_is_good(values: Values, less: float = 0.0) -> bool:
    found = values.get("fine.background_db"), values.get("fine.object_db")
    asked = paper.BACKGROUND_DB, paper.OBJECT_DB
    return all(one is not None and one >= wanted - less for one, wanted in zip(found, asked, strict=True))


def _of_devices(values: Values, count: int, devices: int) -> _Row:
    figure = f"ratio over {count} devices, by the equation n / (1 + n a)"
    said = traffic.ratio(count - 1, paper.RELATIVE_SIZE)
    raw, best = values.get("paper.raw_relative_size"), values.get("balanced.relative_size")
    if raw is None or best is None:
        return figure, f"{said:.2f}", None, NOT_MEASURED
    ours = traffic.ratio(count - 1, raw), traffic.ratio(count - 1, best)
    reached = "reproduced within 5 %" if ours[0] >= 0.95 * said else "not reproduced with its shapes"
    return (
        figure,
        f"{said:.2f}",
        f"{ours[0]:.2f} with its shapes, {ours[1]:.2f} with `balanced`{_counted(values) if count == devices else ''}",
        reached + ("; passed" if ours[1] > said else ""),
    )


def _counted(values: Values) -> str:
    """What the sockets' counts say where the equation has no labels, acknowledgements and protocols."""
    found = values.get("paper.raw_ratio"), values.get("balanced.ratio")
    return f"; {found[0]:.2f} and {found[1]:.2f} as counted" if found[0] and found[1] else ""


def _of_class(values: Values, number: int) -> _Row:
    start = f"classes.{number}."
    figure = f"object network of boxes of {values.get(f'{start}range')}"
    if f"{start}shape" not in values:
        return f"object network, class {number}", "", None, NOT_MEASURED
    said = f"{values[f'{start}shape']}: {values[f'{start}paper_bytes']:,} B"
    if not values[f"{start}frames"]:
        return figure, said, None, "not measured: no such box among the frames"
    ours = f"{values[f'{start}ours_bytes']:,.0f} B at {values[f'{start}ours_db']:.1f} dB with `balanced`"
    is_less = values[f"{start}ours_bytes"] <= values[f"{start}paper_bytes"]
    return figure, said, ours, "fewer bytes" if is_less else "more bytes"


def _relative(ratio: float, receivers: int) -> float:
    return traffic.relative_size(ratio, receivers)
