"""The worker side of validation: a process that checks pictures for its parent, and may die of them.

What goes back is JSON, never a pickle. Nothing heavy is imported here: each worker imports it anew.
"""

import importlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin

from rinr.frames import ImageError, IncompletePicture, PictureFacts

MAX_MESSAGE = 1_000
"""Characters of a reason."""

READY, BEGUN = b"r", b"b"
"""What a worker says once it waits for files, and once it has a whole one."""


@dataclass(frozen=True)
class Settings:
    """What a worker is started with.

    Attributes:
        time_limit: seconds that the check of one file may take.
        memory: bytes that it may take in addition to what it has when idle.
        check: ``module:function`` that is called with the bytes.
    """

    time_limit: float
    memory: int
    check: str


def work() -> None:
    """What a worker process does: answer the parent's files until its socket ends.

    It never outlives its parent for longer than the check of one file may take.
    """
    settings = Settings(**json.loads(sys.argv[2]))
    module, _, name = settings.check.partition(":")
    check = getattr(importlib.import_module(module), name)
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each thread takes address space, which is bounded
    _limit_memory(settings.memory)
    parent = os.getppid()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        channel.sendall(READY)
        while True:
            # A child that someone forked from the parent may keep its end open.
            channel.settimeout(5.0)
            try:
                header = channel.recv(8, socket.MSG_WAITALL | socket.MSG_PEEK)
            except TimeoutError:
                if os.getppid() != parent:
                    return
                continue
            channel.settimeout(None)
            if len(header) < 8:
                return
            _receive(channel, 8)
            jpeg = _receive(channel, int.from_bytes(header, "big"))
            if jpeg is None:
                return
            channel.sendall(BEGUN)
            # The parent keeps the time; this is for a parent that is gone. It ends the process.
            signal.setitimer(signal.ITIMER_REAL, settings.time_limit + min(settings.time_limit, 5.0))
            answer = json.dumps(_answer(check, bytes(jpeg))).encode()
            signal.setitimer(signal.ITIMER_REAL, 0)
            channel.sendall(len(answer).to_bytes(8, "big") + answer)


def _answer(check: Callable[[bytes], PictureFacts], jpeg: bytes) -> dict[str, Any]:
    try:
        facts = check(jpeg)
    except MemoryError:
        return {"memory": True}
    except ImageError as error:
        return {"refused": str(error)[:MAX_MESSAGE], "incomplete": isinstance(error, IncompletePicture)}
    date = facts.captured_at
    return {"size": facts.size, "orientation": facts.orientation, "captured_at": date.isoformat() if date else None}


def _receive(channel: socket.socket, count: int) -> bytearray | None:
    """So many bytes; ``None`` where the parent is gone before they are here."""
    received = bytearray(count)
    view = memoryview(received)
    while view:
        size = channel.recv_into(view)
        if not size:
            return None
        view = view[size:]
    return received


def _limit_memory(memory: int) -> None:
    """Bound this process's address space to what it has now and so many bytes more."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    import resource

    limit = int(statm.read_text().split()[0]) * resource.getpagesize() + memory
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
