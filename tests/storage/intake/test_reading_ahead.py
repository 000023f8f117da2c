import threading
from contextlib import closing

from storage.intake.outcomes import Outcome
from storage.intake.reading_ahead import Room, in_order


def test_outcomes_come_in_order_whoever_is_done_first():
    second_is_done = threading.Event()

    def work(item: int) -> Outcome:
        if item == 0:
            assert second_is_done.wait(60)
        if item == 1:
            second_is_done.set()
        return Outcome(notes=(str(item),))

    done = list(in_order(range(200), work, None))
    assert [(item, outcome.notes) for item, outcome in done] == [(item, (str(item),)) for item in range(200)]


def test_what_is_left_does_not_count_towards_the_limit():
    done = list(in_order(range(20), lambda item: Outcome(left=item % 2 == 0), 3))
    assert sum(not outcome.left for _, outcome in done) == 3
    assert [item for item, _ in done] == list(range(len(done)))
    assert list(in_order(range(20), lambda item: Outcome(), 0)) == []


def test_closed_early_it_begins_nothing_more():
    begun = []
    with closing(in_order(range(10_000), lambda item: begun.append(item) or Outcome(), None)) as done:
        next(done)
    assert len(begun) < 1_000
    assert not any(thread.name.startswith("ingest") for thread in threading.enumerate())


def test_a_room_is_for_so_many_bytes_or_for_one_file():
    room = Room(100)
    entered = threading.Event()

    def enter() -> None:
        with room.of(41):
            entered.set()

    with room.of(60):
        with room.of(40):
            thread = threading.Thread(target=enter)
            thread.start()
            assert not entered.wait(0.1)
        assert not entered.wait(0.1)  # 60 + 41 are one too many
    assert entered.wait(60)
    thread.join()
    with room.of(1_000):  # more than there is: alone
        pass
