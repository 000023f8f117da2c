"""Ways to bring every device's frames to all the others, over the same links and the same servers.

=================  ====================================================================================
device to device   every device puts its files into the inboxes of all the others
relayed            the fog node takes them once, and sends each file as captured to the others
encoded            the whole pipeline: ingestion, encoding with a preset, shards, acknowledgements
=================  ====================================================================================

Each checks at the end, in the devices' own processes, that every device has exactly what the others captured.
"""

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from benchmarks.network.devices import DeviceProcess, running_devices
from benchmarks.network.fits import Fits, Progress
from benchmarks.network.fog import FogNode, payload_bytes
from benchmarks.network.measured import Bytes, Measured, Meter
from benchmarks.network.pictures import Captures
from benchmarks.network.places import Network
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import pack_frame
from rinr.decoder import decode
from rinr.folders import spread
from rinr.labels import image_id
from rinr.presets import Preset
from storage.fleet import Fleet, Fog
from storage.fleet_file import fleet_toml
from storage.shards.keyring import Keyring
from storage.store import Store

DECODED = 12
"""Frames that every device decodes at the end; of all of them the payloads are compared."""


class NetworkError(RuntimeError):
    """A device has not what it should have; the message says which and what."""


@dataclass(frozen=True)
class Site:
    """One way's own folders, fleet and devices.

    Attributes:
        way: its name; lower-case letters, digits and hyphens.
        network: servers and links.
        captures: what each device captured.
        folder: where the fog node's things and the devices' homes lie.
        fog: the fog node.
        devices: processes by name.
    """

    way: str
    network: Network
    captures: Sequence[Captures]
    folder: Path
    fog: FogNode
    devices: Mapping[str, DeviceProcess]

    def captured(self, name: str) -> Path:
        """The folder in which a device has what it captured."""
        if name in self.network.by_sftp:
            return Path(self.network.of_device(self.way, name, "storage").url)
        return self.folder / name / "captures"

    def all_at_once(self, work: Callable[[str], object]) -> None:
        """Do something for every device, all at the same time."""
        with ThreadPoolExecutor(len(self.devices)) as pool:
            list(pool.map(work, self.devices))

    def upload(self) -> Bytes:
        """Bring what was captured to the fog node: it fetches by SFTP, and devices put into S3; what was brought."""
        self.all_at_once(self._upload)
        reports = self.fog.ingest()
        refused = [note for report in reports for note in report.notes if report.refused]
        if refused or sum(report.new for report in reports) != sum(len(one.pictures) for one in self.captures):
            raise NetworkError(f"the fog node has not taken all pictures: {reports}")
        labels = sum(len(data) for one in self.captures for name, data in one.files.items() if name not in one.pictures)
        return Bytes(sum(report.bytes for report in reports) + labels, 0)

    def _upload(self, name: str) -> None:
        if name not in self.network.by_sftp:
            self.devices[name].ask("upload", self.captured(name), self.network.across(self.way, name, "storage"))


@contextmanager
def site(way: str, network: Network, captures: Sequence[Captures], folder: Path) -> Iterator[Site]:
    """Lay out folders, keys and fleet files for one way, put what was captured on the devices, and start them.

    Args:
        way: its name.
        network: servers and links.
        captures: what each device captured.
        folder: what lies in it is removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    network.prepare(way)
    keys = Keyring(folder / "keys")
    signs = keys.new("fog").text
    known, files = [], {}
    for name in network.names:
        home = folder / name / "home"
        keyring = Keyring(home / "keys")
        keyring.trust(signs, "fog")
        public = keyring.new(name).text
        known.append(network.described(way, name, home, for_fog=True, public_key=public))
        own = network.described(way, name, home, for_fog=False, public_key=public)
        files[name] = folder / name / "fleet.toml"
        files[name].write_text(fleet_toml(Fleet(devices=(own,))))
    fleet = Fleet(devices=tuple(known), fog=Fog(keyring=str(keys.folder)))
    (folder / "fleet.toml").write_text(fleet_toml(fleet))
    with running_devices(files) as devices:
        made = Site(way, network, captures, folder, FogNode(fleet, Store(str(folder / "store"))), devices)
        for one in captures:
            place = made.captured(one.device)
            place.mkdir(parents=True, exist_ok=True)
            for name, data in one.files.items():
                (place / name).write_bytes(data)
        yield made


def device_to_device(here: Site) -> Measured:
    """Every device sends all its files to all the others; nobody stands between them."""
    network, way = here.network, here.way
    meter = Meter(network, among_devices=True)
    start = time.monotonic()

    def send(name: str) -> None:
        others = [network.across(way, other, "inbox") for other in network.names if other != name]
        here.devices[name].ask("scatter", here.captured(name), others, f"{name}-")

    here.all_at_once(send)
    seconds = time.monotonic() - start
    crossed = meter.crossed()
    _check_files(
        here, {name: here.devices[name].ask("collect", network.at_server(way, name, "inbox")) for name in here.devices}
    )
    sent = (len(network.names) - 1) * _bytes(here.captures)
    return Measured(way, *_captured(here), crossed, Bytes(sent, 0), 0.0, seconds)


def relayed(here: Site) -> Measured:
    """The fog node takes every file once, and sends it as it is to all the others."""
    network, way = here.network, here.way
    meter = Meter(network)
    start = time.monotonic()
    program = here.upload()
    taken = time.monotonic()
    held: dict[str, dict[str, str]] = {}

    def reach(name: str) -> None:
        inbox = network.of_fog(way, name, "inbox").folder
        for one in here.captures:
            if one.device != name:
                for file, data in one.files.items():
                    inbox.write(f"{one.device}-{file}", data)
        held[name] = here.devices[name].ask("collect", network.of_device(way, name, "inbox"))

    here.all_at_once(reach)
    seconds = time.monotonic() - taken
    crossed = meter.crossed()
    _check_files(here, held)
    program += Bytes(0, (len(network.names) - 1) * _bytes(here.captures))
    return Measured(way, *_captured(here), crossed, program, taken - start, seconds)


def encoded(here: Site, preset: Preset, fits: Fits, progress: Progress | None = None) -> Measured:
    """The pipeline: taken once, encoded at the fog node, and sent as networks (or as a codec's files) to the others.

    Raises:
        NetworkError: a device has not received what it should have.
    """
    meter = Meter(here.network)
    start = time.monotonic()
    program = here.upload()
    taken = time.monotonic()
    images = here.fog.encode(preset, fits, progress)
    ready = time.monotonic()
    last = ready

    def received(name: str) -> None:
        nonlocal last
        here.devices[name].ask("receive")
        last = time.monotonic()

    reports = here.fog.deliver(preset, received)
    crossed = meter.crossed()
    acknowledgements = sum((here.folder / name / "home" / "acknowledgement").stat().st_size for name in here.devices)
    program += Bytes(acknowledgements, sum(report.bytes for report in reports))
    _check_frames(here, images)
    frames, size = _captured(here)
    backgrounds = [image.background_db for image in images if image.background_db is not None]
    objects = [image.object_db for image in images if image.object_db is not None]
    return Measured(
        way=here.way,
        frames=frames,
        captured_bytes=size,
        crossed=crossed,
        program=program,
        upload_seconds=taken - start,
        deliver_seconds=last - ready,
        payload_bytes=payload_bytes(images),
        fit_seconds=sum(image.fit_seconds for image in images),
        background_db=mean(backgrounds) if backgrounds else None,
        object_db=mean(objects) if objects else None,
    )


def _check_files(here: Site, held: Mapping[str, Mapping[str, str]]) -> None:
    for name in here.network.names:
        expected = {
            f"{one.device}-{file}": hashlib.sha256(data).hexdigest()
            for one in here.captures
            if one.device != name
            for file, data in one.files.items()
        }
        if held[name] != expected:
            raise NetworkError(f"{name} holds {len(held[name])} files and should hold {len(expected)}, or others")


def _check_frames(here: Site, images: Sequence[EncodedImage]) -> None:
    """Every device holds the payloads of all others' frames, and decodes some of them to the fog node's pixels."""
    own = {one.device: {image_id(data) for data in one.pictures.values()} for one in here.captures}
    made = {image.image_id: hashlib.sha256(pack_frame(image.frame)).hexdigest() for image in images}
    some = spread(sorted(images, key=lambda image: image.image_id), DECODED)
    pixels = {image.image_id: hashlib.sha256(decode(image.frame).tobytes()).hexdigest() for image in some}
    for device in here.devices.values():
        device.order("holdings")
    for name, device in here.devices.items():
        if device.answer() != {one: payload for one, payload in made.items() if one not in own[name]}:
            raise NetworkError(f"{name} does not hold what the others captured, payload for payload")
        device.order("decoded", list(pixels))
    for name, device in here.devices.items():
        if device.answer() != {one: found for one, found in pixels.items() if one not in own[name]}:
            raise NetworkError(f"{name} decodes other pixels than the fog node")


def _bytes(captures: Sequence[Captures]) -> int:
    return sum(len(data) for one in captures for data in one.files.values())


def _captured(here: Site) -> tuple[int, int]:
    """Pictures, and their bytes."""
    sizes = [len(data) for one in here.captures for data in one.pictures.values()]
    return len(sizes), sum(sizes)
