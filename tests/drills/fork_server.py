"""A process that has imported everything and forks the drill's processes: each starts in milliseconds."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.drills.roles import Orders, play


class ForkServer:
    """Starts and ends the processes of a drill, each with what it has started in a process group of its own."""

    def __init__(self, orders: Orders) -> None:
        place = orders.folder / "orders.pickle"
        place.write_bytes(pickle.dumps(orders))
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.drills.fork_server", str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **orders.environment, **threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def start(self, role: str, number: int) -> int:
        """Start a process; returns its id, which is its group's."""
        return int(self._ask(f"start {role} {number}"))

    def code(self, process: int) -> int | None:
        """A process's exit code; ``None`` while it runs."""
        answer = self._ask(f"code {process}")
        return None if answer == "runs" else int(answer)

    def kill(self, process: int) -> int:
        """Kill a process and all it has started; returns its exit code: -9, unless it had ended before."""
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        while (code := self.code(process)) is None:
            time.sleep(0.001)
        return code

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        assert answer, "the fork server has died"
        return answer


def _serve(orders: Orders) -> None:
    ended: dict[int, int] = {}
    running: set[int] = set()
    while line := sys.stdin.readline():
        word, what, *rest = line.split()
        if word == "start":
            assert not _threads(), f"threads do not survive a fork: {_threads()}"
            process = os.fork()
            if not process:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                play(what, int(rest[0]), orders)
            running.add(process)
            while os.getpgid(process) != process:  # before, a kill of its group would find none
                time.sleep(0.001)
            answer = str(process)
        else:
            process = int(what)
            if process in running and (found := os.waitpid(process, os.WNOHANG))[0]:
                running.discard(process)
                ended[process] = os.waitstatus_to_exitcode(found[1])
            answer = str(ended.get(process, "runs"))
        print(answer, flush=True)
    for process in running:
        os.killpg(process, signal.SIGKILL)


def _threads() -> list[str]:
    """The threads beside the main one, by name; those of jemalloc know of forks."""
    names = [place.read_text().strip() for place in Path("/proc/self/task").glob("*/comm")]
    return [name for name in names if name != "jemalloc_bg_thd"][1:]


if __name__ == "__main__":
    _serve(pickle.loads(Path(sys.argv[1]).read_bytes()))  # noqa: S301  (written above)
