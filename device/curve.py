"""The training curve as a picture: loss over the epochs, and precision before and after."""

import io

from device.report import DeviceReport


def draw_curve(report: DeviceReport) -> bytes:
    """A PNG of the loss of each epoch, and of mAP50 and mAP50:95 before and after the training."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    loss, precision = figure.subplots(1, 2, width_ratios=(3, 2))

    loss.plot(range(1, len(report.losses) + 1), report.losses, marker=".", color="tab:blue")
    loss.set(xlabel="epoch", ylabel="training loss", title=f"{report.device}: {report.frames} decoded frames")
    loss.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.set_ylim(bottom=0)
    loss.grid(alpha=0.3)

    groups = [("decoded\nframes", report.decoded), ("own\nJPEGs", report.own)]
    names, before, after = [], [], []
    for name, comparison in groups:
        for figure_name, field in (("mAP50", "map50"), ("mAP50:95", "map50_95")):
            if comparison is not None:
                names.append(f"{figure_name}\n{name}")
                before.append(getattr(comparison.before, field))
                after.append(getattr(comparison.after, field))
    places = range(len(names))
    for label, values, shift, color in (
        ("before", before, -0.2, "tab:gray"),
        ("after", after, 0.2, "tab:green"),
    ):
        bars = precision.bar([place + shift for place in places], values, 0.38, label=label, color=color)
        precision.bar_label(bars, fmt="%.2f", fontsize=8)
    precision.set_xticks(list(places), names, fontsize=8)
    precision.set(ylim=(0, 1.2), title="mean average precision")
    precision.legend(loc="upper center", ncols=2, fontsize=8, frameon=False)

    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()
