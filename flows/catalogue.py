"""Every deployment, work pool and queue by name, in one place; ``prefect.yaml`` is tested against it."""

from dataclasses import dataclass

from storage.fleet import Device

FOG_POOL = "fog"
"""The work pool of the fog node: ingest, encode, deliver, pipeline and maintain."""

DEVICE_POOL = "devices"
"""The work pool of all devices; each device's worker reads the queue that has the device's name."""


@dataclass(frozen=True)
class Deployment:
    """One flow as it is deployed.

    Attributes:
        flow: name of the flow, of its module in this package, and of its deployment.
        pool: the work pool whose workers run it.
        scheduled: whether it also runs by itself.
    """

    flow: str
    pool: str
    scheduled: bool = False

    @property
    def entrypoint(self) -> str:
        """Import path of the flow: the packages are installed wherever a worker runs."""
        return f"flows.{self.flow}.{self.flow}"

    @property
    def full_name(self) -> str:
        """``flow/deployment``, as Prefect's commands take it."""
        return f"{self.flow}/{self.flow}"


INGEST = Deployment("ingest", FOG_POOL, scheduled=True)
ENCODE = Deployment("encode", FOG_POOL)
DELIVER = Deployment("deliver", FOG_POOL)
DEVICE = Deployment("device", DEVICE_POOL)
PIPELINE = Deployment("pipeline", FOG_POOL)
MAINTAIN = Deployment("maintain", FOG_POOL, scheduled=True)

DEPLOYMENTS = (INGEST, ENCODE, DELIVER, DEVICE, PIPELINE, MAINTAIN)


def device_queue(device: Device) -> str:
    """The work queue that a device's worker reads."""
    return device.work_queue
