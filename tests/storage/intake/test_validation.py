"""Validation in processes, with a check that misbehaves on demand."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rinr.frames import ImageError, IncompletePicture, PictureFacts, check_picture
from storage.intake import validation
from storage.intake.validation import PoisonError, Validator
from tests.conftest import jpeg, picture
from tests.storage.misbehaviour import FACTS


def validator(workers: int = 1, **options) -> Validator:
    return Validator(workers, check="tests.storage.misbehaviour:misbehave", **options)


def wait_until(condition, limit: float = 60.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def read_pid(path: Path) -> int:
    """The process that shows itself in a file (see `wait` in misbehaviour)."""
    wait_until(path.exists)
    return int(path.read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_the_answer_is_that_of_the_check():
    whole = jpeg(picture(0, 40, 30))
    with Validator(2) as checks:
        futures = [checks.submit(data) for data in (whole, whole[:-2], b"text", b"", *[whole] * 20)]
        assert futures[0].result() == check_picture(whole) == PictureFacts((40, 30), 1, None)
        for future, kind, says in zip(
            futures[1:4],
            (IncompletePicture, ImageError, IncompletePicture),
            ("its end", "not a JPEG", "empty"),
            strict=True,
        ):
            with pytest.raises(ImageError, match=says) as caught:
                future.result()
            assert type(caught.value) is kind
        assert {future.result() for future in futures[4:]} == {check_picture(whole)}


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


def test_a_worker_killed_from_outside_costs_no_file(tmp_path):
    with validator(2) as checks:
        waiting = checks.submit(f"wait {tmp_path / 'a'}".encode())
        others = [checks.submit(b"x") for _ in range(50)]
        os.kill(read_pid(tmp_path / "a"), signal.SIGKILL)
        assert [future.result(timeout=100) for future in (waiting, *others)] == [FACTS] * 51


def test_a_worker_killed_while_idle_costs_no_file():
    with validator() as checks:
        for _ in range(4):  # more often than any file is tried
            assert checks.submit(b"x").result(timeout=100) == FACTS
            os.kill(checks._seats[0]._worker._process.pid, signal.SIGKILL)


def test_workers_that_do_not_start_are_no_fault_of_the_file(capfd):
    with Validator(1, check="storage.intake.validation:nothing") as checks:
        future = checks.submit(b"x")
        with pytest.raises(RuntimeError, match="do not start: the last one ended with code 1") as caught:
            future.result(timeout=100)
    assert not isinstance(caught.value, ImageError)
    assert "nothing" in capfd.readouterr().err


def test_workers_import_nothing_heavy():
    with validator() as checks, pytest.raises(ImageError, match=r"imported: \[\]"):
        checks.submit(b"modules").result(timeout=100)


def test_credentials_do_not_go_where_hostile_bytes_are_decoded(monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "hush")
    with validator() as checks, pytest.raises(ImageError, match=r"^environment: ") as caught:
        checks.submit(b"environment").result(timeout=100)
    assert "hush" not in str(caught.value)


def test_it_works_in_a_thread_and_threads_share_it():
    whole = jpeg(picture())

    def use() -> list[PictureFacts]:
        with Validator(1) as own:
            return [own.submit(whole).result(timeout=100), shared.submit(whole).result(timeout=100)]

    with Validator(1) as shared, ThreadPoolExecutor(2) as threads:
        assert [f.result(timeout=100) for f in [threads.submit(use) for _ in range(2)]] == [
            [check_picture(whole)] * 2
        ] * 2


def test_closing_kills_a_busy_worker_and_cancels_what_waits(tmp_path):
    checks = validator()
    busy, waiting = checks.submit(f"wait {tmp_path / 'a'}".encode()), checks.submit(b"x")
    pid = read_pid(tmp_path / "a")
    checks.close()
    assert gone(pid)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        busy.result(timeout=0)
    with pytest.raises(RuntimeError, match="closed"):
        checks.submit(b"x")
    checks.close()
    assert not any(thread.name == "validation" for thread in threading.enumerate())


def test_no_more_than_the_limit_is_on_its_way(monkeypatch, tmp_path):
    monkeypatch.setattr(validation, "MAX_IN_FLIGHT_BYTES", 200)
    with validator() as checks:
        first = checks.submit(f"wait {tmp_path / 'a'}".encode().ljust(150))
        pid = read_pid(tmp_path / "a")
        passed = threading.Event()
        second: list = []

        def submit() -> None:
            second.append(checks.submit(b"x" * 51))
            passed.set()

        threading.Thread(target=submit, daemon=True).start()
        assert not passed.wait(0.3)  # 150 + 51 bytes are too many
        os.kill(pid, signal.SIGKILL)  # it is tried again, and answered then
        assert passed.wait(100)
        assert (first.result(timeout=100), second[0].result(timeout=100)) == (FACTS, FACTS)


def test_a_file_beyond_the_limit_of_bytes_reaches_no_worker(monkeypatch):
    monkeypatch.setattr(validation, "MAX_PICTURE_BYTES", 10)
    with validator() as checks, pytest.raises(ImageError, match="10 bytes"):
        checks.submit(b"x" * 11).result(timeout=0)


ORPHAN = """
import sys
from storage.intake.validation import Validator
checks = Validator(2, check="tests.storage.misbehaviour:misbehave", time_limit={limit})
for argument in sys.argv[1:]:
    checks.submit(("wait " + argument).encode())
sys.stdin.read()
"""


@pytest.mark.parametrize("busy", [True, False])
def test_workers_end_by_themselves_when_their_parent_is_killed(tmp_path, busy):
    places = [tmp_path / "a", tmp_path / "b"]
    code = ORPHAN.format(limit=2 if busy else 600)
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, places)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as parent:
        pids = [read_pid(place) for place in places]
        if not busy:  # wake them: their second attempts are answered at once
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(children(parent.pid)) == 2 and not set(children(parent.pid)) & set(pids))
            pids = children(parent.pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: all(map(gone, pids)))


def children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
