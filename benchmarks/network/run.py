"""One set of frames through all ways of sending, each with the codec control that is as good."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.network import paper, report
from benchmarks.network.control import MeasuredQuality, Quality, Say, cheapest, quality
from benchmarks.network.fits import Fits
from benchmarks.network.measured import Measured
from benchmarks.network.pictures import Captures
from benchmarks.network.places import Network
from benchmarks.network.shrinking import Originals, shrunk, uploads_told
from benchmarks.network.ways import Site, device_to_device, encoded, relayed, site
from benchmarks.records import Value
from rinr.codec.encoded import EncodedImage
from rinr.folders import LABELS_FILE, spread
from rinr.frames import Frame, working_frame
from rinr.labels import parse_coco
from rinr.presets import Preset, find_preset

RELAYED = "jpeg_fog"
"""The captured files, relayed by the fog node."""

SHRUNK = "shrunk"
"""`balanced` with uploads shrunk at the device."""

WAYS = (RELAYED, "balanced", SHRUNK, "paper", "siren", "cheapest", "fine")
"""All ways but device to device; ours by their presets."""

SLOW = ("siren",)
"""Those that may be given fewer frames."""

WHOLE_FITS = 2_000
"""Steps from which on fits of the paper's shapes are as good as after the released code's 10,000."""


@dataclass
class Run:
    """One set of frames on its way.

    Attributes:
        network: servers and links.
        captures: what each device captured.
        folder: for the ways' own folders.
        fits: keeps what is encoded.
        say: told what is done.
        told: told what was measured.
        name: of the set of frames; lower-case letters, digits and hyphens.
        slow_frames: a device, for the ways that are slow to fit; as many as for the others without it.
        paper_steps: of the fits of the paper's shapes.
        values: what was measured.
    """

    network: Network
    captures: Sequence[Captures]
    folder: Path
    fits: Fits
    say: Say
    told: Say
    name: str = ""
    slow_frames: int | None = None
    paper_steps: int = 200
    values: dict[str, Value] = field(default_factory=dict)

    def measure(self, ways: Iterable[str]) -> None:
        """Send the frames each of some ways, in their order; device to device is always among them, and first."""
        self.direct = self._send(report.DIRECT, self.captures, device_to_device)
        self._keep(report.DIRECT, self.direct)
        for name in ways:
            if name == RELAYED:
                self._keep(RELAYED, self._send(RELAYED, self.captures, relayed))
            elif name == SHRUNK:
                self._measure_shrunk()
            else:
                self._measure_ours(name)

    def _measure_ours(self, name: str) -> None:
        try:
            preset = paper.shapes_preset(self.paper_steps) if name == "paper" else find_preset(name)
        except ValueError:
            self.say(f"{name}: there is no such preset")
            return
        captures = self.captures
        if name in SLOW and self.slow_frames is not None:
            captures = [fewer(one, self.slow_frames) for one in captures]
        part = _bytes(captures) / _bytes(self.captures)
        self._keep(name, self._encoded(name, captures, preset), part)
        frames = frames_of(captures)
        images = self.fits.encode(frames, preset)
        if name == "balanced":
            self.values |= paper.of_classes(images)
        if name == "paper":
            self.values |= paper.with_raw_bytes(self.values, images, len(self.network.names) - 1)
            if self.paper_steps < WHOLE_FITS:
                self.say("paper: its quality is not that of whole fits, so no control is as good")
                return
        if name == "cheapest":
            self.values["cheapest.mixture"] = mixture(images)
        self._measure_control(name, captures, frames, quality(images), part)

    def _measure_shrunk(self) -> None:
        """`balanced` from uploads that were shrunk at the device; its quality is against the frames as captured."""
        uploads = [shrunk(one, self.folder / "shrinking" / one.device) for one in self.captures]
        preset, frames = find_preset("balanced"), frames_of(uploads)
        originals = Originals(frames_of(self.captures), frames, self.fits)
        self._keep(SHRUNK, self._encoded(SHRUNK, uploads, preset))
        found = originals.quality(preset, frames)
        self._keep_quality(SHRUNK, found)
        share = _bytes(uploads) / _bytes(self.captures)
        self.values[f"{SHRUNK}.upload_share"] = share
        self.values[f"{SHRUNK}.uploads"] = uploads_told()
        self.values[f"{SHRUNK}.relative_size"] = self._value(SHRUNK, "relative_size") * share
        control = self._measure_control(SHRUNK, uploads, frames, found, measured=originals.quality)
        if control is not None:
            self._keep_quality(report.CONTROLS[SHRUNK], originals.quality(control, frames))

    def _keep_quality(self, name: str, found: Quality) -> None:
        self.values |= {f"{name}.background_db": found.background_db, f"{name}.object_db": found.object_db}

    def _measure_control(
        self,
        name: str,
        captures: Sequence[Captures],
        frames: Sequence[Frame],
        asked: Quality,
        part: float = 1.0,
        measured: MeasuredQuality | None = None,
    ) -> Preset | None:
        """The control that is as good as ours, by the same way; ``None`` where none is."""
        preset = cheapest(frames, asked, 2 * self._value(name, "frame_bytes"), self.fits, self.say, measured)
        control = report.CONTROLS[name]
        if preset is None:
            self.say(f"no control is as good as {name}")
            return None
        self._keep(control, self._encoded(control, captures, preset), part)
        self.values[f"{control}.preset"] = preset.name
        for key, of in (("over_best_control", "bytes"), ("down_over_best_control", "files_down")):
            self.values[f"{name}.{key}"] = self._value(control, of) / self._value(name, of)
        return preset

    def _encoded(self, name: str, captures: Sequence[Captures], preset: Preset) -> Measured:
        def told(done: int, total: int) -> None:
            self.say(f"{name}: {done} of {total} frames fitted")

        return self._send(name, captures, lambda here: encoded(here, preset, self.fits, told))

    def _send(self, name: str, captures: Sequence[Captures], send: Callable[[Site], Measured]) -> Measured:
        self.say(f"{name}: sending")
        way = "-".join(filter(None, (self.name, name.replace("_", "-"))))
        with site(way, self.network, captures, self.folder / way) as here:
            return send(here)

    def _value(self, name: str, key: str) -> float:
        value = self.values[f"{name}.{key}"]
        assert isinstance(value, int | float)
        return value

    def _keep(self, name: str, measured: Measured, part: float = 1.0) -> None:
        found = report.of_way(measured, self.direct, part=part)
        self.values |= {f"{name}.{key}": value for key, value in found.items()}
        self.told(f"{name}: {found['bytes']:,} bytes, {found['ratio']:.2f} times fewer, {found['seconds']:.0f} s")


def fewer(captures: Captures, count: int) -> Captures:
    """Some of a device's pictures, evenly spread; the labels stay whole."""
    kept = spread(sorted(captures.pictures), count)
    return replace(
        captures, files={name: data for name, data in captures.files.items() if name in (*kept, LABELS_FILE)}
    )


def mixture(images: Sequence[EncodedImage]) -> str:
    """How many images each family was picked for, in words."""
    counts = Counter(image.family for image in images)
    return ", ".join(f"{count} {family}" for family, count in counts.most_common())


def frames_of(captures: Sequence[Captures]) -> list[Frame]:
    """The working frames of what was captured, as the fog node makes them."""
    found = []
    for one in captures:
        labels = parse_coco(one.files[LABELS_FILE])
        found += [working_frame(data, labels.get(name)) for name, data in sorted(one.pictures.items())]
    return found


def _bytes(captures: Sequence[Captures]) -> int:
    return sum(len(data) for one in captures for data in one.pictures.values())
