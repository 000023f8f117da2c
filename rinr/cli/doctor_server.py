"""What of a Prefect server ``rinr doctor`` looks at, asked over HTTP: Prefect itself need not be installed here."""

import base64
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from rinr.cli.doctor_findings import Finding, ok, problem, warning
from rinr.version import __version__

DEFAULT_API = "http://127.0.0.1:4200/api"
SECONDS = 5.0

_MOST_BYTES = 10_000_000  # of an answer


@dataclass(frozen=True)
class Answer:
    """What came back from an address.

    Attributes:
        status: of HTTP; ``None`` where something answered that speaks no HTTP.
        body: of the answer, read as JSON; ``None`` where it is none.
    """

    status: int | None
    body: Any = None


def look_at_server(api: str, expected: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the server answers, is of this client's version, and has the pools and deployments.

    Args:
        api: address of its API, such as ``http://127.0.0.1:4200/api``.
        expected: ``flow/deployment`` names that should be there, and the work pool of each; empty where they cannot
            be known.
    """
    where = urlsplit(api)
    local = where.hostname in ("127.0.0.1", "localhost", "::1")
    port = where.port or (443 if where.scheme == "https" else 80)
    subject = f"port {port}" if local else f"server {where.hostname}"
    healthy = ask(api, "health")
    if healthy is None and local:
        yield warning(subject, "is free: no Prefect server runs here", "start one: rinr up")
        return
    if healthy is None:
        yield problem(
            subject, f"cannot be reached at port {port}", "start it, or check PREFECT_API_URL and the way to it"
        )
        return
    if healthy.status in (401, 403):
        yield problem(subject, "its Prefect server asks for a password", "export PREFECT_API_AUTH_STRING=user:password")
        return
    if healthy.status != 200 or healthy.body is not True:
        if local:
            yield problem(
                subject,
                "is taken by something that is no Prefect server",
                f"find it (lsof -i :{port}) and stop it, or let ours have another: rinr up --port {port + 1}",
            )
        else:
            yield problem(subject, f"what answers at {api} is no Prefect server", "check PREFECT_API_URL")
        return
    yield ok(subject, f"a Prefect server answers at {api}")
    yield from _version(ask(api, "admin/version"))
    pools, deployments = ask(api, "work_pools/filter", {}), ask(api, "deployments/filter", {})
    yield from _pools(pools, sorted(set(expected.values())))
    yield from _deployments(deployments, expected)


def ask(api: str, path: str, body: Mapping[str, Any] | None = None) -> Answer | None:
    """What the server answers; ``None`` where nothing listens, or nothing is said in :data:`SECONDS`."""
    headers = {"Content-Type": "application/json"}
    password = os.environ.get("PREFECT_API_AUTH_STRING") or os.environ.get("PREFECT_SERVER_API_AUTH_STRING")
    if password:
        headers["Authorization"] = f"Basic {base64.b64encode(password.encode()).decode()}"
    data = None if body is None else json.dumps(body).encode()
    # The loopback interface is asked directly, whatever proxy the environment names.
    loopback = urlsplit(api).hostname in ("127.0.0.1", "localhost", "::1")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({} if loopback else None))
    try:
        with opener.open(urllib.request.Request(f"{api}/{path}", data, headers), timeout=SECONDS) as answer:
            return Answer(answer.status, _json(answer.read(_MOST_BYTES)))
    except urllib.error.HTTPError as error:
        return Answer(error.code)
    except (http.client.HTTPException, ValueError, ConnectionResetError, TimeoutError):
        return Answer(None)
    except urllib.error.URLError as error:
        return Answer(None) if isinstance(error.reason, ConnectionResetError | TimeoutError) and loopback else None
    except OSError:
        return None


def _version(answer: Answer | None) -> Iterator[Finding]:
    server = answer.body if answer and isinstance(answer.body, str) else None
    try:
        client = metadata.version("prefect")
    except metadata.PackageNotFoundError:
        client = None
    if server is None:
        yield warning("Prefect", "the server does not say its version", "update it: pip install 'residual-inr[fog]'")
    elif client is None:
        yield ok("Prefect", f"the server is of version {server}; here it is not installed")
    elif server.split(".")[:2] == client.split(".")[:2]:
        yield ok("Prefect", f"server {server}, here {client}")
    else:
        yield warning(
            "Prefect",
            f"the server is of version {server}, here is {client}",
            f"have the same at both ends: pip install prefect=={server}, or update the server",
        )


def _pools(answer: Answer | None, expected: list[str]) -> Iterator[Finding]:
    found = {each["name"]: each for each in _list(answer)}
    for name in expected:
        subject = f"work pool {name}"
        if name not in found:
            yield warning(subject, "is not there", "make it: rinr up, or prefect work-pool create, docs/operations.md")
        elif found[name].get("is_paused"):
            yield warning(subject, "is paused: nothing is run", f"prefect work-pool resume {name}")
        elif found[name].get("status") == "NOT_READY":
            yield warning(subject, "no worker asks it for work", f"rinr up, or prefect worker start --pool {name}")
        else:
            yield ok(subject, "a worker asks it for work")


def _deployments(answer: Answer | None, expected: Mapping[str, str]) -> Iterator[Finding]:
    found = {str(each["name"]): each for each in _list(answer)}
    wanted = [name.partition("/")[2] for name in expected]
    missing = [name for name in wanted if name not in found]
    if missing:
        yield warning("deployments", f"{', '.join(missing)} not there", "make them: rinr up, or prefect deploy --all")
    other = {name: str(found[name].get("version"))[:40] for name in wanted if name in found}
    other = {name: version for name, version in other.items() if version != __version__}
    if other:
        told = ", ".join(f"{name} {version}" for name, version in other.items())
        yield warning("deployments", f"of another version than {__version__}: {told}", "make them anew: rinr up")
    if wanted and not missing and not other:
        yield ok("deployments", f"all {len(wanted)} are there")


def _list(answer: Answer | None) -> list[dict[str, Any]]:
    body = answer.body if answer and isinstance(answer.body, list) else []
    return [each for each in body if isinstance(each, dict) and "name" in each]


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
