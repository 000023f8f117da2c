"""Statistics of a store as a picture: growth by day, and the shares of devices and of families."""

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from storage.upkeep.statistics import Share, Statistics

_BARS = 12  # devices or families that are drawn; the rest is summed up in one
_INK = "#1f2933"
_BLUE, _LIGHT, _GREEN, _BROWN = "#2f6f9f", "#d5e3ee", "#4f8a5b", "#b07d3c"


def draw(statistics: Statistics) -> bytes:
    """A PNG of 1320x770 pixels.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    halves: Any = figure.subfigures(2, 1)
    growth, shares = halves
    _draw_growth(growth.subplots(1, 1), statistics.days)
    devices, families = shares.subplots(1, 2)
    total = statistics.payload_bytes
    _draw_shares(devices, "payload bytes by device that took the picture", statistics.devices, total, _GREEN)
    _draw_shares(families, "payload bytes by family", statistics.families, total, _BROWN)
    rows = sum(share.rows for share in statistics.families)
    figure.suptitle(
        f"{statistics.images:,} images in {rows:,} rows, {in_words(statistics.payload_bytes)} of payloads, "
        f"{in_words(statistics.bytes)} stored",
        color=_INK,
        fontsize=13,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def in_words(number: float) -> str:
    """Bytes for people: ``1.23 MB``, in powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}" if unit != "B" else f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:,.3g} TB"


def _draw_growth(panel: Any, days: Sequence[Share]) -> None:
    """Bytes written on each day as bars, and all until then as an area behind them."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter

    _plain(panel, "growth")
    if not days:
        _nothing(panel)
        return
    at: list[Any] = [date.fromisoformat(day.name) for day in days if day.name != "None"]
    sizes = [day.bytes for day in days if day.name != "None"]
    sums = [sum(sizes[: place + 1]) for place in range(len(sizes))]
    panel.fill_between(at, sums, step="post", color=_LIGHT, label="all until then", zorder=1)
    panel.bar(at, sizes, width=0.8, color=_BLUE, label="on this day", zorder=2)
    locator = AutoDateLocator(minticks=1, maxticks=10)
    if len(at) == 1:
        panel.set_xticks(at, [at[0].isoformat()])
        panel.set_xlim(at[0].toordinal() - _epoch() - 3, at[0].toordinal() - _epoch() + 3)
    else:
        panel.xaxis.set_major_locator(locator)
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: in_words(value)))
    panel.set_ylabel("payload bytes", color=_INK)
    panel.set_ylim(bottom=0)
    panel.grid(axis="y", alpha=0.3, zorder=0)
    panel.legend(loc="upper left", frameon=False, fontsize=9)


def _draw_shares(panel: Any, title: str, shares: Sequence[Share], total: int, color: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    _plain(panel, title)
    if not shares:
        _nothing(panel)
        return
    drawn = list(shares[:_BARS])
    rest = shares[_BARS:]
    if rest:
        drawn.append(Share(f"{len(rest)} others", sum(s.rows for s in rest), sum(s.bytes for s in rest)))
    names = [share.name if len(share.name) <= 24 else f"{share.name[:22]}..." for share in drawn]
    bars = panel.barh(range(len(drawn)), [share.bytes for share in drawn], color=color, height=0.7)
    panel.set_yticks(range(len(drawn)), names, fontsize=9, parse_math=False)
    labels = [f"{in_words(s.bytes)}, {s.bytes / max(total, 1):.0%}, {s.rows:,} rows" for s in drawn]
    panel.bar_label(bars, labels, padding=4, fontsize=8, color=_INK)
    panel.set_ylim(max(len(drawn), 4) - 0.4, -0.6)
    panel.set_xlim(0, max(share.bytes for share in drawn) * 1.5 or 1)
    panel.xaxis.set_major_locator(MaxNLocator(5))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: in_words(value)))


def _plain(panel: Any, title: str) -> None:
    panel.set_title(title, loc="left", fontsize=11, color=_INK)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(colors=_INK, labelsize=9)


def _nothing(panel: Any) -> None:
    panel.set(xticks=[], yticks=[])
    panel.text(0.5, 0.5, "no images yet", ha="center", va="center", transform=panel.transAxes, color=_INK)


def _epoch() -> int:
    """Matplotlib counts days from 1970."""
    return date(1970, 1, 1).toordinal()
