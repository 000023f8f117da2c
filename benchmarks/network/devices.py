"""Devices as processes: started, given orders, killed and started again."""

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_FORKED = multiprocessing.get_context("forkserver")


class DeviceError(RuntimeError):
    """A device that could not do what it was told, or died; the message says which and why."""


class DeviceProcess:
    """A device's process; its home and its places outlive it.

    Args:
        name: the device's.
        fleet_file: as it lies on the device.
    """

    def __init__(self, name: str, fleet_file: Path) -> None:
        self.name = name
        self._fleet_file = fleet_file
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        from benchmarks.network.edge import live

        self._pipe, far = _FORKED.Pipe()
        self._process = _FORKED.Process(target=live, args=(far, self.name, str(self._fleet_file)), daemon=True)
        self._process.start()
        far.close()

    def order(self, method: str, *arguments: Any) -> None:
        """Give an order and wait for nothing."""
        self._pipe.send((method, arguments))

    def answer(self) -> Any:
        """What came of an order.

        Raises:
            DeviceError: it failed, or the process died.
        """
        try:
            is_done, value = self._pipe.recv()
        except (EOFError, OSError):
            raise DeviceError(f"the process of {self.name} died") from None
        if not is_done:
            raise DeviceError(str(value))
        return value

    def ask(self, method: str, *arguments: Any) -> Any:
        """Both."""
        self.order(method, *arguments)
        return self.answer()

    def kill(self) -> None:
        """End it where it is."""
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        """Let it end."""
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


@contextmanager
def running_devices(fleet_files: Mapping[str, Path]) -> Iterator[dict[str, DeviceProcess]]:
    """A process a device; each knows its own fleet file alone."""
    _FORKED.set_forkserver_preload(["benchmarks.network.edge"])
    devices: dict[str, DeviceProcess] = {}
    try:
        for name, file in fleet_files.items():
            devices[name] = DeviceProcess(name, file)
        yield devices
    finally:
        for device in devices.values():
            device.close()
