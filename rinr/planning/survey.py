"""What a plan measures: a sample encoded with ours and with the controls, uploads, decoding, a step of training."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rinr.clip_encoder import encode_clips
from rinr.folders import LabelledFolder
from rinr.frames import Frame, ImageError
from rinr.metrics import frame_psnr, mean_db
from rinr.outcome import Outcome
from rinr.planning.controls import Target, search_controls
from rinr.planning.encoding import Bench, Encode, Measured, Trial, Uploads, encode_here, measured, shrunk
from rinr.planning.sample import FolderSample
from rinr.presets import Preset, find_preset
from rinr.weights import parts_of

SMALLER_UPLOADS = "avif:50"
"""Uploads that a plan with captured JPEGs looks at beside them."""

MOST_CLIP_FRAMES = 24
"""Neighbouring frames that clips are tried on."""

Tell = Callable[[str, int, int | None], None]
"""Told what is done now, how much of it is done, and of how much."""


class NothingMeetsError(ValueError):
    """What was asked is met by neither ours nor any control; the message says what is the best possible."""


@dataclass(frozen=True)
class Survey:
    """What was measured, each over the same frames, clips over neighbouring ones.

    Attributes:
        sample: of the folder.
        uploads: what devices upload.
        ours: encoded by the fog from the uploads.
        controls: the cheapest of each codec that is no worse than ours, and of all where another is cheaper still.
        sent_directly: the cheapest control, encoded by devices from what they captured.
        policy: a preset that picks a family for each image.
        clips: ours where neighbours are encoded together.
        train_seconds: of a picture and epoch in a training of the reference detector.
        smaller_uploads: as :data:`SMALLER_UPLOADS`, where uploads are captured JPEGs.
    """

    sample: FolderSample
    uploads: Uploads
    ours: Measured
    controls: tuple[Measured, ...]
    sent_directly: Measured | None
    policy: Measured | None = None
    clips: Measured | None = None
    train_seconds: float | None = None
    smaller_uploads: Uploads | None = None

    @property
    def upload_share(self) -> float | None:
        """Bytes of smaller uploads as a part of captured JPEGs with their labels; ``None`` where not looked at."""
        if self.smaller_uploads is None:
            return None
        labels = self.sample.label_bytes
        return (self.smaller_uploads.picture_bytes + labels) / (self.sample.picture_bytes + labels)


@dataclass(frozen=True)
class Ways:
    """What is to be measured.

    Attributes:
        ours: the preset of ours.
        outcome: what is asked of each image, by ours; controls then have to be as good as ours came out.
        upload: the codec preset of uploads; ``None``: captured JPEGs.
        policy: a preset that picks a family for each image; ``None`` where there is none.
        clips: the preset of clips; ``None``: not measured.
        training: whether a step of training is timed.
    """

    ours: Preset
    outcome: Outcome
    upload: Preset | None = None
    policy: Preset | None = None
    clips: Preset | None = None
    training: bool = True


def survey(sample: FolderSample, ways: Ways, tell: Tell, encode: Encode = encode_here) -> Survey:
    """Measure a sample.

    Args:
        sample: the frames.
        ways: what is to be measured.
        tell: is told how far it is.
        encode: encodes frames, here or elsewhere.

    Raises:
        NothingMeetsError: what was asked is met by nothing.
        FloatingPointError: a fit diverged.
        ValueError: a preset that cannot be used so.
    """
    frames = sample.frames
    uploads = _captured(sample)
    if ways.upload:
        tell(f"encoding uploads, {ways.upload.name}", 0, None)
        uploads = _with_quality(shrunk(frames, ways.upload, encode), frames)
    bench = Bench(frames, frames if ways.upload is None else uploads.frames, encode)
    tell(f"encoding {len(frames)} frames, {ways.ours.name}", 0, None)
    asked = ways.outcome if ways.outcome.asks else None
    trial = bench.trial(ways.ours, asked, partial(tell, f"encoding {len(frames)} frames, {ways.ours.name}"))
    ours = measured(trial, ways.ours, asked)
    target = _target(trial, ways.outcome)
    found = search_controls(bench, target, lambda done, total: tell("looking for the best controls", done, total))
    if found.cheapest is None and not target.met_by(ours.background_db, ours.object_db):
        raise NothingMeetsError(_best_possible(target, ours, found.best))
    chosen = list(found.of_codec.values())
    if found.cheapest and found.cheapest not in chosen:
        chosen.append(found.cheapest)
    controls = []
    for number, preset in enumerate(chosen):
        tell("encoding the best controls", number, len(chosen))
        controls.append(measured(bench.trial(preset), preset))
    directly = min(controls, key=lambda each: each.payload_bytes, default=None)
    if directly and ways.upload:
        directly = _directly(Bench(frames, frames, encode), target, tell)
    policy = None
    if ways.policy:
        each = partial(tell, f"encoding {len(frames)} frames, {ways.policy.name}")
        each(0, None)
        policy = measured(bench.trial(ways.policy, progress=each), ways.policy)
    clips = None
    if ways.clips:
        tell("encoding neighbouring frames as clips", 0, None)
        clips = measured_clips(max(sample.folders, key=lambda folder: len(folder.files)), ways.clips)
    tell("timing a step of training", 0, None)
    return Survey(
        sample=sample,
        uploads=uploads,
        ours=ours,
        controls=tuple(controls),
        sent_directly=directly,
        policy=policy,
        clips=clips,
        train_seconds=train_seconds(frames) if ways.training else None,
        smaller_uploads=None if ways.upload else shrunk(frames, find_preset(SMALLER_UPLOADS), encode),
    )


def measured_clips(folder: LabelledFolder, preset: Preset) -> Measured | None:
    """Neighbouring frames from the middle of a folder as clips; ``None`` where they cannot all be read."""
    files = folder.in_order()
    start = max(len(files) - MOST_CLIP_FRAMES, 0) // 2
    chosen = files[start : start + MOST_CLIP_FRAMES]
    try:
        frames = [folder.frame(file) for file, _ in chosen]
    except ImageError:
        return None
    clips = encode_clips(frames, [time for _, time in chosen], preset)
    images = [image for clip in clips for image in clip.images]
    parts = parts_of(clip.part for clip in clips if clip.part is not None)
    trial = Trial(images, mean_db(i.background_db for i in images), mean_db(i.object_db for i in images))
    return measured(trial, preset, parts=parts)


def train_seconds(frames: Sequence[Frame]) -> float | None:
    """Processor seconds of a picture and epoch of training the reference detector; ``None`` without labelled frames."""
    from rinr.training.canvas import canvas_size
    from rinr.training.detector import new_detector
    from rinr.training.jpegs import JpegDataset
    from rinr.training.train import TrainingSettings, train

    labelled = [frame for frame in frames if frame.boxes]
    if not labelled:
        return None
    pictures = JpegDataset(labelled, size=canvas_size([frame.size for frame in labelled]))
    ends: list[float] = []
    train(new_detector(0), pictures, TrainingSettings(epochs=2), lambda *_: ends.append(time.process_time()))
    return (ends[1] - ends[0]) / len(labelled)  # the first epoch warms up


def _captured(sample: FolderSample) -> Uploads:
    return Uploads("jpeg", sample.picture_bytes, sample.frames, 0.0)


def _with_quality(uploads: Uploads, frames: Sequence[Frame]) -> Uploads:
    pairs = [frame_psnr(f.pixels, u.pixels, f.boxes) for f, u in zip(frames, uploads.frames, strict=True)]
    return replace(uploads, background_db=mean_db(b for b, _ in pairs), object_db=mean_db(o for _, o in pairs))


def _target(trial: Trial, outcome: Outcome) -> Target:
    """As good as ours came out; where more was asked than ours reach, as good as was asked."""

    def least(got: float | None, asked: float | None) -> float | None:
        return got if got is None or asked is None else max(got, asked)

    return Target(
        least(trial.background_db, outcome.background_db),
        least(trial.object_db, outcome.object_db),
    )


def _directly(bench: Bench, target: Target, tell: Tell) -> Measured | None:
    """The cheapest control from captured pictures, where the fog has others."""
    found = search_controls(bench, target, lambda done, total: tell("looking for controls sent directly", done, total))
    return measured(bench.trial(found.cheapest), found.cheapest) if found.cheapest else None


def _best_possible(target: Target, ours: Measured, controls: Target) -> str:
    asked = [
        f"--{name} {want:.1f}: at best {_decibels(own)} with {ours.preset}, {_decibels(theirs)} with any image codec"
        for name, want, own, theirs in (
            ("background-db", target.background_db, ours.background_db, controls.background_db),
            ("object-db", target.object_db, ours.object_db, controls.object_db),
        )
        if want is not None and (own is None or own < want)
    ]
    return f"nothing meets what was asked over {sum(ours.families.values())} frames. {'; '.join(asked)}; ask for less"


def _decibels(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f} dB"
