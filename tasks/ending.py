"""How a flow ends: with its value for who called it, and a sentence for who looks at the run."""

from typing import TypeVar, cast

from prefect.states import Completed

NOTHING_NEW = "nothing new"
"""The sentence of a run that found nothing to do."""

Value = TypeVar("Value")


def ended(value: Value, sentence: str) -> Value:
    """What a flow returns: the caller gets the value, and the run's state says the sentence.

    Args:
        value: the flow's result.
        sentence: what was done, in a line.
    """
    # Prefect takes a returned state as the run's own, and gives its data to the caller.
    return cast(Value, Completed(message=sentence, data=value))
