"""Drawing what waits for what: a lane for everyone who works, a bar for everything that is done."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.timeline_spans import Half

COLOURS = {
    "decode backgrounds": "#1b6ca8",
    "decode objects": "#5aa9e6",
    "read": "#6c757d",
    "decode": "#b5442c",
    "resize": "#e98a6d",
    "wait for workers": "#f2d06b",
    "to floats": "#9d8189",
    "augment": "#8e6bbf",
    "forward": "#2d8a57",
    "backward": "#57b583",
    "update": "#a9dcc0",
}
"""Of spans by their names: warm where pictures come from files, blue where from networks, green for the step itself."""


def draw(halves: Sequence[Half], file: Path, title: str) -> None:
    """Both halves on one time axis, from the start of the first step that is shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    lanes = [sorted({span.lane for span in half.spans}, key=_lane_order) for half in halves]
    figure = Figure(figsize=(11, 1.6 + 0.62 * sum(map(len, lanes)) + 0.5 * len(halves)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(halves), 1, sharex=True, height_ratios=[len(each) + 0.6 for each in lanes], squeeze=False
    )
    last = max(half.ends[-1] - half.ends[0] for half in halves)
    for axis, half, names in zip(axes[:, 0], halves, lanes, strict=True):
        zero = half.ends[0]
        for span in half.spans:
            start, stop = max(span.start - zero, 0), min(span.stop - zero, half.ends[-1] - zero)
            if start < stop:
                axis.barh(
                    names.index(span.lane), (stop - start) * 1000, left=start * 1000, height=0.72,
                    color=COLOURS[span.name], edgecolor="white", linewidth=0.3,
                )  # fmt: skip
        for end in half.ends:
            axis.axvline((end - zero) * 1000, color="black", linewidth=0.8, linestyle=":")
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        axis.set_xlim(0, last * 1000)
        axis.set_title(half.title, loc="left", fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("milliseconds; dotted: a step ends")
    used = {span.name for half in halves for span in half.spans}
    handles = [Patch(color=colour, label=name) for name, colour in COLOURS.items() if name in used]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _lane_order(lane: str) -> tuple[bool, str]:
    return lane.startswith("worker"), lane
