"""Opening a file system of fsspec for a URL, with time limits, so that a place that is dead ends in an error.

Whoever writes the options may override every limit. One call in all may take ``timeout`` seconds, which is an option
of this module and not of the file systems.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
CALL_SECONDS = 120.0
LISTING_SECONDS = 1_800.0

_S3 = {
    "config_kwargs": {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"max_attempts": 1},
    },
    "use_listings_cache": False,
}
_SFTP = {
    "connect_timeout": CONNECT_SECONDS,
    "login_timeout": READ_SECONDS,
    # A peer that answers none of three in a row is dead.
    "keepalive_interval": READ_SECONDS / 3,
    "keepalive_count_max": 3,
    # sshfs would take any host for the right one; this is asyncssh's own default, ~/.ssh/known_hosts.
    "known_hosts": (),
    # One name that is not UTF-8 must not hide all others.
    "sftp_client_kwargs": {"path_errors": "surrogateescape"},
    # A connection that was lost stays lost: it must not be found again by the next run.
    "skip_instance_cache": True,
}
_HTTP = {
    "client_kwargs": {"timeout": {"total": None, "sock_connect": CONNECT_SECONDS, "sock_read": READ_SECONDS}},
    "use_listings_cache": False,
}
# A listing that was cached before another process wrote would hide what it wrote.
_ANY: dict[str, Any] = {"use_listings_cache": False}
_DEFAULTS: dict[str, dict[str, Any]] = {
    "s3": _S3,
    "s3a": _S3,
    "sftp": _SFTP,
    "ssh": _SFTP,
    "http": _HTTP,
    "https": _HTTP,
}
_KINDS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp", "http": "http", "https": "http"}
_S3_RETRIES = 2  # attempts that s3fs makes, each of them with botocore's own


@dataclass(frozen=True)
class OpenedFolder:
    """A folder in a file system.

    Attributes:
        file_system: of fsspec.
        root: the folder's path in it, without a slash at the end.
        kind: ``local``, ``s3``, ``sftp``, ``http``, or ``other``.
        timeout: seconds that one call may take.
    """

    file_system: Any
    root: str
    kind: str
    timeout: float


def open_folder(url: str, options: Mapping[str, Any]) -> OpenedFolder:
    """Open the file system of a URL.

    Args:
        url: an fsspec URL or a plain path.
        options: for the file system, secrets resolved; ``timeout`` among them is seconds a call.

    Raises:
        ValueError: nobody knows the scheme, or an option is wrong.
        ImportError: the scheme's client is not installed.
        Exception: what the client raises where it connects at once, as SFTP's does.
    """
    protocol = url.split("://", 1)[0] if "://" in url else "file"
    merged = _merged(_DEFAULTS.get(protocol, _ANY), options)
    timeout = merged.pop("timeout", CALL_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 86_400:
        raise ValueError(f"the option `timeout` is {str(timeout)[:40]!r}, expected seconds, more than 0")
    kind = _KINDS.get(protocol, "other")
    if kind == "http":
        _make_http_timeout(merged)
    if kind == "sftp" and merged["known_hosts"] is False:
        merged["known_hosts"] = None
    file_system, root = fsspec.core.url_to_fs(url, **merged)
    if isinstance(file_system, LocalFileSystem):
        kind = "local"
    if kind == "s3":
        file_system.retries = _S3_RETRIES
    return OpenedFolder(file_system, root.rstrip("/"), kind, float(timeout))


def _merged(defaults: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(defaults)
    for key, value in options.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def _make_http_timeout(options: dict[str, Any]) -> None:
    import aiohttp

    client = dict(options["client_kwargs"])
    if isinstance(client["timeout"], Mapping):
        client["timeout"] = aiohttp.ClientTimeout(**client["timeout"])
    options["client_kwargs"] = client
