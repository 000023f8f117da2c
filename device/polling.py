"""A device on its own: it looks into its inbox again and again, and trains when something has come.

A look that finds the inbox as the last one left it is one listing and nothing else. Where something is wrong and stays
so, the looks become rarer, up to one an hour, so that a shard that is refused is not fetched every minute.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from device.acknowledging import REMINDER
from device.errors import DeviceJobError, NothingToTrainError
from device.home import HomeError, Progress
from device.job import DeviceJob, contact, train_on_received
from device.receiving import ContactError, ReceiveReport
from device.report import DeviceReport
from device.shrinking import ShrinkError, ShrinkReport, shrink_captures
from rinr.training.train import TrainingError
from storage.inbox import Inbox, InboxError
from storage.outbox import OutboxError
from storage.shards.faults import KeyringError

RAREST = 3600.0
"""Seconds between looks at most, where ``every`` is not longer."""

_PASSING = (ContactError, HomeError, InboxError, OutboxError, KeyringError, OSError)


@dataclass(frozen=True)
class Trouble:
    """Something that did not work and is tried again.

    Attributes:
        what: in words, with what to do.
    """

    what: str


Event = ShrinkReport | ReceiveReport | DeviceReport | Trouble
"""What a look brought: captures that were shrunk, shards, a training, or trouble."""


def poll(
    job: DeviceJob, every: float, progress: Progress | None = None, wait: Callable[[float], None] = time.sleep
) -> Iterator[Event]:
    """Look, train and wait without end; gives what happened, and nothing where nothing did.

    What was received and not trained on before, by a process that was killed, is trained on at the start. Pictures
    that the device took since are tested on with the next training.

    Args:
        job: done each time something has come.
        every: seconds between looks.
        progress: is told what is done.
        wait: for so many seconds.
    """
    settled: list[str] | None = None  # the inbox as a look left it that nothing was wrong with
    last: ReceiveReport | None = None
    told, pause = 0.0, every
    due = True
    complaint = ""
    while True:
        try:
            shrunk = shrink_captures(job.device, progress)
            complaint = ""
            if shrunk and (shrunk.shrunk or shrunk.as_captured or shrunk.labels):
                yield shrunk
        except ShrinkError as error:  # what is broken there keeps nothing that others have sent, and is said once
            if str(error) != complaint:
                complaint = str(error)
                yield Trouble(complaint)
        try:
            names = Inbox(job.device.inbox, job.device.inbox_options, job.secrets).names()
            if names != settled or time.monotonic() - told >= REMINDER.total_seconds():
                found = contact(job, progress)
                told = time.monotonic()
                settled = None if found.refused or found.wanted else names
                changed = last is None or bool(found.new) or found.refused != last.refused
                pause = every if changed or settled is not None else _rarer(pause, every)
                due = due or bool(found.new)
                last = found
                if changed:
                    yield found
            if due and last is not None and last.taken:
                yield train_on_received(job, last, progress)
                due = False
        except (NothingToTrainError, TrainingError) as error:
            due = False  # the same again would end the same
            yield Trouble(str(error))
        except DeviceJobError:
            raise  # a setting that will not become right by itself
        except _PASSING as error:
            if isinstance(error, ContactError):
                due = due or bool(error.report.new)
            settled = None
            pause = _rarer(pause, every)
            yield Trouble(str(error))
        if progress:
            progress("waiting", 0, 1)
        wait(pause)


def _rarer(pause: float, every: float) -> float:
    return min(2 * pause, max(every, RAREST))
