"""Fields of JSON documents that came from elsewhere, read with bounds."""

from datetime import UTC, datetime
from typing import Any

from storage.places.device_paths import safe_spelling

_LONGEST_DATE = 50  # characters
_SHOWN = 80


def shown(value: Any) -> str:
    """A value as a message may show it: short, and on one line."""
    return safe_spelling(repr(value if not isinstance(value, str) else value[:_SHOWN])[:_SHOWN])


def number(value: Any, name: str, low: int, high: int) -> int:
    """A whole number.

    Raises:
        ValueError: it is none, or out of bounds; the message names the field.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}, expected a number from {low} to {high:,}")
    return value


def date(value: Any, name: str) -> datetime:
    """A date with its time zone, in UTC.

    Raises:
        ValueError: it is none; the message names the field.
    """
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and len(value) < _LONGEST_DATE else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{name} is {shown(value)}, expected a date with its time zone")
