"""The plot of a plan: ratios over receivers, with what they stay below."""

from io import BytesIO

from rinr.planning.plan import Kind, Plan, Way

_DRAWN: tuple[Kind, ...] = ("fog jpeg", "uploads", "control", "ours", "policy", "clips", "model")


def draw(plan: Plan, title: str) -> bytes:
    """Ratios over 1 to 20 receivers or as many as the fleet has, as a PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    exchange = plan.setting.exchange
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    panel = figure.subplots()
    receivers = list(range(1, plan.drawn + 1))
    for way in _drawn(plan):
        mine = way.kind in ("ours", "policy", "clips")
        label = f"{way.name} ({way.ratio:.2f})"
        panel.plot(receivers, plan.curve(way), linewidth=2.5 if mine else 1.2, label=label)
    for name, upload, colour in _bounds(plan):
        limits = [plan.bound(number, upload) for number in receivers]
        panel.plot(receivers, limits, linestyle="--", linewidth=1, color=colour, label=name)
    panel.axhline(1, color="black", linewidth=0.8)
    panel.axvline(exchange.receivers, color="black", linewidth=0.8, linestyle=":")
    panel.annotate(
        "JPEGs, device to device", (receivers[-1], 1), (-4, 3), textcoords="offset points", ha="right", fontsize=8
    )
    panel.annotate(
        f"{exchange.receivers} receivers", (exchange.receivers, 1), (3, 12), textcoords="offset points", fontsize=8
    )
    most = max(max(plan.curve(way)) for way in _drawn(plan))
    panel.set(
        xlabel="receivers of each picture, in a fleet one larger",
        ylabel="times fewer bytes than JPEGs from device to device",
        xlim=(receivers[0], receivers[-1]),
        ylim=(0, 1.08 * max(plan.bound(receivers[-1]), most)),
        title=title,
    )
    panel.grid(visible=True, alpha=0.3)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _drawn(plan: Plan) -> list[Way]:
    """One line of each kind: of the controls the cheapest."""
    return [way for kind in _DRAWN if (way := plan.find(kind))]


def _bounds(plan: Plan) -> list[tuple[str, float, str]]:
    """Name, uploads as a part of captured JPEGs, colour."""
    found = [("bound: captured JPEGs uploaded, nothing down", 1.0, "grey")]
    uploads, survey = plan.survey.uploads.name, plan.survey
    if uploads != "jpeg":
        found.append((f"bound: {uploads} uploaded, nothing down", plan.uploaded, "tab:green"))
    elif survey.smaller_uploads and survey.upload_share is not None:
        found.append((f"bound: {survey.smaller_uploads.name} uploaded, nothing down", survey.upload_share, "tab:green"))
    return found
