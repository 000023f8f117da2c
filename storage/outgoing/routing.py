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
    carried: npt.NDArray[np.bool_] | None = None,
    *,
    room: int | None = None,
    at: datetime | None = None,
) -> Choice:
    """Which candidates a device lacks and may have, in the order in which they go.

    Without a budget they go in the order in which they were captured. Under one the best value per byte goes first:
    objects of the labels asked for, or of any label, for each byte; of equal value the newer first. For its value a
    frame of a clip counts with its share of what the clip shares; room is taken by the first that brings that along.

    Args:
        candidates: all there is.
        device: with its rule.
        delivered: which of them it was sent already, ``[candidates]``.
        carried: which of the candidates' shared parts it was sent already, ``[parts]``; none without it.
        room: bytes that may be sent now; the rule's budget without it.
        at: from when ``days`` count back; now without it.
    """
    rule = device.receives
    room = rule.budget if room is None else room
    open_ = _allowed(candidates, device, at or now()) & ~delivered
    if room is None:
        return Choice(np.flatnonzero(open_), 0)
    known = np.zeros(len(candidates.part_sizes), bool) if carried is None else carried
    chosen = _within(candidates, candidates.ranked(rule.labels), open_, known, room - SHARD_BYTES)
    return Choice(chosen, int(open_.sum()) - len(chosen))


def costs(candidates: Candidates, rows: Places, carried: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Bytes that some candidates add to a shard, in their order, the first of each shared part with that, ``[rows]``.

    Args:
        candidates: all there is.
        rows: numbers of candidates.
        carried: which shared parts are there already, ``[parts]``.
    """
    return _bytes_of(candidates, rows, bringing(candidates, rows, carried))


def bringing(candidates: Candidates, rows: Places, carried: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of some candidates are the first, in their order, that need a shared part not there yet, ``[rows]``."""
    first = np.zeros(len(rows), bool)
    if len(candidates.part_sizes):
        first[np.unique(candidates.part_of[rows], return_index=True)[1]] = True
    return first & _lacking(candidates, rows, carried)


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


def _within(
    candidates: Candidates, ranked: Places, open_: npt.NDArray[np.bool_], carried: npt.NDArray[np.bool_], room: int
) -> Places:
    """Of the ranked candidates those that are open and, each where it is, still have room."""
    smallest = int(candidates.sizes.min(initial=1 << 62)) + ROW_BYTES
    chosen = [ranked[:0]]
    carried = carried.copy()
    for start in range(0, len(ranked), _BLOCK):
        if room < smallest:
            break
        block = ranked[start : start + _BLOCK]
        rest = block[open_[block]]
        taken = [rest[:0]]
        # What has no room if it were the next has none later either: whoever brings its part takes as much.
        while len(rest := rest[_bytes_of(candidates, rest, _lacking(candidates, rest, carried)) <= room]):
            # All up to the first that has no room are taken, and that one is passed over, at once.
            total = np.cumsum(costs(candidates, rest, carried))
            end = int(np.searchsorted(total, room, side="right"))
            taken.append(rest[:end])
            room -= int(total[end - 1])
            part_of = candidates.part_of[rest[:end]]
            carried[part_of[part_of >= 0]] = True
            rest = rest[end:]
        chosen += taken
    return np.concatenate(chosen)


def _lacking(candidates: Candidates, rows: Places, carried: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which of some candidates need a shared part that is not there, ``[rows]``."""
    part_of = candidates.part_of[rows]
    lacking = part_of >= 0
    lacking[lacking] = ~carried[part_of[lacking]]
    return lacking


def _bytes_of(candidates: Candidates, rows: Places, brings: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Bytes of some candidates' rows, of some of them with the row of the part that they need, ``[rows]``."""
    found = candidates.sizes[rows] + ROW_BYTES
    found[brings] += candidates.part_sizes[candidates.part_of[rows[brings]]] + ROW_BYTES
    return found
