"""Trying what a fleet file says of a device: every URL, credential, label file and clock.

Nothing on a device is changed but that a small hidden file is put and removed where writing is needed.
"""

import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rinr.frames import ImageError, check_picture
from rinr.labels import LabelError, parse_coco
from rinr.voc import parse_voc
from rinr.yolo import parse_classes, parse_yolo
from storage.credentials import CredentialError, Secrets, environment, resolve
from storage.devices import DeviceError, DeviceStorage, Listing, time_of
from storage.fleet import Device, Fog
from storage.folder import Folder
from storage.outbox import Outbox, OutboxError
from storage.places.device_paths import safe_spelling
from storage.places.errors import told
from storage.shards.acknowledgement import AcknowledgementError, open_acknowledgement
from storage.shards.faults import KeyringError
from storage.shards.signing_key import signing_key

SECONDS = 60.0
"""Time for one device by default."""

SKEW = timedelta(seconds=60)
"""By how much a device's clock may be off."""

_AT_ONCE = 16
_LABEL_SAMPLES = 20  # files of one picture that are read
_ANY_SIZE = (1_000, 1_000)  # pixels; whether a YOLO file can be read does not depend on it
_MAX_TEXT = 1_000  # characters of one finding
_PROBE = ".rinr-probe-"
_EXTRAS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp", "http": "http", "https": "http"}


@dataclass(frozen=True)
class Finding:
    """Something wrong with a device.

    Attributes:
        field: of the fleet file, to which it belongs.
        what: is wrong, and what to do.
    """

    field: str
    what: str


@dataclass(frozen=True)
class DeviceCheck:
    """What trying a device came to.

    Attributes:
        device: its name.
        pictures: in its storage; ``None`` where it cannot be listed.
        labels: what was found of labels, in words; ``None`` where nothing could be.
        inbox: whether it can be listed and written.
        outbox: whether it can be read, and what is in it is the device's.
        findings: what is wrong; empty where all is well.
        notes: what is worth knowing and no fault.
        seconds: it took.
    """

    device: str
    pictures: int | None = None
    labels: str | None = None
    inbox: bool = False
    outbox: bool = False
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


def check_devices(
    devices: Sequence[Device],
    secrets: Secrets = environment,
    *,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] | None = None,
) -> list[DeviceCheck]:
    """Check several devices side by side; one that does not answer holds up no other.

    Args:
        devices: to check.
        secrets: gives their secrets.
        seconds: that one device may take.
        progress: called with devices done and devices in all.
    """
    waiting: queue.SimpleQueue[Device] = queue.SimpleQueue()
    finished: queue.SimpleQueue[DeviceCheck] = queue.SimpleQueue()
    started: dict[str, float] = {}
    done: dict[str, DeviceCheck] = {}

    def work() -> None:
        while True:
            try:
                device = waiting.get_nowait()
            except queue.Empty:
                return
            started[device.name] = time.monotonic()
            finished.put(check_device(device, secrets, seconds=seconds))

    def start_worker() -> None:
        # Not a pool: its end would wait for a thread that hangs in a dead network mount.
        threading.Thread(target=work, daemon=True).start()

    for device in devices:
        waiting.put(device)
    for _ in range(min(_AT_ONCE, len(devices))):
        start_worker()
    while len(done) < len(devices):
        try:
            check = finished.get(timeout=0.2)
        except queue.Empty:
            pass
        else:
            done.setdefault(check.device, check)
        now = time.monotonic()
        for name, began in list(started.items()):
            if name not in done and now - began > seconds:
                text = f"it has not answered in {seconds:g} s; see that it is up and reached from here"
                done[name] = DeviceCheck(name, findings=(Finding("storage", text),), seconds=now - began)
                start_worker()  # in place of the one that hangs
        if progress:
            progress(len(done), len(devices))
    return [done[device.name] for device in devices]


def check_fog(fog: Fog, secrets: Secrets = environment) -> Finding | None:
    """What is wrong with the fog node's own part of the file: whether there is a key that signs."""
    try:
        signing_key(fog, secrets)
    except (KeyringError, CredentialError) as error:
        return Finding("fog.keyring" if fog.signing_key is None else "fog.signing_key", _plain(str(error)[:_MAX_TEXT]))
    return None


def check_device(device: Device, secrets: Secrets = environment, *, seconds: float = SECONDS) -> DeviceCheck:
    """Try everything that the fleet file says of a device; never raises for what is wrong with it."""
    began = time.monotonic()
    limits = {"timeout": seconds}
    device = device.model_copy(
        update={
            "storage_options": limits | device.storage_options,
            "inbox_options": limits | device.inbox_options,
            "outbox_options": limits | device.outbox_options,
        }
    )
    trial = _Trial(device, secrets)
    try:
        trial.run()
    except Exception as error:
        trial.wrong("storage", f"{type(error).__name__}: {error}")
    return DeviceCheck(
        device.name,
        trial.pictures,
        trial.labels,
        trial.inbox,
        trial.outbox,
        tuple(trial.findings),
        tuple(trial.notes),
        time.monotonic() - began,
    )


@dataclass
class _Trial:
    """One device being tried, and what was found so far."""

    device: Device
    secrets: Secrets
    pictures: int | None = None
    labels: str | None = None
    inbox: bool = False
    outbox: bool = False
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        device = self.device
        if self._opens("storage", device.storage, device.storage_options):
            storage = DeviceStorage(device, self.secrets)
            try:
                listing = storage.list()
            except DeviceError as error:
                self.wrong("storage", str(error))
            else:
                self.pictures = len(listing.pictures)
                self._try_sample(storage, listing)
                self._try_labels(storage, listing)
                self._try_times(listing)
            if device.after != "keep":
                self._try_writing("after", Folder(device.storage, device.storage_options, self.secrets))
        if self._opens("inbox", device.inbox, device.inbox_options):
            self.inbox = self._try_writing("inbox", Folder(device.inbox, device.inbox_options, self.secrets))
        if self._opens("outbox", device.outbox, device.outbox_options):
            self.outbox = self._try_outbox()
        if device.public_key is None:
            self.notes.append("what it sends is believed unsigned; `rinr keys new` on it prints its `public_key`")
        self.notes.append(f"its home {device.home} is a folder of the device, and is not looked at from here")

    def wrong(self, name: str, what: str) -> None:
        self.findings.append(Finding(name, _plain(what[:_MAX_TEXT])))

    def _try_outbox(self) -> bool:
        """Whether what the device says can be read; it need not have said anything yet."""
        device = self.device
        try:
            data = Outbox(device.outbox, device.outbox_options, self.secrets).read_acknowledgement()
            if data is not None:
                open_acknowledgement(data, device)
        except (OutboxError, AcknowledgementError) as error:
            self.wrong("outbox", str(error))
        else:
            return True
        return False

    def _opens(self, name: str, url: str, options: dict[str, Any]) -> bool:
        """Whether the secrets are there and the URL's client is installed and connects."""
        try:
            resolve(options, self.secrets)
        except CredentialError as error:
            self.wrong(f"{name}_options", str(error))
            return False
        scheme = url.split("://", 1)[0] if "://" in url else "file"
        try:
            _ = Folder(url, options, self.secrets).file_system
        except ImportError as error:
            extra = _EXTRAS.get(scheme)
            install = f"pip install 'residual-inr[{extra}]'" if extra else "install that package"
            self.wrong(name, f"{url} needs a package that is not installed ({error}): {install}")
        except TypeError as error:
            self.wrong(f"{name}_options", f"an option is not known or wrong: {error}")
        except ValueError as error:
            self.wrong(name, f"{url} is not understood: {error}; check the URL and its options")
        except Exception as error:
            self.wrong(
                name, f"{url} cannot be connected to: {told(error)}; see that it is up, and check URL and credentials"
            )
        else:
            return True
        return False

    def _try_sample(self, storage: DeviceStorage, listing: Listing) -> None:
        settled = datetime.now(UTC) - timedelta(seconds=self.device.settle)
        regular = [file for file in listing.pictures if file.regular]
        if not regular:
            self.notes.append("there is no picture in its storage yet")
            return
        sample = next((file for file in reversed(regular) if file.modified <= settled), regular[0])
        try:
            check_picture(storage.read(sample.path))
        except DeviceError as error:
            self.wrong("storage", str(error))
        except ImageError as error:
            self.wrong("storage", f"the sample {safe_spelling(sample.path)} is no picture: {error}; look at the file")

    def _try_labels(self, storage: DeviceStorage, listing: Listing) -> None:
        place = self.device.labels
        if not listing.pictures:
            return
        if place.format == "coco":
            self._try_coco(storage, listing)
            return
        suffix = ".txt" if place.format == "yolo" else ".xml"
        below = f"{place.path}/" if place.path else ""
        found = [path for path in listing.others if path.startswith(below) and path.endswith(suffix)]
        classes: Sequence[str] = ()
        if place.format == "yolo":
            found = [path for path in found if path != place.classes]
            classes = self._try_classes(storage, listing)
        self.labels = f"{place.format}: {len(found):,} {suffix} files"
        for path in found[:_LABEL_SAMPLES] if classes or place.format == "voc" else ():
            try:
                data = storage.read_label(path)
                _ = parse_voc(data) if place.format == "voc" else parse_yolo(data, classes, _ANY_SIZE)
            except (DeviceError, LabelError) as error:
                self.wrong("labels", f"{safe_spelling(path)}: {error}")
                break
        if not found:
            where = f"the folder {place.path}" if place.path else "its storage"
            self.wrong("labels", f"no {suffix} file is in {where}; check `labels`, or put the labels there")

    def _try_classes(self, storage: DeviceStorage, listing: Listing) -> Sequence[str]:
        """The names of YOLO's classes; none where they cannot be read."""
        classes = self.device.labels.classes or ()
        if not isinstance(classes, str):
            return classes
        if classes not in listing.others:
            self.wrong("labels", f"the file of class names {classes} is not there; put it into the storage")
            return ()
        try:
            return parse_classes(storage.read_label(classes))
        except (DeviceError, LabelError) as error:
            self.wrong("labels", f"{classes}: {error}")
            return ()

    def _try_coco(self, storage: DeviceStorage, listing: Listing) -> None:
        path = self.device.labels.path
        if path not in listing.others:
            self.wrong("labels", f"{path} is not in its storage; put the COCO file there, or check `labels`")
            return
        try:
            labels = parse_coco(storage.read_label(path))
        except (DeviceError, LabelError) as error:
            self.wrong("labels", f"{path}: {error}")
            return
        boxes = sum(len(entry.boxes) for entry in labels.values())
        self.labels = f"coco: {len(labels):,} images, {boxes:,} boxes"

    def _try_times(self, listing: Listing) -> None:
        newest = listing.pictures[-1].modified if listing.pictures else None
        ahead = newest - datetime.now(UTC) if newest else timedelta()
        if ahead > SKEW:
            self.wrong(
                "storage",
                f"its newest picture is {_spoken(ahead)} in the future; set the device's clock, best by NTP",
            )

    def _try_writing(self, name: str, folder: Folder) -> bool:
        """Whether a probe can be put and removed, and the clock behind it is right."""
        if not folder.writable:
            why = "HTTP only reads; give a URL that can be written" if name == "inbox" else "HTTP only reads; keep"
            self.wrong(name, f"{folder.url} cannot be written: {why}")
            return False
        probe = f"{_PROBE}{uuid.uuid4().hex[:8]}"
        try:
            folder.names()
            folder.write(probe, b"rinr fleet check\n")
            try:
                there = time_of(folder.info(probe))
                skew = there - datetime.now(UTC)
            finally:
                folder.delete([probe])
        except Exception as error:  # clients of remote stores raise what they like
            self.wrong(name, f"{folder.url} cannot be listed and written: {told(error)}; see that you may write there")
            return False
        if abs(skew) > SKEW and there.year > 1970:  # some storage keeps no times
            way = "ahead of" if skew > timedelta() else "behind"
            self.wrong(name, f"the clock of {folder.url} is {_spoken(abs(skew))} {way} ours; set both by NTP")
        return True


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} seconds"
