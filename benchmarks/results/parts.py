"""Which benchmark writes which record, and how long it takes."""

from dataclasses import dataclass

NEEDS_FRAMES = "needs real frames: RINR_DATA names no folder"


@dataclass(frozen=True)
class Part:
    """One benchmark as `make results` runs it.

    Attributes:
        record: what it writes.
        module: of this project.
        arguments: its settings; those of short parts are smaller than the defaults where that is said in the record.
        minutes: on two quiet cores, about.
        long: left to `make results-long`.
        real_frames: it is not run without ``RINR_DATA``: on the sample its number would be another claim's.
        missing: why there is no record where there never was one.
    """

    record: str
    module: str
    arguments: tuple[str, ...] = ()
    minutes: float = 1
    long: bool = False
    real_frames: bool = True
    missing: str = "not run yet"

    @property
    def command(self) -> str:
        """As it is typed."""
        recorded = () if "--record" in self.arguments else ("--record",)
        return " ".join(("python -m", self.module, *self.arguments, *recorded))


_ACCURACY = "a,e,b,b@dropped,b@patched@dropped,c,d-webp@patched@dropped,fast@patched@dropped"

_CONTROLS_SIREN = ("--frames", "1", "--preset", "siren", "--preset", "fast", "--record", "controls_siren")
_CONTROLS_FINE = ("--frames", "1", "--preset", "fine", "--record", "controls_fine")
_TRAINING = ("--preset", "balanced", "--preset", "instant", "--rounds", "7")

PARTS: tuple[Part, ...] = (
    Part("network", "benchmarks.network", ("--frames", "6", "--slow-frames", "2"), 20),
    Part("uploads", "benchmarks.uploads", minutes=4),
    Part("slider", "benchmarks.slider", minutes=2, real_frames=False),
    Part("curves", "benchmarks.sample_curves", minutes=2, real_frames=False),
    Part("grouping", "benchmarks.grouping", minutes=3, real_frames=False),
    Part("decode_speed", "benchmarks.decode_speed", minutes=3),
    Part("fit_speed", "benchmarks.fit_speed", ("--frames", "3", "--parts", "presets,cores,instant"), 4),
    Part("controls", "benchmarks.controls", ("--frames", "1", "--preset", "balanced"), 14),
    Part("training_speed", "benchmarks.training_speed", _TRAINING, 10),
    Part("ingestion", "benchmarks.ingestion", ("--known", "20000"), 4),
    Part("delivery", "benchmarks.delivery", ("--rows", "100000"), 3, real_frames=False),
    Part("idle_pipeline", "benchmarks.idle_pipeline", ("--images", "20", "--rounds", "3"), 3, real_frames=False),
    Part("network_others", "benchmarks.network", ("--others", "--frames", "4"), 30, True),
    Part("controls_siren", "benchmarks.controls", _CONTROLS_SIREN, 30, True),
    Part("controls_fine", "benchmarks.controls", _CONTROLS_FINE, 30, True),
    Part("store", "benchmarks.store", minutes=60, long=True),
    Part("dask_scaling", "benchmarks.dask_scaling", ("--batch", "64"), 40, True),
    Part("clips", "benchmarks.clips", minutes=120, long=True),
    Part("accuracy", "benchmarks.accuracy", ("--work", ".accuracy", "--arms", _ACCURACY, "--seeds", "5"), 240, True),
    Part(
        "training_speed_gpu", "benchmarks.training_speed", ("--device", "cuda", "--cores", "2"), 10, True,
        missing="needs a GPU, of which none was at hand",
    ),
)  # fmt: skip

BY_RECORD = {part.record: part for part in PARTS}
LONG = frozenset(part.record for part in PARTS if part.long)
