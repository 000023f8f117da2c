"""Asking many devices at the same time: networks are waited for most of it, and one that is away holds up none."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from storage.devices import DeviceError
from storage.fleet import Device
from storage.inbox import InboxError
from storage.outbox import OutboxError

DEVICES_AT_ONCE = 8
"""Devices that are asked at the same time."""

Answer = TypeVar("Answer")

_AWAY = (DeviceError, InboxError, OutboxError, ValueError)  # the last: credentials that are missing


def ask_each(devices: Sequence[Device], ask: Callable[[Device], Answer]) -> list[Answer | Exception]:
    """The answers of devices, in their order; of one that cannot be asked, the error that says why."""

    def asked(device: Device) -> Answer | Exception:
        try:
            return ask(device)
        except _AWAY as error:
            return error

    with ThreadPoolExecutor(DEVICES_AT_ONCE) as pool:
        return list(pool.map(asked, devices))
