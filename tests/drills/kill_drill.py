"""A run that is killed again and again at random moments, and goes on each time."""

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import DeltaTable

from tests.drills.fork_server import ForkServer
from tests.drills.roles import PHASES, Diary, Orders
from tests.drills.verdict import TABLES, judge, taken, unnamed
from tests.drills.world import World

ROLES = ("writer-1", "writer-2", "compaction", "vacuum")

_AIMS = {
    "writer": ("ingest", "append", "append", "append", "sweep", "missing"),
    "compaction": ("compact", "exchange", "exchange"),
    "vacuum": ("vacuum",),
}
_LONGEST_WAIT = 4.0  # seconds for a phase that does not come
_END_SECONDS = 900.0


@dataclass
class KillDrill:
    """The drill.

    Attributes:
        orders: for its processes.
        world: what they take.
        kills: how many.
        seed: of the moments.
        pause: seconds between a restart and the next kill at most.
    """

    orders: Orders
    world: World
    kills: int
    seed: int
    pause: float = 2.0
    tell: Callable[[str], None] = print
    hits: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """Kill, restart, go on, and judge what is there in the end."""
        began = time.monotonic()
        rng = random.Random(self.seed)
        server = ForkServer(self.orders)
        running: dict[str, int] = {}
        starts: Counter[str] = Counter()
        diaries = {role: Diary(self.orders.folder, role) for role in ROLES}
        aged: set[str] = set()
        moments = 0
        between: list[int] = []
        committed = 0

        def start(role: str) -> None:
            starts[role] += 1
            running[role] = server.start(role, starts[role])

        self.world.release(len(self.world.coming) // 4)
        portion = len(self.world.coming) // max(self.kills, 1)
        for role in ROLES:
            start(role)
        for number in range(self.kills):
            victims = list(ROLES) if rng.random() < 0.2 else [rng.choices(ROLES, (3, 3, 3, 2))[0]]
            self._wait_for_a_moment(rng, diaries, victims)
            moments += 1
            for role in victims:
                code = server.kill(running[role])
                assert code in (-9, 0), f"{role} ended with code {code}: {diaries[role].lines()[-1:]}"
                self.hits[f"{role.partition('-')[0]} in {diaries[role].phase}"] += 1
            if victims == list(ROLES) and "://" not in self.orders.store:
                aged |= self._age_what_nobody_names()
            rows = self._rows()
            between.append(rows - committed)
            committed = rows
            self.world.release(portion)
            if rng.random() < 0.5:
                self.world.change(taken(self.orders.store))
            for role in victims:
                start(role)
            if number % 10 == 9:
                self.tell(f"{number + 1} kills, {rows:,} rows, {time.monotonic() - began:.0f} s")
        self.world.release(len(self.world.coming))
        self.world.change(taken(self.orders.store))
        (self.orders.folder / "finish").touch()
        self._wait_for_the_end(server, running)
        server.close()
        lines = [line for role in ROLES for line in diaries[role].lines()]
        errors = [line for line in lines if line.startswith("error")]
        removed = sum(int(line.split()[1]) for line in lines if line.startswith("vacuumed"))
        killed = time.monotonic() - began
        counts = judge(self.orders.store, self.world, self.orders.encoding)
        self.tell(f"kills: {moments} moments, {sum(self.hits.values())} processes")
        for what, count in sorted(self.hits.items()):
            self.tell(f"  {what}: {count}")
        self.tell(f"restarts: {sum(starts.values()) - len(ROLES)} ({dict(starts)})")
        empty = sum(1 for rows in between if not rows)
        self.tell(f"rows committed between kills: {min(between)} to {max(between)}, none in {empty} of {len(between)}")
        refused = Counter(line.split()[1] for line in lines if line.startswith("refused"))
        self.tell(f"commits refused: {sum(refused.values())} ({dict(refused)})")
        rewrites = Counter(line.split()[1] for line in lines if line.startswith("compacted"))
        self.tell(f"compactions finished: {sum(rewrites.values())} ({dict(rewrites)})")
        encoded = [line.split() for line in lines if line.startswith("encoded")]
        again = sum(int(words[1]) - int(words[3]) for words in encoded)
        self.tell(f"images encoded in vain, since another writer came first: {again}")
        self.tell(f"files that no table named: {len(aged)} after kills of all; {removed} orphans removed meanwhile")
        left = len(list(Path(self.orders.environment["TMPDIR"]).glob("rinr-compaction-*")))
        self.tell(f"temporary folders of killed compactions that wait for the next one: {left}")
        self.tell(f"changes on the devices: {self.world.changes}")
        for what, count in counts.items():
            self.tell(f"{what}: {count}")
        self.tell(f"errors: {len(errors)} {errors[:5]}")
        self.tell(f"seconds: {killed:.0f} until all was done, {time.monotonic() - began:.0f} with the verdict")
        assert not errors, errors

    def _wait_for_a_moment(self, rng: random.Random, diaries: dict[str, Diary], victims: list[str]) -> None:
        """Any moment; or one of a phase that is over so soon that few other moments would hit it."""
        time.sleep(rng.uniform(0.05, self.pause))
        if rng.random() < 0.7:
            role = rng.choice(victims)
            phase = rng.choice(_AIMS[role.partition("-")[0]])
            deadline = time.monotonic() + _LONGEST_WAIT
            while diaries[role].phase != phase and time.monotonic() < deadline:
                time.sleep(0.0002)
            time.sleep(rng.expovariate(1 / 0.004))

    def _wait_for_the_end(self, server: ForkServer, running: dict[str, int]) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while running:
            for role, process in list(running.items()):
                code = server.code(process)
                if code is not None:
                    assert code == 0, f"{role} ended with code {code}: {Diary(self.orders.folder, role).lines()[-1:]}"
                    del running[role]
            assert time.monotonic() < deadline, f"{sorted(running)} never came to an end"
            time.sleep(0.1)

    def _rows(self) -> int:
        rows = 0
        for table in TABLES[:3]:
            try:
                actions = DeltaTable(f"{self.orders.store}/{table}").get_add_actions(flatten=True)
            except Exception:  # there is none yet
                continue
            rows += sum(actions["num_records"].to_pylist())
        return rows

    def _age_what_nobody_names(self) -> set[str]:
        """Where no process lives, files that no table names are orphans: vacuum may take them at once."""
        try:
            orphans = unnamed(self.orders.store)
        except Exception:  # not all tables are there yet
            return set()
        long_ago = time.time() - 7_200
        orphans = {name for name in orphans if not name.startswith("landing/") or name.endswith(".part")}
        for name in orphans:
            os.utime(Path(self.orders.store, name), (long_ago, long_ago))
        return orphans


assert set(sum(_AIMS.values(), ())) <= set(PHASES)
