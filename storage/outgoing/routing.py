"""Routing: which of the candidates a device is sent next, by the rule in the fleet file."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from storage.fleet import Device
from storage.outgoing.candidates import ROW_BYTES, Candidates, Places, microseconds
from storage.tables import now

SHARD_BYTES = 1_000
"""What a shard costs beside its rows: the ends of its file, and the fields and the signature of its manifest."""

_BLOCK = 16_384  # candidates that are looked at together


@dataclass(frozen=True, eq=False)
class Choice:
    """What a device is sent next.

    Attributes:
        rows: numbers of candidates, in the order in which they go.
        left_out: how many more it may have, for which there is no room now.
    """

    rows: Places
    left_out: int


def choose(
    candidates: Candidates,
    device: Device,
    delivered: npt.NDArray[np.bool_],
    *,
    room: int | None = None,
    at: datetime | None = None,
) -> Choice:
    """Which candidates a device lacks and may have, in the order in which they go.

    Without a budget they go in the order in which they were captured. Under one the best value per byte goes first:
    objects of the labels asked for, or of any label, for each byte; of equal value the newer first.

    Args:
        candidates: all there is.
        device: with its rule.
        delivered: which of them it was sent already, ``[candidates]``.
        room: bytes that may be sent now; the rule's budget without it.
        at: from when ``days`` count back; now without it.
    """
    rule = device.receives
    room = rule.budget if room is None else room
    open_ = _allowed(candidates, device, at or now()) & ~delivered
    if room is None:
        return Choice(np.flatnonzero(open_), 0)
    chosen = _within(candidates, candidates.ranked(rule.labels), open_, room - SHARD_BYTES)
    return Choice(chosen, int(open_.sum()) - len(chosen))


def _allowed(candidates: Candidates, device: Device, at: datetime) -> npt.NDArray[np.bool_]:
    """Which candidates the rule lets through, ``[candidates]``."""
    rule = device.receives
    allowed = np.full(len(candidates), not rule.neighbours)
    for name in rule.neighbours:
        allowed[candidates.by_device.get(name, [])] = True
    allowed[candidates.by_device.get(device.name, [])] = False
    if rule.labels:
        allowed &= candidates.counts(rule.labels) > 0
    if rule.days is not None:
        allowed &= candidates.captured >= microseconds(at - timedelta(days=rule.days))
    return allowed


def _within(candidates: Candidates, ranked: Places, open_: npt.NDArray[np.bool_], room: int) -> Places:
    """Of the ranked candidates those that are open and, each where it is, still have room."""
    smallest = int(candidates.sizes.min(initial=1 << 62)) + ROW_BYTES
    chosen = [ranked[:0]]
    for start in range(0, len(ranked), _BLOCK):
        if room < smallest:
            break
        block = ranked[start : start + _BLOCK]
        block = block[open_[block]]
        costs = candidates.sizes[block] + ROW_BYTES
        fitting = _fitting(costs, room)
        chosen.append(block[fitting])
        room -= int(costs[fitting].sum())
    return np.concatenate(chosen)


def _fitting(costs: npt.NDArray[np.int64], room: int) -> npt.NDArray[np.bool_]:
    """Which of some things are taken where each is, in their order, that still has room, ``[things]``."""
    taken = np.zeros(len(costs), bool)
    rest = np.flatnonzero(costs <= room)
    while len(rest):
        # All up to the first that has no room are taken, and that one is passed over, at once.
        end = int(np.searchsorted(np.cumsum(costs[rest]), room, side="right"))
        taken[rest[:end]] = True
        room -= int(costs[rest[:end]].sum())
        rest = rest[end:]
        rest = rest[costs[rest] <= room]
    return taken
