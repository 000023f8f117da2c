"""Batches in flight: how many at once, what becomes of failures, and of an image that kills whatever fits it."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any
from uuid import uuid4

import dask
import pytest
from distributed import Client, LocalCluster
from prefect.futures import PrefectTaskRunFuture
from prefect_dask.task_runners import PrefectDaskFuture

from storage.quarantine import KILLED
from storage.tables import Pending
from tasks import in_flight as module
from tasks.fitting import EncodedBatch
from tasks.in_flight import MOST_FAILURES, in_flight
from tests.storage.examples import digest

SECONDS = 300


@pytest.fixture(autouse=True)
def _logger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))


def pending(number: int) -> Pending:
    return Pending(digest(f"image {number}"), digest("labels"), b"[]", None, "cam-a", f"{number:04}.jpg")


def batches(number: int, size: int) -> list[list[Pending]]:
    return [[pending(start * size + index) for index in range(size)] for start in range(number)]


class Answer(PrefectTaskRunFuture[Any]):
    """A future that has its answer, or fails, when it is told to."""

    def __init__(self, answer: Any) -> None:
        super().__init__(uuid4())
        self.answer = answer
        self.tell: Any = None

    def add_done_callback(self, fn: Any) -> None:
        self.tell = fn

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def wait(self, timeout: float | None = None) -> None: ...


class Now(Answer):
    def add_done_callback(self, fn: Any) -> None:
        fn(self)


def ok(batch: Sequence[Pending]) -> EncodedBatch:
    return EncodedBatch(len(batch), (), ())


def test_no_more_is_out_and_looked_up_than_there_is_room_for() -> None:
    looked_up = 0
    out: list[Answer] = []

    def source() -> Iterator[list[Pending]]:
        nonlocal looked_up
        for batch in batches(10, 2):
            looked_up += 1
            yield batch

    class Held(Answer):
        """The first two wait to be told; the others come back at once."""

        def add_done_callback(self, fn: Any) -> None:
            self.tell = fn
            if len(out) > 2:
                fn(self)

    def submit(batch: Sequence[Pending]) -> Answer:
        out.append(Held(ok(batch)))
        return out[-1]

    results = in_flight(submit, source(), most=3)
    next(results)
    assert looked_up == len(out) == 3
    next(results)
    assert looked_up == len(out) == 4
    for held in out[:2]:
        held.tell(held)
    assert len(list(results)) == 8
    assert looked_up == 10


def test_what_fails_is_raised_when_the_rest_is_done_and_after_many_nothing_more_is_tried() -> None:
    tried: list[int] = []

    def submit(batch: Sequence[Pending]) -> Answer:
        tried.append(int(batch[0].path[:4]))
        return Now(OSError(f"batch {tried[-1]}") if tried[-1] in failing else ok(batch))

    failing = {1, 3}
    done: list[EncodedBatch] = []
    with pytest.raises(OSError, match="batch 1"):
        done += in_flight(submit, iter(batches(6, 1)), most=2)
    assert tried == [0, 1, 2, 3, 4, 5]
    failing = set(range(2, 100))
    tried.clear()
    with pytest.raises(OSError, match="batch 2"):
        list(in_flight(submit, iter(batches(100, 1)), most=2))
    assert len(tried) <= 2 + MOST_FAILURES + 1


def test_a_lost_scheduler_ends_it_at_once() -> None:
    with pytest.raises(CancelledError):
        list(in_flight(lambda batch: Now(CancelledError("lost")), iter(batches(100, 1)), most=2))


def fit_or_die(batch: Sequence[Pending]) -> EncodedBatch:
    if any(one.path == "0005.jpg" for one in batch):
        os.kill(os.getpid(), signal.SIGKILL)
    return EncodedBatch(len(batch), (), ())


def test_the_one_image_that_kills_its_worker_is_found_and_refused() -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # else each part kills four workers
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        submitted: list[int] = []

        def submit(batch: Sequence[Pending]) -> PrefectDaskFuture[Any]:
            submitted.append(len(batch))
            future = client.submit(fit_or_die, batch, key=f"fit-{len(submitted)}")
            return PrefectDaskFuture(task_run_id=uuid4(), wrapped_future=future)

        results = list(in_flight(submit, iter(batches(1, 8)), most=1))
    assert sum(result.size for result in results) == 8
    (refusal,) = [refusal for result in results for refusal in result.refusals]
    assert (refusal.path, refusal.image_id) == ("0005.jpg", pending(5).image_id)
    assert refusal.reason == f"0005.jpg: {KILLED}"
    assert submitted[0] == 8
    assert submitted[-1] == 1
