import pytest

from device.promotion import judge
from rinr.training.evaluate import Precision


def of(map50):
    return Precision(map50, map50 / 2)


@pytest.mark.parametrize(
    ("new", "in_use", "margin", "promoted"),
    [
        (0.5, None, 0.01, True),
        (0.5, 0.4, 0.01, True),
        (0.495, 0.5, 0.01, True),
        (0.48, 0.5, 0.01, False),
        (0.5, 0.5, 0.0, True),
        (0.499, 0.5, 0.0, False),
        (0.52, 0.5, -0.05, False),
        (0.56, 0.5, -0.05, True),
    ],
)
def test_a_model_that_is_worse_by_more_than_the_margin_is_not_used(new, in_use, margin, promoted):
    verdict = judge(of(new), None if in_use is None else of(in_use), margin, "held-out own pictures")
    assert verdict.promoted == promoted
    assert f"{new:.3f}" in verdict.why
    assert "held-out own pictures" in verdict.why
    assert in_use is None or f"{in_use:.3f}" in verdict.why


def test_the_reason_says_by_what_it_was_judged():
    assert "worse by more than 0.01, so it is kept and not used" in judge(of(0.1), of(0.5), 0.01, "x").why
    assert "not better by 0.1, so it is kept" in judge(of(0.5), of(0.5), -0.1, "x").why
