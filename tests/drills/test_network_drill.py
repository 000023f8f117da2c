"""Three devices and a fog node over counted links, on the sample: `make drills DRILL=network`."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.network.devices import DeviceProcess
from benchmarks.network.fits import Fits
from benchmarks.network.measured import Measured
from benchmarks.network.pictures import Captures, shared_out
from benchmarks.network.places import Network, running_network
from benchmarks.network.radio import Shape
from benchmarks.network.ways import NetworkError, Site, device_to_device, encoded, relayed, site
from rinr.folders import labelled_folders
from rinr.pool import EncoderPool
from rinr.presets import find_preset

pytestmark = pytest.mark.drill

SAMPLE = Path(__file__).parents[2] / "sample"
NAMES = ("cam-0", "cam-1", "cam-2")
BY_SFTP, BY_S3 = "cam-0", "cam-2"
SLOW = Shape(rate=60_000, delay=0.01, loss=0.01)
"""So slow that a process can be killed while something is on its way."""

BEFORE_KILL = 6_000
"""Bytes after which one is killed."""


@pytest.fixture(scope="module")
def captures() -> list[Captures]:
    return shared_out(labelled_folders(SAMPLE), NAMES, 3)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with running_network(NAMES, tmp_path_factory.mktemp("served"), SLOW) as made:
        assert BY_SFTP in made.by_sftp
        assert BY_S3 not in made.by_sftp
        yield made


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fits]:
    with EncoderPool(1) as pool:
        yield Fits(tmp_path_factory.mktemp("fits"), pool)


def said(tell: Callable[[str], None], found: Measured) -> None:
    crossed = found.crossed
    tell(
        f"{found.way}: {crossed.wire.total:,} bytes of sockets, {crossed.files.total:,} of files by the servers, "
        f"{found.program.total:,} by the program, {crossed.ssh:,} of SSH, {crossed.http_headers:,} of HTTP, "
        f"{crossed.again.total:,} sent again, {found.seconds:.1f} s"
    )


def test_counters_agree_and_everyone_holds_what_the_others_captured(
    network: Network, captures: Sequence[Captures], fits: Fits, tmp_path: Path, tell: Callable[[str], None]
):
    ways: dict[str, Callable[[Site], Measured]] = {
        "direct": device_to_device,
        "relayed": relayed,
        "balanced": lambda here: encoded(here, find_preset("balanced"), fits),
        "webp": lambda here: encoded(here, find_preset("webp:12/4+64"), fits),
    }
    found = {}
    for way, send in ways.items():
        with site(way, network, captures, tmp_path / way) as here:
            found[way] = send(here)  # which raises where a device lacks anything, or holds something else
        said(tell, found[way])
        assert found[way].disagreement <= 0.01, "the servers' count against the program's"
        crossed = found[way].crossed
        assert crossed.wire.total == crossed.files.total + crossed.ssh + crossed.http_headers + crossed.http_answers
        assert min(crossed.ssh, crossed.http_headers, crossed.again.total) > 0
    size = sum(len(data) for one in captures for data in one.files.values())
    assert found["direct"].program.total == found["direct"].crossed.files.total == 2 * size
    assert found["relayed"].crossed.files.total == 3 * size
    assert found["balanced"].crossed.files.up < 1.05 * size


class KilledOnce:
    """A device that is killed while it does one thing, and started again.

    Args:
        process: its.
        network: whose links say how far it has come.
        method: what it does.
    """

    def __init__(self, process: DeviceProcess, network: Network, method: str) -> None:
        self._process = process
        self._network = network
        self._method = method
        self.passed = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def ask(self, method: str, *arguments: Any) -> Any:
        if method == self._method and not self.passed:
            before = self._carried()
            self._process.order(method, *arguments)
            while self._carried() - before < BEFORE_KILL:
                time.sleep(0.002)
            self.passed = self._carried() - before
            self._process.kill()
            self._process.start()
        return self._process.ask(method, *arguments)

    def _carried(self) -> int:
        count = self._network.links.counts()[self._process.name]
        return count.there if self._method == "upload" else count.back


@pytest.mark.parametrize("method", ["upload", "receive"])
def test_a_device_that_is_killed_goes_on(
    method: str,
    network: Network,
    captures: Sequence[Captures],
    fits: Fits,
    tmp_path: Path,
    tell: Callable[[str], None],
):
    way = f"killed-{method}"
    with site(way, network, captures, tmp_path / way) as here:
        killed = KilledOnce(here.devices[BY_S3], network, method)
        devices: dict[str, Any] = {**here.devices, BY_S3: killed}
        found = encoded(replace(here, devices=devices), find_preset("balanced"), fits)
    said(tell, found)
    tell(f"{BY_S3}: killed in {method} after {killed.passed:,} bytes, started again, holds everything once")
    assert killed.passed
    most = max(len(data) for one in captures for data in one.files.values())
    again = found.crossed.files.total - found.program.total
    assert 0 <= again <= most, "what was cut off was sent once more, and nothing else"


class Forgetful:
    """A device that has lost a frame."""

    def __init__(self, process: DeviceProcess) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        return getattr(self._process, name)

    def answer(self) -> Any:
        held = self._process.answer()
        held.pop(next(iter(held)))
        return held


def test_a_device_that_lacks_something_is_found_out(
    network: Network, captures: Sequence[Captures], fits: Fits, tmp_path: Path
):
    with site("forgetful", network, captures, tmp_path / "forgetful") as here:
        devices: dict[str, Any] = {**here.devices, BY_SFTP: Forgetful(here.devices[BY_SFTP])}
        with pytest.raises(NetworkError, match=BY_SFTP):
            encoded(replace(here, devices=devices), find_preset("balanced"), fits)
