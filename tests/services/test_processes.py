import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services import processes as module
from services.processes import Processes, ServiceError, tail

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]

DEAF = [
    sys.executable,
    "-c",
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "print('up', flush=True); time.sleep(60)",
]

# As a Prefect worker does it: what it starts has a session of its own, and outlives it.
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print('up', flush=True)",
]


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Processes]:
    monkeypatch.setattr(module, "PATIENCE", ((signal.SIGTERM, 1.0), (signal.SIGINT, 0.5), (signal.SIGKILL, 5.0)))
    made = Processes(tmp_path)
    yield made
    made.stop_all()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def is_up(log: str) -> Callable[[], bool]:
    return lambda: Path(log).read_text().startswith("up")


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and ") Z " not in Path(f"/proc/{pid}/stat").read_text()


def test_what_was_started_runs_and_is_stopped(processes: Processes) -> None:
    service = processes.start("sleeper", SLEEP, {})
    until(is_up(service.log))
    assert processes.alive() == [service.pid]
    assert processes.stop_all() == 1
    assert not runs(service.pid)
    assert list(processes.run.glob("*")) == []


def test_the_environment_is_added_to(processes: Processes) -> None:
    code = "import os; print(os.environ['ADDED'], 'PATH' in os.environ)"
    service = processes.start("echo", [sys.executable, "-c", code], {"ADDED": "yes"})
    until(lambda: Path(service.log).read_text() == "yes True\n")


def test_a_process_that_ignores_signals_is_killed(processes: Processes) -> None:
    service = processes.start("deaf", DEAF, {})
    until(is_up(service.log))
    said: list[str] = []
    assert processes.stop_all(said.append) == 1
    assert said == ["stopping 1 process"]
    assert not runs(service.pid)


def test_leftovers_of_an_earlier_process_are_found_and_stopped(processes: Processes) -> None:
    service = processes.start("sleeper", SLEEP, {})
    later = Processes(processes.run.parent)
    assert [found.pid for found in later.services()] == [service.pid]
    assert later.alive() == [service.pid]
    assert later.stop_all() == 1
    assert not runs(service.pid)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="descendants are known by /proc")
def test_a_grandchild_in_a_session_of_its_own_is_found_after_its_parent_died(processes: Processes) -> None:
    service = processes.start("parent", PARENT, {})
    until(is_up(service.log))
    until(lambda: not runs(service.pid) or service.pid not in processes.alive())
    (grandchild,) = Processes(processes.run.parent).alive()
    assert os.getsid(grandchild) == grandchild
    processes.stop_all()
    assert not runs(grandchild)


def test_a_process_of_others_is_not_touched_even_where_a_pid_file_names_it(processes: Processes) -> None:
    processes.start("sleeper", SLEEP, {})
    other = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        written = {"name": "other", "pid": other.pid, "started": "1", "log": "x"}
        (processes.run / "other.json").write_text(json.dumps(written))
        processes.stop_all()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_without_proc_a_pid_counts_only_with_its_start_time(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = processes.start("sleeper", SLEEP, {})
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: str(path) != "/proc/self/environ" and exists(path))
    assert processes.alive() == [service.pid]
    file = processes.run / "sleeper.json"
    file.write_text(file.read_text().replace(service.started, "1"))
    assert processes.alive() == []
    file.write_text(json.dumps({"name": "sleeper", "pid": service.pid, "started": service.started, "log": ""}))


def test_half_a_pid_file_is_no_service(processes: Processes) -> None:
    processes.run.mkdir(parents=True)
    (processes.run / "half.json").write_text('{"name": "ha')
    assert processes.services() == []


def test_a_process_that_ended_is_reported_with_the_end_of_its_log(processes: Processes) -> None:
    processes.check()
    processes.start("broken", [sys.executable, "-c", "print('the cause'); raise SystemExit(7)"], {})
    # Not until none is alive: one that has only just been started is not known by its environment yet.
    until(lambda: processes._children["broken"].poll() is not None)
    with pytest.raises(ServiceError, match=r"broken ended with exit code 7(.|\n)*the cause"):
        processes.check()


def test_a_program_that_is_not_there_is_named(processes: Processes) -> None:
    with pytest.raises(ServiceError, match=r"ghost cannot be started with '/no/such/program'"):
        processes.start("ghost", ["/no/such/program"], {})
    assert processes.services() == []


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail(log) == "    (there is no log)"
    log.write_text("")
    assert tail(log) == "    (the log is empty)"
    log.write_text("\n".join(map(str, range(100))))
    assert tail(log, lines=2) == "    98\n    99"
