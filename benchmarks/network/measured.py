"""What one way of sending came to: bytes by who counted them, and seconds."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.network.places import Network


@dataclass(frozen=True)
class Bytes:
    """Bytes by direction.

    Attributes:
        up: sent by devices.
        down: sent by the fog node.
    """

    up: int = 0
    down: int = 0

    @property
    def total(self) -> int:
        """Both."""
        return self.up + self.down

    def __add__(self, other: "Bytes") -> "Bytes":
        return Bytes(self.up + other.up, self.down + other.down)

    def __sub__(self, other: "Bytes") -> "Bytes":
        return Bytes(self.up - other.up, self.down - other.down)


@dataclass(frozen=True)
class Crossed:
    """What crossed the radio, as it was counted outside the program.

    Attributes:
        wire: all that the links' sockets carried.
        again: segments that were lost and sent again, not among ``wire``.
        files: of it what the servers gave and took as contents of files.
        ssh: of it what SSH and SFTP made around those.
        ssh_connections: that were opened.
        http_answers: of it bodies that are no file's contents: listings, errors.
        http_headers: of it all else of HTTP.
        http_requests: that were made.
    """

    wire: Bytes
    again: Bytes
    files: Bytes
    ssh: int
    ssh_connections: int
    http_answers: int
    http_headers: int
    http_requests: int

    @property
    def overhead(self) -> int:
        """Of the protocols."""
        return self.wire.total - self.files.total


class Meter:
    """Reads links and servers, and says what crossed since it was made.

    Args:
        network: whose.
        among_devices: both directions are devices' own: what they send each other.
    """

    def __init__(self, network: Network, *, among_devices: bool = False) -> None:
        self._network = network
        self._among_devices = among_devices
        self._before = self._read()

    def crossed(self) -> Crossed:
        """What crossed since."""
        now = {name: value - self._before[name] for name, value in self._read().items()}
        ssh = now["ssh up"] + now["ssh down"] - now["ssh files up"] - now["ssh files down"]
        told = now["http told"]
        headers = now["http up"] + now["http down"] - now["http files up"] - now["http files down"] - told

        def both(what: str) -> Bytes:
            found = Bytes(*(now[f"ssh {what}{way}"] + now[f"http {what}{way}"] for way in ("up", "down")))
            return Bytes(found.total, 0) if self._among_devices else found

        return Crossed(
            wire=both(""),
            again=both("again "),
            files=both("files "),
            ssh=ssh,
            ssh_connections=now["ssh connections"],
            http_answers=told,
            http_headers=headers,
            http_requests=now["http asked"],
        )

    def _read(self) -> Mapping[str, int]:
        links, sftp, s3 = self._network.links, self._network.sftp.counts(), self._network.s3.counts()
        found: dict[str, int] = {}

        def add(name: str, value: int) -> None:
            found[name] = found.get(name, 0) + value

        for kind in ("ssh", "http"):
            for what in ("", "again ", "files "):
                add(f"{kind} {what}up", 0)
                add(f"{kind} {what}down", 0)
        for name in ("ssh connections", "http told", "http asked"):
            add(name, 0)
        for name, count in links.counts().items():
            if name in self._network.by_sftp:  # the fog node opens, the device's server answers
                add("ssh down", count.there)
                add("ssh up", count.back)
                add("ssh again down", count.there_again)
                add("ssh again up", count.back_again)
                add("ssh files up", sftp[name].given)
                add("ssh files down", sftp[name].taken)
                add("ssh connections", count.connections)
            else:  # the device opens, the server beside the fog node answers
                add("http up", count.there)
                add("http down", count.back)
                add("http again up", count.there_again)
                add("http again down", count.back_again)
                port = str(links.ports[name])
                if port in s3:
                    add("http files up", s3[port].taken)
                    add("http files down", s3[port].given)
                    add("http told", s3[port].told)
                    add("http asked", s3[port].asked)
        return found


@dataclass(frozen=True)
class Measured:
    """One way of sending, measured.

    Attributes:
        way: its name.
        frames: that were captured.
        captured_bytes: of their pictures, labels left out.
        crossed: counted outside the program.
        program: what the program says: pictures and labels, shards and manifests, acknowledgements.
        upload_seconds: until the fog node had taken what the devices captured; zero without a fog node.
        deliver_seconds: from then on, fits left out, until the last device had everything.
        payload_bytes: of all frames' payloads, each once; ``None`` where pictures are sent as they were captured.
        fit_seconds: of one core, for all frames.
        background_db: mean PSNR outside the boxes.
        object_db: mean PSNR over the union of the boxes.
    """

    way: str
    frames: int
    captured_bytes: int
    crossed: Crossed
    program: Bytes
    upload_seconds: float
    deliver_seconds: float
    payload_bytes: int | None = None
    fit_seconds: float | None = None
    background_db: float | None = None
    object_db: float | None = None

    @property
    def seconds(self) -> float:
        """On the radio, until all have everything."""
        return self.upload_seconds + self.deliver_seconds

    @property
    def disagreement(self) -> float:
        """By which share of the program's own bytes of files those counted outside differ, in the worse direction."""
        pairs = ((self.crossed.files.up, self.program.up), (self.crossed.files.down, self.program.down))
        return max(abs(outside - inside) / max(inside, 1) for outside, inside in pairs if outside or inside)
