"""Every deployment, work pool, queue and schedule by name, in one place; ``prefect.yaml`` is tested against it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from storage.fleet import Device

DECLARED = Path(__file__).with_name("prefect.yaml")
"""The file from which `prefect deploy` makes the deployments; it travels with this package."""

FOG_POOL = "fog"
"""The work pool of the fog node: all flows but the devices'."""

DEVICE_POOL = "devices"
"""The work pool of all devices; each device's worker reads the queue that has the device's name."""

STAGES_QUEUE = "stages"
"""The fog pool's queue for what moves images."""

UPKEEP_QUEUE = "upkeep"
"""The fog pool's queue for maintenance: a worker of its own, or a lower priority, can be given to it."""

UNNAMED_QUEUE = "no-device"
"""The device pool's queue for runs that name no device's queue: no worker reads it, and the page shows them waiting."""

TAG = "residual-inr"
"""The tag of all deployments and runs."""


@dataclass(frozen=True)
class Schedule:
    """When a deployment runs by itself.

    Attributes:
        slug: names the schedule within its deployment.
        cron: minute, hour, day, month, weekday, in UTC.
        parameters: of these runs, where they differ from the deployment's.
    """

    slug: str
    cron: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """One flow as it is deployed.

    Attributes:
        flow: name of the flow, of its module in this package, and of its deployment.
        pool: the work pool whose workers run it.
        queue: of that pool.
        places: parameters that the deployment fills in from the environment: ``fleet``, ``store``.
        at_once: runs at the same time at most; ``None`` leaves it to the workers.
        collision: what becomes of a run too many: it waits (``ENQUEUE``) or is cancelled (``CANCEL_NEW``).
        schedules: when it runs by itself.
    """

    flow: str
    pool: str
    queue: str
    places: tuple[str, ...]
    at_once: int | None = None
    collision: Literal["ENQUEUE", "CANCEL_NEW"] | None = None
    schedules: tuple[Schedule, ...] = ()

    @property
    def entrypoint(self) -> str:
        """Import path of the flow: the packages are installed wherever a worker runs."""
        return f"flows.{self.flow}.{self.flow}"

    @property
    def full_name(self) -> str:
        """``flow/deployment``, as Prefect's commands take it."""
        return f"{self.flow}/{self.flow}"

    @property
    def tags(self) -> tuple[str, ...]:
        """Of the deployment and of its runs."""
        return TAG, "device" if self.pool == DEVICE_POOL else "fog"

    @property
    def scheduled(self) -> bool:
        """Whether it also runs by itself."""
        return bool(self.schedules)


INGEST = Deployment("ingest", FOG_POOL, STAGES_QUEUE, ("fleet", "store"), 1, "ENQUEUE")
ENCODE = Deployment("encode", FOG_POOL, STAGES_QUEUE, ("fleet", "store"), 1, "ENQUEUE")
DELIVER = Deployment("deliver", FOG_POOL, STAGES_QUEUE, ("fleet", "store"), 1, "ENQUEUE")

# All devices share it, each with a queue and a worker of its own that does one run at a time.
DEVICE = Deployment("device", DEVICE_POOL, UNNAMED_QUEUE, ("fleet",))

# Two: one that somebody started may wait for the devices for an hour, and the schedule goes on meanwhile. Their stages
# take turns, so that nothing is done twice.
PIPELINE = Deployment(
    "pipeline",
    FOG_POOL,
    STAGES_QUEUE,
    ("fleet", "store"),
    2,
    "ENQUEUE",
    (Schedule("every-quarter-of-an-hour", "*/15 * * * *", {"patience": 0}),),
)

# A second run would find nothing to do, so that it need not wait.
MAINTAIN = Deployment(
    "maintain", FOG_POOL, UPKEEP_QUEUE, ("store",), 1, "CANCEL_NEW", (Schedule("hourly", "40 * * * *"),)
)

DEPLOYMENTS = (INGEST, ENCODE, DELIVER, DEVICE, PIPELINE, MAINTAIN)


def device_queue(device: Device) -> str:
    """The work queue that a device's worker reads."""
    return device.work_queue
