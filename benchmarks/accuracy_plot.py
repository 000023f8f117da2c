"""Accuracy over bytes as a picture."""

from io import BytesIO

from benchmarks.accuracy_arms import BACKGROUNDS, CAPTURED, NOTHING, OURS, Arm
from benchmarks.accuracy_report import Results, lines, mean_of

_NETWORKS = ("small", OURS, "instant", "fine", "siren", "fast", "paper")


def plot(results: Results, title: str) -> bytes:
    """mAP50 over kB a frame as a PNG: ours joined by lines, each control a point; the bars reach from seed to seed.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(11, 6), layout="constrained")
    axes = figure.subplots()
    plain = {line.arm: line for line in lines(results)}
    for changes, style in _recipes(results):
        ladder = [Arm(base, changes) for base in ("small", OURS, "fine")]
        ladder = [arm for arm in ladder if arm in results]
        name = "@".join(("", *changes))
        if len(ladder) > 1:
            axes.plot(
                [plain[arm.name].bytes_a_frame / 1000 for arm in ladder],
                [plain[arm.name].map50 for arm in ladder],
                style,
                color="tab:blue",
                linewidth=2,
                label=f"ours: small, balanced, fine{' ' + name if name else ''}",
            )
    for arm, by_seed in results.items():
        line, values = plain[arm.name], [100 * mean_of(run.map50) for run in by_seed.values()]
        if arm.base in (CAPTURED, NOTHING):
            size = "" if arm.base == NOTHING else f", {line.bytes_a_frame / 1000:.0f} kB"
            style = "--" if arm.changes else "-"
            axes.axhline(line.map50, color="0.3" if arm.base == CAPTURED else "0.6", linestyle=style, linewidth=1)
            axes.annotate(
                f"{arm.name}{size}", (0.995, line.map50), xycoords=("axes fraction", "data"), ha="right", va="bottom"
            )
            continue
        reach = [[line.map50 - min(values)], [max(values) - line.map50]]
        ours = arm.base in (*_NETWORKS, BACKGROUNDS)
        axes.errorbar(
            line.bytes_a_frame / 1000,
            line.map50,
            yerr=reach,
            fmt="o" if ours else "s",
            color="tab:blue" if ours else "tab:orange",
            markerfacecolor="none" if arm.changes else None,
            capsize=3,
        )
        axes.annotate(
            arm.name, (line.bytes_a_frame / 1000, line.map50), xytext=(6, 4), textcoords="offset points", fontsize=9
        )
    axes.set(xscale="log", xlabel="kB a frame, all that travels", ylabel="mAP50 on captured JPEGs, points", title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="both", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _recipes(results: Results) -> list[tuple[tuple[str, ...], str]]:
    """How pictures were trained on, each with its style of line."""
    found = dict.fromkeys(arm.changes for arm in results if arm.base == OURS)
    return list(zip(found, ("-", "--", ":", "-."), strict=False))
