"""The flows' parameters as types: what the form in the pages shows, and the bounds that it enforces.

The form shows titles and descriptions but no bounds, so that each description says its own in words.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.batches import LARGEST, LARGEST_AUTOMATIC
from tasks.cluster_settings import ClusterSettings


def _field(title: str, description: str, **bounds: Any) -> Any:
    # Prefect writes its own title and description over a field's, but not over what stands in the schema's extras.
    return Field(json_schema_extra={"title": title, "description": description}, **bounds)


FleetFile = Annotated[
    str,
    _field(
        min_length=1,
        title="Fleet file",
        description="Full path of the TOML file that lists the devices, on the machine of the fog worker, for "
        "example `/srv/rinr/fleet.toml`.",
    ),
]

DeviceName = Annotated[
    str,
    _field(
        min_length=1,
        max_length=63,
        title="Device",
        description="Name of the device as the fleet file has it. The run must be put on that device's work queue.",
    ),
]

StoreUrl = Annotated[
    str,
    _field(
        min_length=1,
        title="Weight store",
        description="Full path or URL of the weight store, for example `/srv/rinr/store` or `s3://weights/store`. It "
        "is made where there is none.",
    ),
]

KeepHours = Annotated[
    float,
    _field(
        ge=1,
        le=24 * 366,
        title="Keep for hours",
        description="How many hours files stay that a compaction replaced or a killed writer left behind, 1 to 8784 (a "
        "year). Whoever reads the store for longer than this with one handle may find files gone; as far back can the "
        "store be read as it was. 168 is a week.",
    ),
]

PresetChoice = Literal[
    "fleet", "balanced", "clip", "cheapest", "instant", "small", "fine", "siren", "fast", "paper", "paper-clip"
]

PresetName = Annotated[
    PresetChoice,
    _field(
        title="Preset",
        description="How images are encoded. `fleet`: as the fleet file says in `[fog]`, `balanced` where it says "
        "nothing. `balanced`: small, about 25 dB of background and 32 dB of objects, a fraction of a second an image "
        "on one core. `clip`: the same quality, what a camera took in one go encoded together where that takes fewer"
        " bytes. `cheapest`: the same quality by networks, JPEG, WebP or AVIF, image by image whatever takes the "
        "fewest bytes, ten times as slow; the fleet file can ask it for dB. `instant`: as `balanced` in tens of "
        "milliseconds, 5 percent larger. `small`: two thirds of the bytes, 3 dB worse objects. `fine`: near 35 "
        "dB, twenty times the bytes. `siren` and `fast`: sine networks in place of cosine ones, 5 and 1 seconds. "
        "`paper`: the networks and the 10,000 steps of the Residual-INR paper, an hour an image without an "
        "accelerator; `paper-clip`: its NeRV, one network a clip.",
    ),
]

Limit = Annotated[
    int | None,
    _field(
        ge=1,
        title="Images at most",
        description="Take at most this many new images from each device in this run, 1 or more, the oldest first. "
        "Empty takes as many as the fleet file says of each device, or all.",
    ),
]

BatchSize = Annotated[
    int,
    _field(
        ge=0,
        le=LARGEST,
        title="Images a batch",
        description="Images that are encoded and committed together, 1 to "
        f"{LARGEST}. 0 splits evenly over the workers, at most {LARGEST_AUTOMATIC} a batch. With the preset `clip` a "
        "batch holds what a camera took in one go, up to a clip's length however small batches are.",
    ),
]

Cluster = Annotated[
    ClusterSettings,
    _field(
        title="Dask cluster",
        description="Where to encode, chosen in one way: as it is, on this machine with one process a core or GPU; at "
        "the address of a scheduler that is up already; or on a cluster that a class starts for the time of the run.",
    ),
]

Epochs = Annotated[
    int,
    _field(
        ge=1,
        le=1000,
        title="Epochs",
        description="How often each device goes over its images in training, 1 to 1000.",
    ),
]

Seed = Annotated[
    int,
    _field(
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Seed of the training, 0 to 2147483647. The same images, settings and seed give the same model.",
    ),
]

TorchDevice = Annotated[
    Literal["auto", "cpu", "cuda"],
    _field(
        title="Accelerator",
        description="Where to fit, or to decode and train: `cuda` on an NVIDIA GPU, `cpu` on the processor, `auto` on "
        "the GPU where there is one.",
    ),
]

Patience = Annotated[
    float,
    _field(
        ge=0,
        le=7 * 24 * 60,
        title="Wait for the devices, minutes",
        description="How many minutes the devices may take to train before the run counts as failed, at most 10080 (a "
        "week). A device whose run has not started after a tenth of it counts as away. 0 does not wait: the devices "
        "train when they are there, and their own runs say how it went. Scheduled runs have 0.",
    ),
]

ReportFolder = Annotated[
    str,
    _field(
        title="Report folder",
        description="Full path of a folder on the machine of the fog worker in which `report.json` and `mosaic.png` "
        "are written. Empty writes no files; the tables and pictures stand as artifacts on the run either way.",
    ),
]
