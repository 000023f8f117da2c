from benchmarks.accuracy_arms import parse
from benchmarks.accuracy_plot import plot
from benchmarks.accuracy_report import Results, lines, markdown, verdicts, with_power
from benchmarks.accuracy_run import Result


def run(arm: str, seed: int, easy: float, hard: float) -> Result:
    """Scores of two easy sequences and a hard one, 0 to 1."""
    scores = {"first": easy, "second": easy - 0.1, "hard": hard}
    sizes = {"first": 1000.0, "second": 2000.0, "hard": 3000.0}
    return Result(arm, seed, sizes, scores, scores, 0.5, 0.1, {}, [], 1.0, {})


def table(**arms: list[tuple[float, float]]) -> Results:
    return {
        parse(name.replace("_", "-")): {seed: run(name, seed, *scores) for seed, scores in enumerate(runs)}
        for name, runs in arms.items()
    }


RESULTS = table(
    a=[(0.80, 0.05), (0.90, 0.03)],
    b=[(0.81, 0.05), (0.91, 0.03), (0.95, 0.05)],
    c=[(0.50, 0.05)],
    d_webp=[(0.70, 0.00), (0.80, 0.00)],
    e=[(0.10, 0.00), (0.20, 0.00)],
)


def test_a_sequence_that_no_arm_learns_takes_no_part_in_verdicts() -> None:
    assert with_power(RESULTS) == ["first", "second"]
    assert with_power(table(b=[(0.5, 0.0)])) == ["first", "second", "hard"]


def test_lines_are_means_over_sequences_and_seeds() -> None:
    found = {line.arm: line for line in lines(RESULTS)}
    assert found["a"].bytes_a_frame == 2000
    assert round(found["a"].map50, 6) == 54.666667  # 80, 70, 5; 90, 80, 3
    assert found["a"].beside_captured is None
    beside = found["b"].beside_captured
    assert beside is not None
    assert beside.seeds == 2  # that a has as well
    assert round(beside.mean, 6) == 0.666667  # 1, 1, 0; 1, 1, 0


def test_verdicts_answer_what_was_asked() -> None:
    answers = {one.question: (round(one.difference.mean, 6), one.answer) for one in verdicts(RESULTS)}
    assert answers == {
        "power: does a gain 10 points over e": (70.0, "yes"),
        "is b no worse than a, margin 2 points": (1.0, "no worse"),
        "is b above c": (31.0, "undecided, needs at least 2 seeds and 2 sequences"),
        "is b above d-webp at the same bytes": (11.0, "above"),
    }


def test_a_set_up_without_power_gives_no_verdict() -> None:
    assert verdicts(table(a=[(0.2, 0.1)], e=[(0.2, 0.1)])) == []
    assert "From no sequence" in markdown(table(a=[(0.2, 0.1)], e=[(0.2, 0.1)]))


def test_a_picture_of_it() -> None:
    assert plot(RESULTS, "two sequences").startswith(b"\x89PNG")
