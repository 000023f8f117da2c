"""A Prefect server of one's own on the loopback interface, its database in a folder."""

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.ports import LOOPBACK
from services.processes import Processes, ServiceError, tail

START_SECONDS = 300


@dataclass(frozen=True)
class PrefectServer:
    """Where a server of ours listens and keeps its database.

    Attributes:
        home: Prefect's home; the SQLite database lies there.
        port: on the loopback interface.
    """

    home: Path
    port: int

    @property
    def ui(self) -> str:
        """Address of the pages."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api(self) -> str:
        """Address of the API."""
        return f"{self.ui}/api"

    def run_address(self, flow_run_id: str) -> str:
        """Address of a flow run's page."""
        return f"{self.ui}/runs/flow-run/{flow_run_id}"

    def environment(self) -> dict[str, str]:
        """Environment variables for the server and for all that talks to it.

        Where this process's environment says ``PREFECT_SERVER_API_AUTH_STRING``, the server asks for that user and
        password, and all that talks to it gives them.
        """
        password = os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
        return ({"PREFECT_API_AUTH_STRING": password} if password else {}) | {
            "PREFECT_HOME": str(self.home),
            "PREFECT_PROFILES_PATH": str(self.home / "profiles.toml"),
            "PREFECT_API_URL": self.api,
            # Without this one the pages call port 4200, whatever the server's port is.
            "PREFECT_SERVER_UI_API_URL": self.api,
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self.home / 'prefect.db'}",
            # In memory, where it is by default, a server that is killed forgets who holds which turn or slot.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "1"),
            "DO_NOT_TRACK": "1",
            # `python -m` looks for modules where it is called first: a `tasks.py` there would stand in for ours.
            "PYTHONSAFEPATH": "1",
            # One thread a process: processes are how the work is spread, and more threads would fight over the cores.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        }

    def command(self) -> list[str]:
        """The command that runs the server in the foreground."""
        mended = [sys.executable, "-m", "services.prefect_process"]
        return [*mended, "server", "start", "--host", LOOPBACK, "--port", str(self.port)]

    def start(self, processes: Processes) -> None:
        """Start the server in the background; :meth:`wait` says when it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        processes.start("server", self.command(), self.environment())

    def wait(self, processes: Processes, waiting: Callable[[float], None] | None = None) -> None:
        """Wait until the server answers.

        Args:
            waiting: told every half second how many seconds have passed.

        Raises:
            ServiceError: it ended, or did not answer within ``START_SECONDS``.
        """
        start = time.monotonic()
        while not self.answers():
            processes.check()
            passed = time.monotonic() - start
            if waiting is not None:
                waiting(passed)
            if passed > START_SECONDS:
                log = processes.logs / "server.log"
                raise ServiceError(
                    f"the Prefect server does not answer at {self.api} after {START_SECONDS} s. "
                    f"Its log {log} ends with:\n{tail(log)}"
                )
            time.sleep(0.25)

    def answers(self) -> bool:
        """Whether the server is up."""
        # The loopback interface is asked directly, whatever proxy the environment names.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{self.api}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def prefect_command(*arguments: str) -> list[str]:
    """The command line that runs this Python's Prefect, whatever is on the path."""
    return [sys.executable, "-m", "prefect", *arguments]


def use_server(server: PrefectServer, environment: Mapping[str, str] | None = None) -> None:
    """Make this process, and what it starts, talk to a server; call it before Prefect is imported."""
    os.environ.update(server.environment())
    os.environ.update(environment or {})
