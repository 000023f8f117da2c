"""Runs that are killed, fill their disk and meet storage that fails: in the end each picture stands there once.

``RINR_DRILL_SEED``, ``RINR_DRILL_KILLS`` and ``RINR_DRILL_FILES`` in the environment change what a drill does.
"""

import os
import random
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from storage.fleet import Device
from tests.drills.kill_drill import KillDrill
from tests.drills.roles import Orders
from tests.drills.steps import Steps
from tests.drills.verdict import judge, taken
from tests.drills.world import DEVICES, World
from tests.s3_process import KEY, SECRET, make_bucket, s3_process
from tests.servers import FaultProxy, HttpServer, http_server  # noqa: F401  (a fixture)

pytestmark = pytest.mark.drill

SEED = int(os.environ.get("RINR_DRILL_SEED", "2408"))


def kills(usual: int) -> int:
    return int(os.environ.get("RINR_DRILL_KILLS", usual))


def pictures(usual: int) -> int:
    return int(os.environ.get("RINR_DRILL_FILES", usual))


@pytest.fixture
def tell(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Says the seed first."""
    tell(f"seed {SEED}")
    return tell


@pytest.fixture
def make_orders(tmp_path: Path) -> Callable[..., Orders]:
    def make(store: str, preset: str, **environment: str) -> Orders:
        for name in ("drill", "temporary"):
            (tmp_path / name).mkdir()
        devices = tuple(
            Device(
                name=name,
                storage=str(tmp_path / "world" / name),
                inbox=str(tmp_path / "in" / name),
                home=str(tmp_path / "home" / name),
                settle=0.0,
            )
            for name in DEVICES
        )
        environment["TMPDIR"] = str(tmp_path / "temporary")
        return Orders(store, devices, preset, tmp_path / "drill", environment)

    return make


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with s3_process() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield environment


def test_kill(tmp_path: Path, make_orders: Callable[..., Orders], tell: Callable[[str], None]):
    world = World(tmp_path / "world", SEED, pictures(3_000))
    orders = make_orders(str(tmp_path / "store"), "instant")
    KillDrill(orders, world, kills(100), SEED, tell=tell).run()


def test_kill_with_the_store_on_s3(
    tmp_path: Path, make_orders: Callable[..., Orders], tell: Callable[[str], None], s3: dict[str, str]
):
    world = World(tmp_path / "world", SEED, pictures(300))
    orders = make_orders(f"{make_bucket('drill')}/store", "webp:30", **s3)
    KillDrill(orders, world, min(kills(20), 20), SEED, pause=4.0, tell=tell).run()


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A disk of 24 MB at a place, or a skip."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no program mount")
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


class Fault:
    """A fault that begins and ends at random moments while the context lasts.

    Attributes:
        times: how often it has begun.
    """

    def __init__(self, rng: random.Random, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self.times = 0
        self._rng, self._begin, self._end = rng, begin, end
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Fault":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @contextmanager
    def away(self) -> Iterator[None]:
        """No fault meanwhile: for what the drill itself writes."""
        with self._lock:
            yield

    def _work(self) -> None:
        while not self._stop.wait(self._rng.uniform(0.05, 0.8)):
            with self._lock:
                self._begin()
                self.times += 1
                self._stop.wait(self._rng.uniform(0.05, 0.6))
                self._end()


def run_steps(orders: Orders, world: World, fault: Fault, times: int) -> Steps:
    """Steps until the fault has come so often; then pictures come no more, and it is over once all are taken."""
    steps = Steps(orders, SEED)
    portion = len(world.coming) // 12
    released_at = 0
    world.release(portion)

    def going_on() -> bool:
        nonlocal released_at
        if fault.times - released_at >= times // 12:
            released_at = fault.times
            with fault.away():
                world.release(portion)
                world.change(taken(orders.store))
        return fault.times < times

    with fault:
        steps.run(going_on, 300)
    return steps


def finish(orders: Orders, world: World, steps: Steps, tell: Callable[[str], None]) -> None:
    """Without faults, one more run does what is left."""
    world.release(len(world.coming))
    world.change(taken(orders.store))
    last = Steps(orders, SEED)
    last.run(lambda: False, 120)
    assert not last.failed, last.messages
    say(steps, tell)
    for what, count in judge(orders.store, world, orders.encoding).items():
        tell(f"{what}: {count}")


def test_kill_no_space_on_the_disk(tmp_path: Path, make_orders: Callable[..., Orders], tell: Callable[[str], None]):
    with small_disk(tmp_path / "disk"):
        world = World(tmp_path / "world", SEED, pictures(400))
        orders = make_orders(str(tmp_path / "disk" / "store"), "webp:30")
        ballast = tmp_path / "disk" / "ballast"
        rng = random.Random(SEED)

        def fill() -> None:
            with ballast.open("wb", buffering=0) as file, suppress(OSError):
                free = os.statvfs(ballast.parent).f_bavail * 4096
                file.write(bytes(max(free - rng.choice((0, 0, 4_096, 20_000)), 0)))
                while True:
                    if file.write(bytes(4_096)) < 4_096 or rng.random() < 0.2:
                        break

        fault = Fault(rng, fill, lambda: ballast.unlink(missing_ok=True))
        steps = run_steps(orders, world, fault, times=60)
        assert sum(steps.failed.values()) > 5
        tell(f"times that the disk was full: {fault.times}")
        finish(orders, world, steps, tell)


def test_kill_no_room_for_a_file(tmp_path: Path, make_orders: Callable[..., Orders], tell: Callable[[str], None]):
    """As on a full disk, where no small one can be mounted: files may not grow over a few hundred bytes."""
    world = World(tmp_path / "world", SEED, pictures(400))
    orders = make_orders(str(tmp_path / "store"), "webp:30")
    rng = random.Random(SEED)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (rng.choice((0, 100, 1_000, 3_000)), hard))

    fault = Fault(rng, begin, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)))
    steps = run_steps(orders, world, fault, times=60)
    assert sum(steps.failed.values()) > 5
    tell(f"times that files could not grow: {fault.times}")
    finish(orders, world, steps, tell)


def test_kill_devices_whose_storage_fails_one_time_in_ten(
    tmp_path: Path,
    make_orders: Callable[..., Orders],
    tell: Callable[[str], None],
    s3: dict[str, str],
    http_server: HttpServer,  # noqa: F811
):
    """One device's storage is on S3, whose client asks again by itself; the other's is a web server."""
    world = World(tmp_path / "world", SEED, pictures(300))
    orders = make_orders(str(tmp_path / "store"), "webp:30")
    on_s3, on_web = DEVICES
    (http_server.folder / on_web).symlink_to(world.root / on_web)
    direct = fsspec.filesystem("s3", skip_instance_cache=True)
    direct.mkdir(on_s3)
    s3_port = int(s3["AWS_ENDPOINT_URL"].rpartition(":")[2])
    with (
        FaultProxy(s3_port, failing=0.1, seed=SEED) as s3_proxy,
        FaultProxy(http_server.port, failing=0.1, seed=SEED) as web_proxy,
    ):
        options = {"endpoint_url": f"http://127.0.0.1:{s3_proxy.port}", "key": KEY, "secret": SECRET}
        storage = {
            on_s3: {"storage": f"s3://{on_s3}", "storage_options": options},
            on_web: {"storage": http_server.url(on_web, web_proxy.port)},
        }
        devices = tuple(device.model_copy(update=storage[device.name]) for device in orders.devices)
        steps = Steps(replace(orders, devices=devices), SEED)
        rounds = 0
        portion = len(world.coming) // 12

        def going_on() -> bool:
            nonlocal rounds
            rounds += 1
            if rounds % 2 and rounds <= 25:
                world.release(portion if rounds < 25 else len(world.coming))
                world.change(taken(orders.store))
                _upload(direct, world.root / on_s3, on_s3)
            return rounds <= 25

        steps.run(going_on, 300)
    failed = s3_proxy.failed, web_proxy.failed
    tell(f"requests that failed: {failed[0]} on S3, {failed[1]} of the web server")
    assert min(failed) > 10
    say(steps, tell)
    for what, count in judge(orders.store, world, orders.encoding).items():
        tell(f"{what}: {count}")


def say(steps: Steps, tell: Callable[[str], None]) -> None:
    for name, message in steps.messages.items():
        tell(f"{name}: {message}")
    tell(f"steps that went well: {dict(steps.done)}")
    tell(f"steps that failed, each with a message: {dict(steps.failed)}; files left for the next run: {steps.unread}")


def _upload(s3: fsspec.AbstractFileSystem, root: Path, bucket: str) -> None:
    """A bucket becomes what a folder is: what is new is put, what is gone is removed, labels come last."""
    there = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    before = {name.partition("/")[2]: info["size"] for name, info in s3.find(bucket, detail=True).items()}
    for name in sorted(there, key=lambda name: (name.endswith(".json"), name)):
        place = f"{bucket}/{name}"
        if before.get(name) != len(there[name]) or s3.cat_file(place) != there[name]:
            s3.pipe_file(place, there[name])
    for name in set(before) - set(there):
        s3.rm_file(f"{bucket}/{name}")
