import asyncio

import httpx
import pytest

from tasks import run_creation
from tasks.run_creation import SoonAgain


class Server(httpx.AsyncBaseTransport):
    """Gives its answers one after the other, and keeps what it was sent."""

    def __init__(self, *answers: httpx.Response) -> None:
        self.answers = list(answers)
        self.bodies: list[bytes] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(await request.aread())
        return self.answers.pop(0)


def post(server: Server) -> httpx.Response:
    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=SoonAgain(server), base_url="http://server") as client:
            return await client.post("/runs", json={"key": 1})

    return asyncio.run(send())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_creation, "_WAITS", (0.0, 0.0))


def test_a_busy_server_is_asked_again_with_the_same_words() -> None:
    server = Server(httpx.Response(503), httpx.Response(503), httpx.Response(201))
    assert post(server).status_code == 201
    assert server.bodies == [b'{"key":1}'] * 3


def test_a_server_that_stays_busy_has_the_last_word() -> None:
    server = Server(*[httpx.Response(503)] * 3)
    assert post(server).status_code == 503
    assert not server.answers


@pytest.mark.parametrize("answer", [httpx.Response(409), httpx.Response(503, headers={"Retry-After": "9"})])
def test_other_answers_are_passed_on(answer: httpx.Response) -> None:
    server = Server(answer)
    assert post(server).status_code == answer.status_code
    assert len(server.bodies) == 1
