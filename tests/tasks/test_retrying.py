import pytest
from prefect import task
from prefect.states import Completed, Failed

from tasks.retrying import may_succeed_later


@task
def nothing() -> None: ...


@pytest.mark.parametrize(
    ("error", "again"), [(OSError("gone"), True), (RuntimeError("busy"), True), (ValueError("wrong"), False)]
)
def test_what_is_wrong_with_the_input_is_not_tried_again(error: Exception, again: bool) -> None:
    assert may_succeed_later(nothing, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_what_succeeded_is_not_tried_again() -> None:
    assert may_succeed_later(nothing, None, Completed(data=1)) is False  # type: ignore[arg-type]
