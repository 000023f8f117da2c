"""What `benchmarks.training_speed` found, as values of a record and as the table that is made of those."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.records import Value, name_part

if TYPE_CHECKING:  # these need torch, which a table does not
    from benchmarks.speed_clock import Side, Spent

MEASURES = ("loader", "augmented", "step")
PAPERS_CONTROL = "full decode, LANCZOS"
"""Of Pillow's ways to read a JPEG, the one that the paper compares with."""


def values_of(measured: "Sequence[tuple[Side, Mapping[str, Spent]]]") -> dict[str, Value]:
    """Milliseconds a picture of each side; and of each of ours how many times as fast its whole step is.

    With and without workers counts as one side, by the faster of both, for ours as for the controls; sine networks with
    backgrounds at every second pixel count as the same networks.
    """
    values: dict[str, Value] = {}
    for side, spent in measured:
        of = f"side.{name_part(side.name)}"
        values |= {f"{of}.name": side.name, f"{of}.kind": side.kind, f"{of}.kilobytes": side.kilobytes}
        for measure in MEASURES:
            values[f"{of}.{measure}_ms"] = 1000 * spent[measure].wall
            values[f"{of}.{measure}_cpu_ms"] = 1000 * spent[measure].cpu
    files = [(side, spent) for side, spent in measured if "in memory" not in side.name]
    for measure in MEASURES:
        full = _fastest(measured, measure, "pillow", PAPERS_CONTROL)
        pillow = _fastest(measured, measure, "pillow", "")
        floor = _fastest(measured, measure, "floor", "")
        best = min(_fastest(files, measure, kind, "") for kind in ("pillow", "shrunk", "other"))
        for name in dict.fromkeys(side.name.split(",")[0].strip("`") for side, _ in measured if side.kind == "ours"):
            own = _fastest(measured, measure, "ours", f"`{name}`")
            of = f"{name_part(name)}.{measure}"
            values |= {f"{of}_over_full": full / own, f"{of}_over_pillow": pillow / own, f"{of}_over_best": best / own}
        if floor:
            values[f"floor.{measure}_over_full"] = full / floor
    return values


def table(values: Mapping[str, Value]) -> str:
    """Every side, wall milliseconds a picture."""
    lines = ["| | kB kept | loader | augmented | whole step |", "|---|---|---|---|---|"]
    for name in values:
        if name.startswith("side.") and name.endswith(".name"):
            of = name.removesuffix(".name")
            times = (values[f"{of}.{measure}_ms"] for measure in MEASURES)
            cells = " | ".join(f"{time:.1f}" if time else "" for time in times)
            lines.append(f"| {values[name]} | {values[f'{of}.kilobytes']:.1f} | {cells} |")
    return "\n".join(lines)


def _fastest(measured: "Sequence[tuple[Side, Mapping[str, Spent]]]", measure: str, kind: str, part: str) -> float:
    """Seconds a picture; infinite where there is no such side."""
    times = [spent[measure].wall for side, spent in measured if side.kind == kind and part in side.name]
    return min(times, default=float("inf"))
