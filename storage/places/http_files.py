"""Files behind a web server that lists its folders: read with bounds, never written.

The pages and headers come from the network: what a page links to counts only where it lies directly in the page's
folder, redirections are not followed, and everything has a limit.
"""

import asyncio
import html
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urljoin, urlsplit

MAX_PAGE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 32
MAX_FOLDERS = 100_000


class AnswerError(OSError):
    """The server is there, and does not give this file."""


class _BusyError(AnswerError):
    """The server cannot answer now."""


# No repetition may run over the beginning of another link: of a page that lies, the time stays linear in its bytes.
_LINK = re.compile(r"""<a\s[^<>]{0,500}?href\s{0,9}=\s{0,9}(?:"([^"<>]{1,8000})"|'([^'<>]{1,8000})')""", re.IGNORECASE)
_REQUESTS = 16  # at once
_BUSY = (429, 500, 502, 503, 504)
_PAUSES = (0.1, 0.3, 0.9)  # seconds, after which a server that is busy is asked again

Info = dict[str, Any]
_Answer = TypeVar("_Answer")


def address(root: str, path: str) -> str:
    """The URL of a path below a root."""
    return f"{root}/{quote(path, errors='surrogateescape')}" if path else f"{root}/"


async def get(file_system: Any, url: str, limit: int) -> bytes:
    """The first ``limit`` bytes of a body and at most one more.

    Raises:
        FileNotFoundError: the server says so.
        AnswerError: it answers with another status than 200.
        aiohttp.ClientError: the connection cannot be made, or breaks before the body's end.
    """
    return await _patiently(_get, file_system, url, limit)


async def get_range(file_system: Any, url: str, start: int, count: int) -> bytes | None:
    """At most ``count`` bytes from ``start`` on, fewer at the body's end; ``None`` of a server that gives no ranges.

    Raises:
        OSError, aiohttp.ClientError: as of :func:`get`.
    """
    return await _patiently(_get_range, file_system, url, start, count)


async def head(file_system: Any, url: str) -> Info:
    """Size, time and ETag of a file, as fsspec's ``info`` has them.

    Raises:
        OSError, aiohttp.ClientError: as of :func:`get`; the server does not say the size.
    """
    return await _patiently(_head, file_system, url)


async def names(file_system: Any, url: str) -> list[str]:
    """What a folder's page links to directly in the folder; folders have a slash at the end.

    Raises:
        OSError, aiohttp.ClientError: as of :func:`get`.
    """
    folder = url if url.endswith("/") else f"{url}/"
    page = await get(file_system, folder, MAX_PAGE_BYTES)
    if len(page) > MAX_PAGE_BYTES:
        raise OSError(f"the listing {folder} has more than {MAX_PAGE_BYTES:,} bytes")
    return await asyncio.to_thread(links, folder, page)  # the loop serves all file systems


def links(folder: str, page: bytes) -> list[str]:
    """The names to which a folder's page links directly in the folder."""
    base = urlsplit(folder)
    found: dict[str, None] = {}
    for match in _LINK.finditer(page.decode(errors="replace")):
        try:
            link = urlsplit(urljoin(folder, html.unescape(match.group(1) or match.group(2))))
        except ValueError:
            continue
        if link[:2] != base[:2] or link.query or not link.path.startswith(base.path):
            continue
        # What is not UTF-8 gets lone surrogates, and is then refused by name.
        name = unquote(link.path[len(base.path) :], errors="surrogateescape")
        if name.strip("/") and "/" not in name.removesuffix("/"):
            found[name] = None
    return list(found)


async def tree(file_system: Any, root: str, wanted: Callable[[str], bool], limit: int) -> dict[str, Info]:
    """The wanted files in a folder and below, each asked for its size and time.

    Raises:
        OSError: too many files or folders, or as of :func:`get`.
    """
    folders = [""]
    files: list[str] = []
    looked_into = 0
    while folders:
        folder = folders.pop()
        looked_into += 1
        if looked_into > MAX_FOLDERS:
            raise OSError(f"more than {MAX_FOLDERS:,} folders")
        for name in await names(file_system, address(root, folder)):
            path = folder + name
            if name.startswith("."):
                continue
            if not name.endswith("/"):
                files += [path] if wanted(path) else []
            elif path.count("/") <= MAX_DEPTH:
                folders.append(path)
        if len(files) > limit:
            raise OSError(f"more than {limit:,} files")
    turns = asyncio.Semaphore(_REQUESTS)

    async def ask(path: str) -> tuple[str, Info] | None:
        async with turns:
            try:
                return path, await head(file_system, address(root, path))
            except FileNotFoundError:
                return None  # gone since
            except AnswerError:
                return path, {"type": "file", "size": 0}  # reading it says what is wrong; the others go on

    found = {}
    for start in range(0, len(files), 1_000):
        for answer in await asyncio.gather(*map(ask, files[start : start + 1_000])):
            if answer:
                found[answer[0]] = answer[1]
    return found


async def _get(file_system: Any, url: str, limit: int) -> bytes:
    session = await file_system.set_session()
    async with session.get(_exact(url), **_asked(file_system)) as response:
        _check(response)
        data = bytearray()
        async for chunk in response.content.iter_chunked(256 * 1024):
            data += chunk
            if len(data) > limit:
                break
        return bytes(data[: limit + 1])


async def _get_range(file_system: Any, url: str, start: int, count: int) -> bytes | None:
    session = await file_system.set_session()
    asked = {"Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
    async with session.get(_exact(url), **_asked(file_system, asked)) as response:
        if response.status == 416:
            return b""  # it begins at or after the end
        if response.status != 206:
            _check(response)
            return None
        if not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise AnswerError(f"the server gives another range of {response.url} than was asked for")
        data = bytearray()
        async for chunk in response.content.iter_chunked(256 * 1024):
            data += chunk
            if len(data) > count:
                break
        return bytes(data[:count])


async def _head(file_system: Any, url: str) -> Info:
    session = await file_system.set_session()
    identity = {"Accept-Encoding": "identity"}  # the size of the file itself is asked for
    async with session.head(_exact(url), **_asked(file_system, identity)) as response:
        _check(response)
        length = response.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdecimal() or len(length) > 15:
            raise AnswerError(f"the server does not say the size of {response.url}")
        return {
            "type": "file",
            "size": int(length),
            "ETag": response.headers.get("ETag"),
            "Last-Modified": response.headers.get("Last-Modified"),
        }


async def _patiently(ask: Callable[..., Awaitable[_Answer]], *arguments: Any) -> _Answer:
    for pause in _PAUSES:
        try:
            return await ask(*arguments)
        except _BusyError:
            await asyncio.sleep(pause)
    return await ask(*arguments)


def _exact(url: str) -> Any:
    import yarl

    return yarl.URL(url, encoded=True)


def _asked(file_system: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What goes with a request: the file system's options, among them headers, and no redirection."""
    options = dict(file_system.kwargs)
    options["headers"] = {**options.get("headers", {}), **(headers or {})}
    return options | {"allow_redirects": False}


def _check(response: Any) -> None:
    if response.status == 404:
        raise FileNotFoundError(f"{response.url} is not there (404)")
    if response.status != 200:
        kind = _BusyError if response.status in _BUSY else AnswerError
        moved = ": give the address that it is moved to" if 300 <= response.status < 400 else ""
        raise kind(f"the server answered {response.status} for {response.url}{moved}")
