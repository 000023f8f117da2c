"""Links count what the sockets carry, send it at the radio's rate, and say apart what was lost."""

import asyncio
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from benchmarks.network.links import Count, Links, running_links
from benchmarks.network.radio import SEGMENT, Radio, Shape

FREE = Shape(rate=None, delay=0.0)


@contextmanager
def echo(answer: bytes | None = None) -> Iterator[int]:
    """A server that gives back what it reads, or another answer once all was said."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=speak, args=(connection,), daemon=True).start()

    def speak(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while data := connection.recv(65_536):
                if answer is None:
                    connection.sendall(data)
            connection.sendall(answer or b"")

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


async def exchange(port: int, data: bytes) -> bytes:
    """Say something to its end, and read what comes back to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.ensure_future(reader.read())
    writer.write(data)
    await writer.drain()
    writer.write_eof()
    answer = await reading
    writer.close()
    return answer


def carried(shape: Shape, data: list[bytes], answer: bytes | None = None) -> tuple[list[bytes], Count, float]:
    """Several exchanges over one link at the same time, what it counted, and seconds."""

    async def main(target: int) -> tuple[list[bytes], Count, float]:
        links = Links(Radio(shape))
        port = await links.open("link", target)
        start = time.monotonic()
        answers = await asyncio.gather(*(exchange(port, one) for one in data))
        seconds = time.monotonic() - start
        await links.close()
        return list(answers), links.counts["link"], seconds

    with echo(answer) as target:
        return asyncio.run(main(target))


def test_what_passes_is_whole_and_counted_each_way():
    data = [random.Random(number).randbytes(100_000 + 7 * number) for number in range(5)]
    answers, count, _ = carried(FREE, data, answer=b"thanks")
    assert answers == [b"thanks"] * 5
    assert count == Count(there=sum(map(len, data)), back=30, connections=5)
    answers, count, _ = carried(FREE, data)
    assert answers == data
    assert (count.there, count.back) == (sum(map(len, data)),) * 2


def test_all_links_share_the_rate_in_both_directions():
    data = [bytes(50_000)] * 4
    answers, count, seconds = carried(Shape(rate=800_000, delay=0.0), data)
    assert answers == data
    assert count.there + count.back == 400_000
    assert 0.45 < seconds < 5  # 400,000 bytes at 800,000 a second, whoever has to wait for whom


def test_the_delay_is_added_each_way():
    _, _, seconds = carried(Shape(rate=None, delay=0.1), [b"?"])
    assert 0.2 <= seconds < 2


def test_what_is_lost_is_sent_again_counted_apart_and_takes_time():
    data = [random.Random(1).randbytes(2_000_000)]
    answers, count, _ = carried(Shape(rate=None, delay=0.0, loss=0.1, seed=3), data)
    assert answers == data
    assert (count.there, count.back) == (2_000_000, 2_000_000)
    for again in (count.there_again, count.back_again):
        assert again / 2_000_000 == pytest.approx(0.1 / 0.9, rel=0.25)

    async def sent() -> tuple[int, float, float]:
        start = asyncio.get_running_loop().time()
        again, at = await Radio(Shape(rate=1e9, delay=0.05, loss=0.9, seed=1)).send(10 * SEGMENT)
        return again, start, at

    again, start, at = asyncio.run(sent())
    assert again > 0
    assert again % SEGMENT == 0
    assert at - start >= 0.15, "a round trip later than what is not lost"


def test_a_connection_that_breaks_ends_at_both_ends():
    async def main(target: int) -> bytes:
        links = Links(Radio(FREE))
        port = await links.open("link", target)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        await links.close()
        with suppress(ConnectionResetError):
            return await reader.read()
        return b""

    with echo() as target:
        assert asyncio.run(main(target)) == b""


def test_nobody_listens():
    async def main(target: int) -> bytes:
        links = Links(Radio(FREE))
        port = await links.open("link", target)
        with suppress(ConnectionResetError):
            return await exchange(port, b"a")
        return b""

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert asyncio.run(main(port)) == b""


def test_links_of_another_process_tell_what_they_carried():
    with echo() as target, running_links({"a": target, "b": target}, FREE) as links:
        assert asyncio.run(exchange(links.ports["a"], b"word")) == b"word"
        counts = links.counts()
        assert counts["a"] == Count(there=4, back=4, connections=1)
        assert counts["b"] == Count()


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": -1.0}, {"delay": -0.1}, {"loss": 1.0}, {"loss": -0.1}])
def test_a_radio_that_cannot_be(wrong: dict[str, float]):
    with pytest.raises(ValueError, match=f"the {next(iter(wrong))} is"):
        Shape(**wrong)
