"""Devices that are no more than clients of the server's API: hundreds of them in one process.

A `prefect worker` takes some 130 MB. One of these asks for the runs on its queue, reports the states that a worker
reports, does in place of a run's work a note that it was done, and says now and then that it is there:

    python -m tests.drills.crowd ORDER

ORDER is a file of JSON: `api`, `pool`, `names`, `folder` (for the notes), `every`, the seconds between two looks, and
`heartbeat`, those between two signs of life.
SIGTERM ends it; it then prints what it did and which answers it got.
"""

import asyncio
import json
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.drills.noted_flow import note

_AGAIN = (408, 429, 500, 502, 503)


@dataclass
class Crowd:
    """The clients, their HTTP connections, and what they met.

    Attributes:
        api: the server's API.
        pool: the work pool of all of them.
        names: one a device; its queue has the same name.
        folder: where each run is noted.
        every: seconds between two looks at a queue.
        heartbeat: seconds between two signs of life.
    """

    api: str
    pool: str
    names: list[str]
    folder: Path
    every: float
    heartbeat: float
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Work until SIGTERM."""
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        self._turn = asyncio.Semaphore(32)  # a thousand that wait for a connection are more than httpx is good at
        async with httpx.AsyncClient(base_url=self.api, timeout=60, trust_env=False) as self._http:
            clients = [asyncio.create_task(self._device(name)) for name in self.names]
            clients += [asyncio.create_task(self._heartbeats(name)) for name in self.names]
            await asyncio.wait([asyncio.create_task(stop.wait()), *clients], return_when=asyncio.FIRST_COMPLETED)
            for client in clients:
                if client.done():
                    client.result()  # none of them ends but by a fault of its own
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)

    async def _device(self, name: str) -> None:
        await asyncio.sleep(random.uniform(0, self.every))
        while True:
            found = await self._ask(
                f"/work_pools/{self.pool}/get_scheduled_flow_runs", {"work_queue_names": [name], "limit": 1}
            )
            for each in found or []:  # none: the queue is made by its first run
                await self._take(name, each["flow_run"]["id"])
            await asyncio.sleep(self.every * random.uniform(0.9, 1.1))

    async def _take(self, name: str, run: str) -> None:
        if not await self._reach(name, run, "PENDING") or not await self._reach(name, run, "RUNNING"):
            self.counts["not given"] += 1
            return
        note(self.folder, name, run)
        if await self._reach(name, run, "COMPLETED"):
            self.counts["done"] += 1

    async def _reach(self, name: str, run: str, state: str) -> bool:
        said = f"by {name}"
        answer = await self._ask(
            f"/flow_runs/{run}/set_state",
            {"state": {"type": state, "name": state.capitalize(), "message": said}},
        )
        if answer and answer["status"] == "ACCEPT":
            return True
        # The server may have done it before its answer got lost: then the run stands where it was meant to.
        now = (await self._ask(f"/flow_runs/{run}", None) or {}).get("state") or {}
        return (now.get("type"), now.get("message")) == (state, said)

    async def _heartbeats(self, name: str) -> None:
        await asyncio.sleep(random.uniform(0, self.heartbeat))
        body = {"name": f"light-{name}", "heartbeat_interval_seconds": self.heartbeat}
        while True:
            await self._ask(f"/work_pools/{self.pool}/workers/heartbeat", body)
            await asyncio.sleep(self.heartbeat)

    async def _ask(self, path: str, body: dict[str, Any] | None) -> Any:
        """The answer, however often the server has to be asked; ``None`` where there is no such thing."""
        wait = 0.5
        while True:
            with suppress(httpx.TransportError):
                async with self._turn:
                    answer = await (self._http.get(path) if body is None else self._http.post(path, json=body))
                self.counts[f"answers {answer.status_code}"] += 1
                if answer.status_code == 404:
                    return None
                if answer.status_code not in _AGAIN:
                    answer.raise_for_status()
                    return answer.json() if answer.content else None
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
            wait = min(2 * wait, 8.0)
            self.counts["asked again"] += 1


def main(order: dict[str, Any]) -> None:
    crowd = Crowd(
        order["api"], order["pool"], order["names"], Path(order["folder"]), order["every"], order["heartbeat"]
    )
    asyncio.run(crowd.run())
    print(json.dumps(crowd.counts))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
