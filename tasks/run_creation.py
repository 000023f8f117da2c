"""Creating a deployment's runs on a server that is busy, soon and once.

While Prefect's server keeps its books in SQLite, any write that comes between two statements of a request ends that
request with status 503, though the next attempt would do. Prefect's client makes it after 2, then 4, 8, 16 and 32
seconds: creating one run then takes seconds, at times a minute. Asked again at once, it takes a fraction of a second.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.flow_runs import arun_deployment
from prefect.settings import PREFECT_API_URL

_BUSY = 503
_WAITS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0)  # seconds, before the client's own long ones begin


def create_run(
    deployment: str, *, parameters: Mapping[str, Any], name: str, tags: Sequence[str], queue: str, key: str
) -> FlowRun:
    """Create a run of a deployment under the current flow run, and return without waiting for it.

    Args:
        deployment: ``flow/deployment``.
        queue: the work queue it is put on.
        key: equal keys give the same run, whoever asks and however often.
    """

    async def create() -> FlowRun:
        async with get_client(httpx_settings=_settings()) as client:
            return await arun_deployment(
                deployment,
                client=client,
                parameters=dict(parameters),
                timeout=0,
                flow_run_name=name,
                tags=tags,
                idempotency_key=key,
                work_queue_name=queue,
            )

    return asyncio.run(create())


class SoonAgain(httpx.AsyncBaseTransport):
    """Asks a busy server again after tens of milliseconds, some times, before the answer is passed on.

    Args:
        transport: that the requests go through.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; the answer is that of the last attempt."""
        for wait in _WAITS:
            answer = await self._transport.handle_async_request(request)
            # A server that says when to come back is not merely busy.
            if answer.status_code != _BUSY or "retry-after" in answer.headers:
                return answer
            await answer.aclose()
            await asyncio.sleep(wait * random.uniform(0.5, 1.5))
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the transport below."""
        await self._transport.aclose()


def _settings() -> dict[str, Any]:
    """What is special about the client's connection: nothing where TLS or a service of others lies between."""
    if not (PREFECT_API_URL.value() or "").startswith("http://"):
        return {}
    return {"transport": SoonAgain(httpx.AsyncHTTPTransport(retries=3))}
