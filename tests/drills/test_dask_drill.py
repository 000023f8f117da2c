"""Encoding on a Dask cluster of processes that are killed in the middle: the store is as if nothing had happened.

``RINR_DRILL_FILES`` in the environment says how many pictures.
"""

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage.quarantine import KILLED
from storage.store import Store
from tests.drills.dask_world import DaskWorld, copy_store, lock_database, prepare
from tests.drills.postgres import postgres
from tests.drills.verdict import rows

pytestmark = pytest.mark.drill

SECONDS = 1_200  # to catch hangs


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A fleet and a store that has taken its pictures."""
    return prepare(tmp_path_factory.mktemp("prepared"), int(os.environ.get("RINR_DRILL_FILES", 600)))


@pytest.fixture(scope="module")
def undisturbed(prepared: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], bytes]:
    """What a run commits that nothing happens to: payloads by their keys."""
    folder = tmp_path_factory.mktemp("undisturbed")
    fleet, store = prepared
    world = DaskWorld(folder / "world", fleet, copy_store(store, folder / "store"))
    with world.up():
        world.run({}, SECONDS)
    assert world.starts["flow"] == 1
    return payloads(world.store)


def payloads(store: Path) -> dict[tuple[str, ...], bytes]:
    found: dict[tuple[str, ...], bytes] = {}
    for row in rows(str(store), "images", ["image_id", "labels_id", "encoding_id", "payload"]):
        key = (row["image_id"], row["labels_id"], row["encoding_id"])
        assert key not in found, f"{key} stands there twice"
        found[key] = row["payload"]
    return found


def judge(world: DaskWorld, undisturbed: dict[tuple[str, ...], bytes], tell: Callable[[str], None]) -> None:
    found = payloads(world.store)
    assert set(found) == set(undisturbed)
    different = sum(1 for key, payload in found.items() if payload != undisturbed[key])
    assert not different
    damage = Store(str(world.store)).verify()
    assert damage.clean, damage.findings
    assert damage.landed == 0
    refused = rows(str(world.store), "quarantine")
    assert not refused, refused
    tell(f"images: {len(found)}, none twice; payloads unlike those of the undisturbed run: {different}")
    tell(f"starts: {dict(sorted(world.starts.items()))}")
    tell(f"runs that came to their end: {dict(Counter(str(line['state']) for line in world.said()))}")


@contextmanager
def background() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Something that goes on beside the run; its end is waited for."""
    threads: list[threading.Thread] = []

    def begin(what: Callable[[], Any]) -> None:
        threads.append(threading.Thread(target=what))
        threads[-1].start()

    yield begin
    for thread in threads:
        thread.join(SECONDS)


def test_dask_processes_die_in_the_middle(
    prepared: tuple[Path, Path],
    undisturbed: dict[tuple[str, ...], bytes],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    fleet, store = prepared
    world = DaskWorld(tmp_path / "world", fleet, copy_store(store, tmp_path / "store"))
    victims = [
        "worker-0",
        "nanny-1",
        "flow",
        "scheduler",
        "server",
        "worker-1",
        "nanny-0",
        "scheduler",
        "flow",
        "server",
    ]
    kills: Counter[str] = Counter()

    def killing(name: str) -> Callable[[], None]:
        def kill() -> None:
            kills[name] += world.kill(name)

        return kill

    steps = len(victims) + 2
    moments = {
        len(undisturbed) * number // steps: (f"{name} killed", killing(name))
        for number, name in enumerate(victims, start=1)
    }
    with world.up(), background() as begin:
        last = len(undisturbed) * (steps - 1) // steps
        moments[last] = ("database locked for 20 s", lambda: begin(lambda: lock_database(world.server, 20)))
        done = world.run(moments, SECONDS)
    for line in done:
        tell(line)
    assert len(done) == len(moments)
    assert kills.total() == len(victims), kills
    judge(world, undisturbed, tell)


def test_dask_connections_to_the_database_break(
    prepared: tuple[Path, Path],
    undisturbed: dict[tuple[str, ...], bytes],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    """With the server on PostgreSQL: all its connections are ended again and again, once by killing one's process."""
    fleet, store = prepared
    with postgres() as database:
        environment = {"PREFECT_API_DATABASE_CONNECTION_URL": database.url}
        world = DaskWorld(tmp_path / "world", fleet, copy_store(store, tmp_path / "store"), environment=environment)
        ended: list[int] = []

        def end() -> None:
            ended.append(asyncio.run(end_connections(database.url)))

        steps = 8
        moments: dict[int, tuple[str, Callable[[], object]]] = {
            len(undisturbed) * number // steps: ("connections to the database ended", end)
            for number in range(1, steps - 1)
        }
        moments[len(undisturbed) * (steps - 1) // steps] = (
            "a process of the database killed",
            lambda: ended.append(asyncio.run(kill_connection(database.url))),
        )
        with world.up():
            done = world.run(moments, SECONDS)
    for line in done:
        tell(line)
    tell(f"connections ended: {ended}")
    assert len(done) == len(moments)
    assert sum(ended) >= len(moments)
    judge(world, undisturbed, tell)


async def end_connections(url: str) -> int:
    """End every connection but one's own; returns how many."""
    connection = await asyncpg_connect(url)
    found = await connection.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = current_user AND pid <> pg_backend_pid()"
    )
    await connection.close()
    return len(found)


async def kill_connection(url: str) -> int:
    """Kill the process of one connection: the database ends all others and recovers, as after a crash."""
    connection = await asyncpg_connect(url)
    found = await connection.fetch(
        "SELECT pid FROM pg_stat_activity WHERE usename = current_user AND pid <> pg_backend_pid() LIMIT 1"
    )
    for row in found:
        os.kill(row["pid"], signal.SIGKILL)
    return len(found)


async def asyncpg_connect(url: str) -> Any:
    asyncpg = pytest.importorskip("asyncpg")
    return await asyncpg.connect(url.replace("+asyncpg", ""))


def test_dask_a_picture_that_kills_its_worker_is_found(
    prepared: tuple[Path, Path],
    undisturbed: dict[tuple[str, ...], bytes],
    tmp_path: Path,
    tell: Callable[[str], None],
) -> None:
    fleet, store = prepared
    poison = sorted(undisturbed)[len(undisturbed) // 2][0]
    world = DaskWorld(
        tmp_path / "world",
        fleet,
        copy_store(store, tmp_path / "store"),
        # Else each part of its batch kills four workers before it is given back.
        environment={"RINR_DRILL_POISON": poison, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"},
        worker_options=("--preload", "tests.drills.poison"),
    )
    with world.up():
        world.run({}, SECONDS)
        found = payloads(world.store)
        assert {key: payload for key, payload in undisturbed.items() if key[0] != poison} == found
        (refused,) = rows(str(world.store), "quarantine")
        assert (refused["image_id"], refused["status"]) == (poison, "refused")
        assert refused["reason"].endswith(KILLED)
        # The next run does not try it again: nothing dies.
        before = world.lines.read_text()
        world.lines.unlink()
        world.run({}, SECONDS)
        tell(f"images: {len(found)}, one refused: {refused['reason']}")
        tell(f"the run: {before.strip()}; the next: {world.lines.read_text().strip()}")
