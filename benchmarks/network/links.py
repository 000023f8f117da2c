"""Links: TCP proxies on the loopback interface that count what passes each way and send it through the radio.

They run in a process of their own, so that nothing that fits or trains slows them down. What is counted is what the
sockets carried: everything that the programs at both ends wrote, SSH and HTTP included; headers of TCP and IP are not.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from benchmarks.network.radio import Radio, Shape

PIECE = 16 * 1024
"""Bytes that take their turn on the radio together."""

_IN_FLIGHT = 32  # pieces of one direction that are sent and have not arrived

Counted = Callable[[int, int], None]
"""Told of bytes that passed, and of bytes that were sent again for them."""


@dataclass
class Count:
    """What a link carried.

    Attributes:
        there: bytes from who opened connections to who took them.
        back: bytes the other way.
        there_again: bytes that were lost and sent again, which are not among ``there``.
        back_again: likewise.
        connections: that were opened.
    """

    there: int = 0
    back: int = 0
    there_again: int = 0
    back_again: int = 0
    connections: int = 0

    def went_there(self, count: int, again: int) -> None:
        """Count a piece."""
        self.there += count
        self.there_again += again

    def came_back(self, count: int, again: int) -> None:
        """Likewise."""
        self.back += count
        self.back_again += again


class Links:
    """Proxies before servers on this machine, within one event loop.

    Args:
        radio: that all of them share.
    """

    def __init__(self, radio: Radio) -> None:
        self._radio = radio
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self.counts: dict[str, Count] = {}

    async def open(self, name: str, target: int) -> int:
        """Open a link to a port of this machine; returns the port at which it is reached."""
        count = self.counts[name] = Count()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            with suppress(asyncio.CancelledError):  # the links are closed, and asyncio would tell of it
                await self._carry(count, target, reader, writer)
            self._connections.discard(task)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more connections, and cut those there are."""
        for server in self._servers:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _carry(
        self, count: Count, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        count.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.transport.abort()
            return

        is_whole = False
        try:
            # The end of what one side says leaves the other direction open; a connection that breaks ends both.
            async with asyncio.TaskGroup() as both:
                both.create_task(self._one_way(reader, far_writer, count.went_there))
                both.create_task(self._one_way(far_reader, writer, count.came_back))
            is_whole = True
        except* OSError:
            pass
        finally:
            for end in (writer, far_writer):
                if is_whole:
                    end.close()
                else:
                    end.transport.abort()

    async def _one_way(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: Counted) -> None:
        in_flight: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_IN_FLIGHT)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._send(reader, in_flight, counted))
            ends.create_task(_arrive(in_flight, writer))

    async def _send(
        self, reader: asyncio.StreamReader, in_flight: asyncio.Queue[tuple[float, bytes]], counted: Counted
    ) -> None:
        data = b"first"
        while data:
            data = await reader.read(PIECE)
            again, at = await self._radio.send(len(data))
            counted(len(data), again)
            await in_flight.put((at, data))


@contextmanager
def running_links(targets: Mapping[str, int], shape: Shape) -> Iterator["RunningLinks"]:
    """Links in a process of their own, which lives as long as the context.

    Args:
        targets: port of each one's server, by the link's name.
        shape: of the radio that they share.
    """
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, dict(targets), shape), daemon=True)
    process.start()
    far.close()
    try:
        yield RunningLinks(near, near.recv())
    finally:
        near.close()  # the other end hears that, and ends
        process.join(30)
        process.kill()


class RunningLinks:
    """Links of another process.

    Attributes:
        ports: at which they are reached, by name.
    """

    def __init__(self, pipe: "Connection[object, object]", ports: dict[str, int]) -> None:
        self._pipe = pipe
        self.ports = ports

    def counts(self) -> dict[str, Count]:
        """What each link has carried so far."""
        self._pipe.send("counts")
        found: dict[str, Count] = self._pipe.recv()  # type: ignore[assignment]
        return found


async def _arrive(in_flight: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        at, data = await in_flight.get()
        await asyncio.sleep(max(0.0, at - loop.time()))
        if not data:
            with suppress(OSError):  # the other side has closed already
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()


def _serve(pipe: "Connection[object, object]", targets: dict[str, int], shape: Shape) -> None:
    async def main() -> None:
        links = Links(Radio(shape))
        pipe.send({name: await links.open(name, port) for name, port in targets.items()})
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        def asked() -> None:
            try:
                pipe.recv()
                pipe.send(links.counts)
            except (EOFError, OSError):
                over.set()

        loop.add_reader(pipe.fileno(), asked)
        await over.wait()
        loop.remove_reader(pipe.fileno())
        await links.close()

    with suppress(KeyboardInterrupt):
        asyncio.run(main())
