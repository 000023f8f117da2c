"""Where things lie: for each device a server of one of two kinds, and a link, on which a byte crosses the radio once.

::

    SFTP, the server on the device:    fog ──radio──▶ [link] ──▶ device's server ──▶ its folders ◀── device
    S3, the server beside the fog:     fog ──▶ server's buckets ◀── [link] ◀──radio── device
    device to device, either:          device ──radio──▶ [link] ──▶ the other's server ◀── the other

A place is seen by two: by who is at its server, without the link, and by who is not, through it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.network.links import RunningLinks, running_links
from benchmarks.network.radio import Shape
from benchmarks.network.servers import (
    KEY_VARIABLE,
    PASSWORD_VARIABLE,
    SECRET_VARIABLE,
    USER,
    RunningServers,
    credentials,
    s3_server,
    sftp_servers,
)
from storage.fleet import Device
from storage.folder import Folder


@dataclass(frozen=True)
class Spot:
    """A folder as one of those who use it sees it.

    Attributes:
        url: an fsspec URL or a local folder.
        options: for its file system, with references to secrets.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def folder(self) -> Folder:
        """It, opened when it is first used."""
        return Folder(self.url, self.options)


@dataclass(frozen=True)
class Network:
    """Running servers and links of some devices.

    Attributes:
        names: of the devices.
        by_sftp: those whose places lie behind SFTP; the others' lie in S3.
        root: local folder of what the SFTP servers show.
    """

    names: tuple[str, ...]
    by_sftp: frozenset[str]
    root: Path
    links: RunningLinks
    sftp: RunningServers
    s3: RunningServers

    def at_server(self, way: str, name: str, place: str) -> Spot:
        """A device's place as who is at its server sees it: not through the link.

        Args:
            way: of sending, which has places of its own.
            name: the device's.
            place: ``storage``, ``inbox`` or ``outbox``.
        """
        if name in self.by_sftp:
            return Spot(str(self.root / name / way / place), {})
        return self._in_s3(way, name, place, self.s3.ports["s3"])

    def across(self, way: str, name: str, place: str) -> Spot:
        """Likewise, through the link."""
        port = self.links.ports[name]
        if name not in self.by_sftp:
            return self._in_s3(way, name, place, port)
        options = {"password": {"env": PASSWORD_VARIABLE}, "known_hosts": str(self.root / "known_hosts"), "config": []}
        return Spot(f"sftp://{USER}@127.0.0.1:{port}/{way}/{place}", options)

    def of_fog(self, way: str, name: str, place: str) -> Spot:
        """Likewise, as the fog node sees it: beside it are the servers of S3."""
        return self.across(way, name, place) if name in self.by_sftp else self.at_server(way, name, place)

    def of_device(self, way: str, name: str, place: str) -> Spot:
        """Likewise, as the device itself sees it."""
        return self.at_server(way, name, place) if name in self.by_sftp else self.across(way, name, place)

    def prepare(self, way: str) -> None:
        """Make the folders and buckets of a way of sending."""
        for name in self.names:
            if name in self.by_sftp:
                for place in ("storage", "inbox", "outbox"):
                    (self.root / name / way / place).mkdir(parents=True)
            else:
                spot = self.at_server(way, name, "storage")
                spot.folder.file_system.mkdir(spot.url.split("/")[2])

    def described(self, way: str, name: str, home: Path, *, for_fog: bool, public_key: str | None = None) -> Device:
        """A device for the fog node's fleet file, or for its own."""
        spots = {
            place: (self.of_fog if for_fog else self.of_device)(way, name, place)
            for place in ("storage", "inbox", "outbox")
        }
        fields: dict[str, Any] = {place: spot.url for place, spot in spots.items()}
        fields |= {f"{place}_options": dict(spot.options) for place, spot in spots.items()}
        return Device(name=name, home=str(home), settle=0.0, public_key=public_key, **fields)

    def _in_s3(self, way: str, name: str, place: str, port: int) -> Spot:
        options = {
            "endpoint_url": f"http://127.0.0.1:{port}",
            "key": {"env": KEY_VARIABLE},
            "secret": {"env": SECRET_VARIABLE},
        }
        return Spot(f"s3://{way}-{name}/{place}", options)


@contextmanager
def running_network(names: Sequence[str], root: Path, shape: Shape) -> Iterator[Network]:
    """Servers and links for some devices, the first half of them behind SFTP.

    Args:
        names: of the devices.
        root: an empty folder, or none yet.
        shape: of the radio that all share.
    """
    by_sftp = names[: (len(names) + 1) // 2]
    folders = {name: root / name for name in by_sftp}
    for folder in folders.values():
        folder.mkdir(parents=True)
    # No credentials or settings of whoever runs this.
    os.environ.update(
        AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true"
    )
    with ExitStack() as stack:
        stack.enter_context(credentials())
        sftp = stack.enter_context(sftp_servers(folders, root / "known_hosts"))
        s3 = stack.enter_context(s3_server())
        targets = {name: sftp.ports.get(name, s3.ports["s3"]) for name in names}
        links = stack.enter_context(running_links(targets, shape))
        yield Network(tuple(names), frozenset(by_sftp), root, links, sftp, s3)
