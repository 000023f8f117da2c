"""What came out: a table of the arms, and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from benchmarks.accuracy_arms import BACKGROUNDS, CAPTURED, NOTHING, OURS, SAME_BYTES, Arm
from benchmarks.accuracy_run import Result
from benchmarks.accuracy_statistics import Difference, Scores, above, difference, no_worse

MARGIN = 2.0
"""Points of mAP50 by which networks may lie below JPEGs and still count as no worse."""

POWER = 10.0
"""Points of mAP50 that captured JPEGs have to gain over nothing, or the set-up can show nothing. In a sequence that
gains less no arm finds the objects, and a difference of zero says nothing: verdicts leave it out."""

Results = Mapping[Arm, Mapping[int, Result]]
"""By arm and seed."""


@dataclass(frozen=True)
class Line:
    """An arm in the table: means over sequences and seeds.

    Attributes:
        arm: its name.
        seeds: how many.
        bytes_a_frame: mean over sequences.
        map50: in points, mean over sequences and seeds.
        map50_95: likewise.
        pooled50: in points, of all test pictures at once, mean over seeds.
        beside_captured: its mAP50 beside that of captured JPEGs, seeds that both have; ``None`` for those themselves.
    """

    arm: str
    seeds: int
    bytes_a_frame: float
    map50: float
    map50_95: float
    pooled50: float
    beside_captured: Difference | None


@dataclass(frozen=True)
class Verdict:
    """An answer to one question of the experiment."""

    question: str
    difference: Difference
    answer: str


def lines(results: Results) -> list[Line]:
    """One line an arm, in their order."""
    base = results.get(Arm(CAPTURED))
    made = []
    for arm, by_seed in results.items():
        runs = list(by_seed.values())
        paired = base is not None and arm != Arm(CAPTURED) and set(base) & set(by_seed)
        made.append(
            Line(
                arm=arm.name,
                seeds=len(runs),
                bytes_a_frame=mean_of(runs[0].bytes_a_frame),
                map50=float(np.mean([100 * mean_of(run.map50) for run in runs])),
                map50_95=float(np.mean([100 * mean_of(run.map50_95) for run in runs])),
                pooled50=float(np.mean([100 * run.pooled50 for run in runs])),
                beside_captured=difference(*_scores(by_seed, base, list(runs[0].map50))) if base and paired else None,
            )
        )
    return made


def with_power(results: Results) -> list[str]:
    """Sequences in which captured JPEGs gain enough over nothing to tell arms apart; all where that is not known."""
    names = list(next(iter(next(iter(results.values())).values())).map50)
    captured, nothing = results.get(Arm(CAPTURED)), results.get(Arm(NOTHING))
    if not captured or not nothing or not set(captured) & set(nothing):
        return names
    first, second = _scores(captured, nothing, names)
    return [name for name, gain in zip(names, (first - second).mean(axis=1), strict=True) if gain >= POWER]


def verdicts(results: Results) -> list[Verdict]:
    """Answers to all questions for which there are runs, from the sequences of :func:`with_power`."""
    answers: list[Verdict] = []
    names = with_power(results)
    if not names:
        return answers

    def ask(question: str, ours: Arm, theirs: Arm, answer: Any) -> None:
        if ours in results and theirs in results and set(results[ours]) & set(results[theirs]):
            pair = _scores(results[ours], results[theirs], names)
            answers.append(Verdict(question, difference(*pair), answer(*pair)))

    def has_power(ours: Scores, theirs: Scores) -> str:
        return "yes" if difference(ours, theirs).mean >= POWER else "no: change the set-up"

    ask(f"power: does a gain {POWER:g} points over e", Arm(CAPTURED), Arm(NOTHING), has_power)
    for arm in results:
        if arm.base in (OURS, "siren", "fine", "small"):
            trained_alike = tuple(change for change in arm.changes if change not in (*arm.sent.changes, "full"))
            for other in dict.fromkeys((Arm(CAPTURED), Arm(CAPTURED, trained_alike))):
                question = f"is {arm.name} no worse than {other.name}, margin {MARGIN:g} points"
                ask(question, arm, other, lambda ours, theirs: no_worse(ours, theirs, MARGIN))
    for arm in results:
        if (preset := arm.preset) and preset.clip:
            alone = replace(arm, base=OURS)
            question = f"is {arm.name} no worse than {alone.name}, margin {MARGIN:g} points"
            ask(question, arm, alone, lambda ours, theirs: no_worse(ours, theirs, MARGIN))
    for arm in results:
        if arm.base == OURS:
            for other in results:
                if other.base in (*SAME_BYTES, BACKGROUNDS) and other.changes in ((), arm.changes):
                    same = "" if other.base == BACKGROUNDS else " at the same bytes"
                    ask(f"is {arm.name} above {other.name}{same}", arm, other, above)
            if arm.changes:
                ask(f"is {arm.name} above b", arm, Arm(OURS), above)
    return answers


def markdown(results: Results) -> str:
    """Tables for people."""
    rows = [
        "| arm | seeds | bytes a frame | mAP50 | mAP50:95 | mAP50, pooled | beside a |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines(results):
        beside = _spoken(line.beside_captured) if line.beside_captured else "–"
        rows.append(
            f"| {line.arm} | {line.seeds} | {line.bytes_a_frame:,.0f} | {line.map50:.1f} | {line.map50_95:.1f} "
            f"| {line.pooled50:.1f} | {beside} |"
        )
    rows += [
        "",
        f"From {', '.join(with_power(results)) or 'no sequence'}, where a gains {POWER:g} points over e or more:",
    ]
    rows += ["", "| question | difference in mAP50 | answer |", "|---|---|---|"]
    rows += [f"| {one.question} | {_spoken(one.difference)} | {one.answer} |" for one in verdicts(results)]
    rows += ["", *_by_sequence(results)]
    return "\n".join(rows)


def as_json(results: Results) -> dict[str, Any]:
    """The same for programs."""
    return {
        "arms": [asdict(line) for line in lines(results)],
        "with_power": with_power(results),
        "verdicts": [asdict(verdict) for verdict in verdicts(results)],
        "map50": {
            arm.name: {str(seed): run.map50 for seed, run in by_seed.items()} for arm, by_seed in results.items()
        },
        "presets": {arm.name: next(iter(by_seed.values())).presets for arm, by_seed in results.items()},
    }


def mean_of(values: Mapping[str, float]) -> float:
    """Mean over sequences."""
    return sum(values.values()) / len(values)


def _by_sequence(results: Results) -> list[str]:
    arms = list(results)
    rows = [
        f"| mAP50 | {' | '.join(arm.name for arm in arms)} |",
        "|---|" + "---|" * len(arms),
    ]
    names = list(next(iter(next(iter(results.values())).values())).map50)
    for name in names:
        means = [np.mean([100 * run.map50[name] for run in by_seed.values()]) for by_seed in results.values()]
        rows.append(f"| {name} | {' | '.join(f'{value:.1f}' for value in means)} |")
    return rows


def _scores(ours: Mapping[int, Result], theirs: Mapping[int, Result], names: Sequence[str]) -> tuple[Scores, Scores]:
    """``[sequences, seeds]`` each, in points, of the seeds that both have."""
    seeds = sorted(set(ours) & set(theirs))
    first, second = (
        np.array([[100 * runs[seed].map50[name] for seed in seeds] for name in names]) for runs in (ours, theirs)
    )
    return first, second


def _spoken(one: Difference) -> str:
    seeds = f"{one.seeds} seed{'s' if one.seeds > 1 else ''}"
    whole, alone = f"{one.low:+.1f} … {one.high:+.1f}", f"{one.seeds_low:+.1f} … {one.seeds_high:+.1f}"
    return f"{one.mean:+.1f} ({whole}; seeds alone {alone}; {seeds})"
