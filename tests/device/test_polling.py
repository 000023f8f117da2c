import itertools
from dataclasses import replace

import pytest

from device import polling
from device.job import DeviceJobError, contact
from device.polling import RAREST, Trouble, poll
from device.receiving import ReceiveReport
from device.report import DeviceReport
from device.shrinking import ShrinkReport
from storage.inbox import Inbox, InboxError
from storage.outbox import Outbox, OutboxError


class Waits:
    """A wait that does what a test says at each, and ends the polling after the last."""

    class EndError(Exception):
        pass

    def __init__(self, *steps):
        self.steps = list(steps)
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)
        if not self.steps:
            raise self.EndError
        self.steps.pop(0)()


def polled(job, waits, every=60.0):
    events = []
    source = poll(job, every, wait=waits)
    while True:
        try:
            events.append(next(source))
        except Waits.EndError:
            return events


def nothing():
    pass


@pytest.fixture
def looks(monkeypatch):
    """How often the inbox was looked into beyond its listing."""
    calls = []
    real = polling.contact
    monkeypatch.setattr(polling, "contact", lambda *arguments: calls.append(1) or real(*arguments))
    return calls


def test_it_waits_takes_trains_and_listens_on(bench, scenes, looks):
    waits = Waits(nothing, lambda: bench.deliver(scenes(0, 2)), nothing, lambda: bench.deliver(scenes(2, 3)))
    events = polled(bench.job(), waits)
    assert [type(event) for event in events] == [
        ReceiveReport,
        ReceiveReport,
        DeviceReport,
        ReceiveReport,
        DeviceReport,
    ]
    empty, first, learned, second, again = events
    assert (empty.generation, first.taken, second.taken) == (0, 1, 2)
    assert (learned.frames, again.frames) == (2, 3)
    assert waits.seconds == [60.0] * 5
    assert len(looks) == 3, "an inbox that is as it was is listed and no more"
    assert bench.fog.heard().taken == 2


def test_what_a_killed_process_received_is_trained_on_at_the_start(bench, scenes):
    bench.deliver(scenes(0, 2))
    contact(bench.job())
    events = polled(bench.job(), Waits())
    assert [type(event) for event in events] == [ReceiveReport, DeviceReport]
    assert events[0].new == ()


def test_a_refused_shard_is_looked_at_more_rarely_until_it_is_sent_again(bench, scenes, looks):
    shard = bench.deliver(scenes(0, 2))
    path = bench.fog.folder / f"{shard.name}.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    waits = Waits(*[nothing] * 8, lambda: bench.fog.again(shard.name))
    events = polled(bench.job(), waits)
    assert [type(event) for event in events] == [ReceiveReport, ReceiveReport, DeviceReport]
    assert events[0].wanted == (1,)
    assert waits.seconds == [60.0, *(60.0 * 2**n for n in range(1, 6)), RAREST, RAREST, RAREST, 60.0]
    assert len(looks) == 10


def test_an_inbox_that_is_away_is_trouble_and_no_end(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 2))
    away = True
    real = Inbox.names

    def names(inbox):
        if away:
            raise InboxError("the inbox is away")
        return real(inbox)

    def back():
        nonlocal away
        away = False

    monkeypatch.setattr(Inbox, "names", names)
    events = polled(bench.job(), Waits(nothing, back))
    assert events[:2] == [Trouble("the inbox is away")] * 2
    assert [type(event) for event in events[2:]] == [ReceiveReport, DeviceReport]


def test_an_outbox_that_is_away_holds_no_training_up_for_good(bench, scenes, monkeypatch):
    bench.deliver(scenes(0, 2))
    real, failing = Outbox.write_acknowledgement, itertools.chain([True], itertools.repeat(False))

    def write(outbox, data):
        if next(failing):
            raise OutboxError("the outbox is away")
        real(outbox, data)

    monkeypatch.setattr(Outbox, "write_acknowledgement", write)
    events = polled(bench.job(), Waits(nothing))
    assert [type(event) for event in events] == [Trouble, ReceiveReport, DeviceReport]
    assert bench.fog.heard().report is not None


def test_shards_without_labels_are_trouble_once(bench, scenes):
    bench.deliver(scenes(0, 1), labelled=False)
    events = polled(bench.job(), Waits(nothing, nothing, lambda: bench.deliver(scenes(1, 2))))
    assert [type(event) for event in events] == [ReceiveReport, Trouble, ReceiveReport, DeviceReport]
    assert "has a labelled object" in events[1].what


def test_a_setting_that_cannot_be_used_ends_it(bench, scenes):
    bench.deliver(scenes(0, 1))
    with pytest.raises(DeviceJobError, match="abacus"):
        list(poll(replace(bench.job(), torch_device="abacus"), 60.0, wait=Waits()))


def test_captures_are_shrunk_at_every_look_and_broken_labels_keep_no_shard(bench, scenes):
    captures, uploads = bench.folder / "captures", bench.folder / "storage"
    bench.capture(scenes(0, 2))
    uploads.rename(captures)
    device = bench.device.model_copy(update={"captures": str(captures)})
    job = replace(bench.job(), device=device)
    whole = (captures / "annotations.json").read_bytes()
    waits = Waits(
        lambda: (captures / "annotations.json").write_bytes(b"{"),
        lambda: bench.deliver(scenes(2, 3)),
        lambda: (captures / "annotations.json").write_bytes(whole),
    )
    events = polled(job, waits)
    assert [type(event) for event in events] == [ShrinkReport, ReceiveReport, Trouble, ReceiveReport, DeviceReport]
    assert (events[0].captured, events[0].labels) == (2, 1)
    assert "annotations.json" in events[2].what or "annotation file" in events[2].what
    assert events[4].frames == 1
    assert len(list(uploads.iterdir())) == 4  # two pictures, their labels, and the ledger
