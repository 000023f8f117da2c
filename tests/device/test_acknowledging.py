from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from device import acknowledging
from device.acknowledging import REMINDER, acknowledge, last_acknowledgement
from device.receiving import ReceiveReport
from storage.outbox import Outbox, OutboxError
from storage.shards.acknowledgement import MAX_REFUSED, AcknowledgementError, RefusedShard, open_acknowledgement
from storage.shards.faults import Fault, KeyringError
from storage.shards.keyring import Keyring

FOUND = ReceiveReport(generation=2, taken=3, new=(), refused=(), wanted=(), bytes_fetched=0)
REFUSED = RefusedShard("shard-0002-00000004", Fault.EDITED, "it was edited")


@pytest.fixture
def device(bench):
    bench.home.mkdir()
    return bench.device


@pytest.fixture
def clock(monkeypatch):
    """The time of day, which a test may set."""

    class Clock:
        now = datetime.now(UTC)

    class Dates(datetime):
        @classmethod
        def now(cls, zone=None):
            return Clock.now

    monkeypatch.setattr(acknowledging, "datetime", Dates)
    return Clock


def test_what_is_said_is_read_by_the_fog_node(bench, device):
    said = acknowledge(device, replace(FOUND, refused=(REFUSED,), wanted=(4,)), b'{"a": 1}')
    assert bench.fog.heard() == said == last_acknowledgement(device)
    assert (said.device, said.generation, said.taken, said.wanted) == ("cam-b", 2, 3, (4,))
    assert (said.refused, said.report) == ((REFUSED,), b'{"a": 1}')


def test_where_nothing_is_news_nothing_is_sent_but_once_an_hour(device, clock):
    first = acknowledge(device, FOUND)
    clock.now += REMINDER - timedelta(seconds=1)
    assert acknowledge(device, FOUND) == first
    clock.now += timedelta(seconds=1)
    reminder = acknowledge(device, FOUND)
    assert reminder.number > first.number
    clock.now -= timedelta(days=1)
    assert acknowledge(device, FOUND).number > reminder.number, "a clock that was set back silences no device"


@pytest.mark.parametrize(
    "news",
    [
        {"taken": 4},
        {"generation": 3},
        {"wanted": (5,)},
        {"refused": (REFUSED,)},
    ],
    ids=lambda news: next(iter(news)),
)
def test_news_are_sent_at_once_and_numbers_grow(device, news):
    first = acknowledge(device, FOUND)
    second = acknowledge(device, replace(FOUND, **news))
    assert second.number > first.number
    assert last_acknowledgement(device) == second


def test_a_report_is_news_and_so_is_its_end(device):
    numbers = [acknowledge(device, FOUND, report).number for report in (None, b"{}", None)]
    assert numbers == sorted(set(numbers))


def test_what_is_wanted_is_asked_for_each_time(device):
    asked = [acknowledge(device, replace(FOUND, wanted=(4,))).number for _ in range(3)]
    assert asked == sorted(set(asked))


def test_numbers_grow_though_the_clock_does_not_and_a_sending_was_cut_off(device, monkeypatch):
    monkeypatch.setattr(acknowledging, "next_number", lambda last: last + 1)
    assert acknowledge(device, FOUND).number == 1

    def broken(*_):
        raise OutboxError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Outbox, "write_acknowledgement", broken)
        with pytest.raises(OutboxError):
            acknowledge(device, replace(FOUND, taken=4))
    assert last_acknowledgement(device).taken == 3
    assert acknowledge(device, replace(FOUND, taken=4)).number == 3


def test_a_full_disk_does_not_silence_the_device(bench, device, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(acknowledging, "write_durably", full)
    acknowledge(device, FOUND)
    assert bench.fog.heard().taken == 3


def test_with_a_key_of_its_own_it_signs(device):
    own = Keyring(Path(device.keyring)).new()
    acknowledge(device, FOUND)
    data = Outbox(device.outbox).read_acknowledgement()
    known = device.model_copy(update={"public_key": own.text})
    assert open_acknowledgement(data, known).taken == 3
    with pytest.raises(AcknowledgementError):
        open_acknowledgement(data.replace(b'"taken":3', b'"taken":4'), known)


def test_a_key_that_the_fleet_file_does_not_have_is_said(device):
    keyring = Keyring(Path(device.keyring))
    expected = keyring.new()
    known = device.model_copy(update={"public_key": expected.text})
    acknowledge(known, FOUND)
    fresh = keyring.rotate()
    with pytest.raises(KeyringError, match="is not `public_key` of cam-b in the fleet file; write there: ") as raised:
        acknowledge(known, FOUND)
    assert fresh.text in str(raised.value)


def test_without_its_private_key_a_device_that_must_sign_says_what_to_do(bench, device):
    known = device.model_copy(update={"public_key": bench.fog.keyring.signer().public.text})
    with pytest.raises(KeyringError, match=r"rinr keys new --keys .*home/keys"):
        acknowledge(known, FOUND)


def test_what_was_said_last_is_forgotten_where_it_is_damaged(device):
    acknowledge(device, FOUND)
    (Path(device.home) / "acknowledgement").write_bytes(b"{")
    assert last_acknowledgement(device) is None
    assert acknowledge(device, FOUND).taken == 3


def test_more_refusals_than_are_told_are_cut(device):
    many = tuple(replace(REFUSED, name=f"shard-0002-{number:08d}") for number in range(4, 4 + MAX_REFUSED + 5))
    assert len(acknowledge(device, replace(FOUND, refused=many)).refused) == MAX_REFUSED
