"""What ``rinr doctor`` finds: one thing looked at, how it stands, and what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Standing = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what was looked at, in a word or two.
        standing: ``ok``; ``warning``, where something works less well than it could or is not there yet; ``problem``,
            where it does not work.
        what: was found.
        do: about it, in words or as a command; empty where all is well.
    """

    subject: str
    standing: Standing
    what: str
    do: str = ""


def ok(subject: str, what: str) -> Finding:
    """All is well with something."""
    return Finding(subject, "ok", what)


def warning(subject: str, what: str, do: str) -> Finding:
    """Something works less well than it could."""
    return Finding(subject, "warning", what, do)


def problem(subject: str, what: str, do: str) -> Finding:
    """Something does not work."""
    return Finding(subject, "problem", what, do)


def looked_at(subject: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a look finds; what it fails with is a problem of its subject, and no end to the others."""
    try:
        return list(look())
    except Exception as error:
        text = f"looking at it failed: {type(error).__name__}: {str(error)[:300]}"
        return [problem(subject, text, "tell the makers of rinr, with what `rinr doctor --json` prints")]
