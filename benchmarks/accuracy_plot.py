"""Accuracy over bytes as a picture."""

from io import BytesIO

from benchmarks.accuracy_arms import BACKGROUNDS, CAPTURED, NOTHING, OURS, Arm, parse
from benchmarks.accuracy_report import Results, lines, mean_of

_LADDER = ("small", OURS, "fine")
_NETWORKS = (*_LADDER, BACKGROUNDS, "instant", "siren", "fast", "paper", "d-rapid")
_APART = 0.05  # between arms of the same bytes, a share of these


def plot(results: Results, title: str) -> bytes:
    """mAP50 over kB a frame as a PNG: ours circles, controls squares; bars reach from the lowest seed to the highest.

    Arms of the same bytes stand side by side. What arrives as nothing is a line.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots()
    for changes, style in _recipes(results):
        ladder = [Arm(base, changes) for base in _LADDER if Arm(base, changes) in results]
        found = lines({arm: results[arm] for arm in ladder})
        axes.plot(
            [one.bytes_a_frame / 1000 for one in found],
            [one.map50 for one in found],
            style,
            color="tab:blue",
            alpha=0.5,
        )
    taken: list[float] = []
    for line, by_seed in zip(lines(results), results.values(), strict=True):
        arm, values = parse(line.arm), [100 * mean_of(run.map50) for run in by_seed.values()]
        seeds = f"{line.seeds} seed{'s' if line.seeds > 1 else ''}"
        if arm.base == NOTHING:
            axes.axhline(line.map50, color="0.6", linestyle="--", label=f"e, nothing new ({seeds})")
            continue
        place = line.bytes_a_frame / 1000
        while any(abs(place / other - 1) < _APART / 2 for other in taken):
            place *= 1 + _APART
        taken.append(place)
        axes.errorbar(
            place,
            line.map50,
            yerr=[[line.map50 - min(values)], [max(values) - line.map50]],
            fmt="D" if arm.base == CAPTURED else "o" if arm.base in _NETWORKS else "s",
            markerfacecolor="none" if arm.changes else None,
            capsize=3,
            label=f"{line.arm}, {line.bytes_a_frame:,.0f} bytes ({seeds})",
        )
        if arm == Arm(CAPTURED):
            axes.axhline(line.map50, color="0.3", linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="kB a frame, all that travels", ylabel="mAP50 on captured JPEGs, points", title=title)
    axes.set_xlim(min(taken) / 1.5, max(taken) * 1.5)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _recipes(results: Results) -> list[tuple[tuple[str, ...], str]]:
    """How pictures were trained on, each with its style of line."""
    found = dict.fromkeys(arm.changes for arm in results if arm.base == OURS)
    return list(zip(found, ("-", "--", ":", "-."), strict=False))
