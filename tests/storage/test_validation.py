"""Validation in processes. The checks that misbehave are below; workers import them from this very module."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from rinr.frames import ImageError, IncompleteJpeg, JpegFacts, check_jpeg
from storage.validation import PoisonError, Validator
from tests.conftest import jpeg, picture

FACTS = JpegFacts((3, 2), 1, None)


def misbehave(data: bytes) -> JpegFacts:
    """A check that does what the bytes say."""
    word, _, argument = data.decode().partition(" ")
    if word == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if word == "exit":
        os._exit(3)
    if word == "sleep":
        time.sleep(float(argument))
    if word == "eat":
        return JpegFacts((len(bytearray(int(argument))), 1), 1, None)
    if word == "once":  # dies where it is the first to come by
        path = Path(argument)
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if word == "wait":  # shows its process, and waits to be let go
        path = Path(argument)
        if not path.exists():
            path.with_suffix(".new").write_text(str(os.getpid()))
            path.with_suffix(".new").rename(path)
            time.sleep(600)
    if word == "bug":
        raise KeyError(argument)
    if word == "modules":
        heavy = {"torch", "prefect", "dask", "pyarrow", "deltalake"} & set(sys.modules)
        raise ImageError(f"imported: {sorted(heavy)}")
    return FACTS


def validator(workers: int = 1, **options) -> Validator:
    return Validator(workers, check=f"{__name__}:misbehave", **options)


def wait_until(condition, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_answer_is_that_of_the_check():
    whole = jpeg(picture(0, 40, 30))
    with Validator(2) as checks:
        futures = [checks.submit(data) for data in (whole, whole[:-2], b"text", b"", *[whole] * 20)]
        assert futures[0].result() == check_jpeg(whole) == JpegFacts((40, 30), 1, None)
        for future, kind, says in zip(
            futures[1:4], (IncompleteJpeg, ImageError, IncompleteJpeg), ("its end", "not a JPEG", "empty"), strict=True
        ):
            with pytest.raises(ImageError, match=says) as caught:
                future.result()
            assert type(caught.value) is kind
        assert {future.result() for future in futures[4:]} == {check_jpeg(whole)}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"die", "was killed by SIGSEGV, then was killed by SIGSEGV"),
        (b"exit", "ended with code 3"),
        (b"sleep 600", "took longer than 1 s, then took longer than 1 s"),
        (b"eat 800000000", "used more than 100 MiB"),
        (b"bug", "ended with code 1"),
    ],
)
def test_a_poisoned_file_is_found_out_and_its_neighbours_come_through(data, says):
    with validator(time_limit=1.0, memory=100 * 1024 * 1024) as checks:
        futures = [checks.submit(part) for part in (b"a", data, b"b", b"c")]
        with pytest.raises(PoisonError, match=says) as caught:
            futures[1].result(timeout=100)
        assert "remove the file" in str(caught.value)
        assert [futures[place].result(timeout=100) for place in (0, 2, 3)] == [FACTS] * 3


def test_a_file_that_kills_a_worker_once_is_taken(tmp_path):
    with validator() as checks:
        assert checks.submit(f"once {tmp_path / 'a'}".encode()).result(timeout=100) == FACTS
