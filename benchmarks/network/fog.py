"""The fog node: what the flows' tasks call, in their order, for all devices at the same time.

=============  ==========================================================
flow           called here
=============  ==========================================================
ingest         :func:`storage.ingestion.ingest`
encode         ``Store.missing``, ``read_frame``, encode, ``Store.append``, :func:`storage.landing.sweep`
deliver        :func:`storage.delivery.candidates`, ``deliver``, and ``hear`` once the device has received
=============  ==========================================================

Prefect is left out: its server stands beside the fog node, and what devices' workers ask of it is no image's traffic.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.network.fits import Fits, Progress
from rinr.codec.encoded import EncodedImage
from rinr.presets import Preset, encoding_id
from storage.delivery import DeliveryReport, candidates, deliver, hear
from storage.fleet import Device, Fleet
from storage.ingestion import IngestReport, ingest, read_frame
from storage.intake.validation import Validator
from storage.landing import sweep
from storage.shards.signing_key import signing_key
from storage.store import Store

_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class FogNode:
    """A fog node.

    Attributes:
        fleet: the fleet as it sees it.
        store: its weight store.
    """

    fleet: Fleet
    store: Store

    def ingest(self) -> list[IngestReport]:
        """Take what all devices have."""
        with Validator() as validator:
            return self._each(lambda device: ingest(device, self.store, validator=validator))

    def encode(self, preset: Preset, fits: Fits, progress: Progress | None = None) -> list[EncodedImage]:
        """Encode what the store lacks."""
        devices = {device.name: device for device in self.fleet.devices}
        encoding = encoding_id(preset)
        frames = [read_frame(pending, self.store.url, devices) for pending in self.store.missing(encoding)]
        images = fits.encode(frames, preset, progress)
        self.store.append(images)
        sweep(self.store, encoding)
        return images

    def deliver(self, preset: Preset, received: Callable[[str], None]) -> list[DeliveryReport]:
        """Send each device what it lacks, let it receive, and hear what it says.

        Args:
            preset: of the encoding that is sent.
            received: called with a device's name when it was sent something; returns once that device has received.
        """
        offered, signer = candidates(self.store, encoding_id(preset)), signing_key(self.fleet.fog)

        def reach(device: Device) -> DeliveryReport:
            report = deliver(self.store, device, offered, signer)
            received(device.name)
            heard = hear(self.store, device)
            if len(heard.acknowledged) < len(report.sent):
                raise RuntimeError(f"{device.name} acknowledged {heard.acknowledged}, it was sent {report.sent}")
            return report

        return self._each(reach)

    def _each(self, work: Callable[[Device], _Answer]) -> list[_Answer]:
        with ThreadPoolExecutor(len(self.fleet.devices)) as pool:
            return list(pool.map(work, self.fleet.devices))


def payload_bytes(images: Sequence[EncodedImage]) -> int:
    """Of frames' payloads in all."""
    return sum(image.frame.bytes_total for image in images)
