"""What `benchmarks.accuracy` found, as values of a record and as the tables that are made of those."""

from collections.abc import Mapping
from typing import Any

from benchmarks.records import Value, name_part

_DIFFERENCE = ("mean", "low", "high", "seeds_low", "seeds_high")


def values_of(found: Mapping[str, Any]) -> dict[str, Value]:
    """Of :func:`benchmarks.accuracy_report.as_json`: every arm and every verdict."""
    values: dict[str, Value] = {"sequences_with_power": len(found["with_power"])}
    for arm in found["arms"]:
        of = f"arm.{name_part(arm['arm'])}"
        scores = [100 * sum(run.values()) / len(run) for run in found["map50"][arm["arm"]].values()]
        values |= {f"{of}.name": arm["arm"], f"{of}.seeds": arm["seeds"], f"{of}.bytes": arm["bytes_a_frame"]}
        values |= {f"{of}.map50": arm["map50"], f"{of}.map50_95": arm["map50_95"]}
        values |= {f"{of}.map50_lowest": min(scores), f"{of}.map50_highest": max(scores)}
        if arm["beside_captured"]:
            values |= _difference(f"{of}.beside_captured", arm["beside_captured"])
    for verdict in found["verdicts"]:
        of = f"verdict.{name_part(verdict['question'])}"
        values |= {f"{of}.question": verdict["question"], f"{of}.answer": verdict["answer"]}
        values |= _difference(of, verdict["difference"])
    return values


def arms(values: Mapping[str, Value]) -> list[str]:
    """What the values of each arm begin with, in their order."""
    return [name.removesuffix(".name") for name in values if name.startswith("arm.") and name.endswith(".name")]


def table(values: Mapping[str, Value]) -> str:
    """A line an arm."""
    lines = [
        "| arm | seeds | bytes a frame | mAP50 | mAP50:95 | beside a (over sequences and seeds) | seeds alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for of in arms(values):
        lines.append(
            f"| {values[f'{of}.name']} | {values[f'{of}.seeds']} | {values[f'{of}.bytes']:,.0f} "
            f"| {values[f'{of}.map50']:.1f} | {values[f'{of}.map50_95']:.1f} | {_beside(values, of)} |"
        )
    return "\n".join(lines)


def verdict_table(values: Mapping[str, Value]) -> str:
    """A line a question."""
    lines = ["| question | difference in mAP50 | seeds alone | answer |", "|---|---|---|---|"]
    for name in values:
        if name.startswith("verdict.") and name.endswith(".question"):
            of = name.removesuffix(".question")
            spoken = " | ".join(_spoken(values, of))
            lines.append(f"| {values[name]} | {spoken} | {values[f'{of}.answer']} |")
    return "\n".join(lines)


def _beside(values: Mapping[str, Value], of: str) -> str:
    known = f"{of}.beside_captured.mean" in values
    return " | ".join(_spoken(values, f"{of}.beside_captured")) if known else " | "


def _spoken(values: Mapping[str, Value], of: str) -> tuple[str, str]:
    mean, low, high, seeds_low, seeds_high = (values[f"{of}.{name}"] for name in _DIFFERENCE)
    return f"{mean:+.1f} ({low:+.1f} … {high:+.1f})", f"{seeds_low:+.1f} … {seeds_high:+.1f}"


def _difference(of: str, one: Mapping[str, float]) -> dict[str, Value]:
    return {f"{of}.{name}": one[name] for name in _DIFFERENCE}
