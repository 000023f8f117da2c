"""Curves of sequences as pictures: bytes a frame over PSNR, backgrounds and objects."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.clip_curves import Curve
from benchmarks.clip_report import CLIPS, SINGLE, VIDEOS, Report

_SHOWN = (SINGLE, CLIPS, "two-stream JPEG", "two-stream WebP", "two-stream AVIF", *VIDEOS)


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """A picture a sequence and one of all.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for report in reports:
        figure = Figure(figsize=(12, 5), layout="constrained")
        panels: Any = figure.subplots(1, 2)
        _panel(panels[0], report, "background")
        _panel(panels[1], report, "object")
        panels[0].legend(fontsize=8)
        figure.suptitle(f"{report.name}, {report.frames} frames")
        files.append(folder / f"{report.name}.png")
        figure.savefig(files[-1], dpi=100)
    columns = min(len(reports), 4)
    rows = -(-len(reports) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.6 * rows), layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for panel, each in zip(grid.flat, reports, strict=False):
        _panel(panel, each, "background")
        panel.set_title(each.name)
    for panel in grid.flat[len(reports) :]:
        panel.axis("off")
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    files.append(folder / "all.png")
    figure.savefig(files[-1], dpi=80)
    return files


def _panel(panel: Any, report: Report, what: str) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for name in _SHOWN:
        if name not in report.ways:
            continue
        way = report.ways[name]
        curve: Curve = way.background if what == "background" else way.objects
        points = curve.best
        ours = name.startswith("ours")
        panel.plot(
            [p.bytes_a_frame for p in points],
            [p.db for p in points],
            marker="o" if ours else ".",
            linewidth=2.5 if ours else 1,
            label=name,
        )
    middle = report.own.background_db if what == "background" else report.own.object_db
    panel.set(xscale="log", xlabel="bytes a frame", ylabel=f"{what} PSNR, dB", ylim=(middle - 4, middle + 5))
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.grid(visible=True, which="both", alpha=0.3)
