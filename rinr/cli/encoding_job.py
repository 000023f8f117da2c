"""What ``rinr encode`` and ``rinr clip encode`` have in common: how far they are, and what they say in the end."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from rinr.cli.console import decibels, device_name, exit_code_of, fail, note, out, safe_stem, stoppable
from rinr.codec.encoded import EncodedImage
from rinr.encoder import encode as encode_frames
from rinr.folders import LabelledFolder
from rinr.frames import Frame
from rinr.metrics import mean_db
from rinr.outcome import Outcome
from rinr.pool import EncoderPool
from rinr.presets import Preset, encoding_id


@dataclass(frozen=True)
class DoneClip:
    """Frames that were encoded together, or next to each other alone.

    Attributes:
        frames: how many.
        first: the first one's name.
        last: likewise.
        part: the shared part that they need, in hexadecimal; ``None``: they stand alone.
        bytes_frames: of their payloads.
        bytes_part: of the shared part; zero where an earlier clip's serves them.
        reasons: in words, why they are a clip or stand alone.
        background_db: the mean.
        object_db: likewise.
        bytes_alone: what the same frames take one by one, where that was asked.
    """

    frames: int
    first: str
    last: str
    part: str | None
    bytes_frames: int
    bytes_part: int
    reasons: tuple[str, ...]
    background_db: float | None
    object_db: float | None
    bytes_alone: int | None = None


@dataclass
class Job:
    """What is to be done, and how far it is.

    Attributes:
        frames: to be looked at in all.
        passed: of them, those that are done with.
        kept: that were there already.
        refused: files that are not taken.
        encoded: what was added.
        clips: likewise, where the preset makes clips.
    """

    preset: Preset
    outcome: Outcome
    device: str
    jobs: int
    frames: int = 0
    passed: int = 0
    kept: int = 0
    refused: int = 0
    encoded: list[EncodedImage] = field(default_factory=list)
    clips: list[DoneClip] = field(default_factory=list)

    @property
    def encoding_id(self) -> str:
        """Of the settings and what was asked."""
        return encoding_id(self.preset, self.outcome)

    def encode(
        self, frames: Sequence[Frame], tell: Callable[[int, int], None], pool: EncoderPool | None
    ) -> list[EncodedImage]:
        """Encode a batch; progress is told in thousandths of a frame."""

        def progress(done: int, of: int) -> None:
            tell(1_000 * self.passed + 1_000 * len(frames) * done // max(of, 1), 1_000 * self.frames)

        if pool:
            return pool.encode(frames, self.preset, outcome=self.outcome, progress=progress)
        return encode_frames(frames, self.preset, outcome=self.outcome, device=self.device, progress=progress)


@contextmanager
def goes_on(job: Job, where: str, place: str) -> Iterator[None]:
    """Say what is kept where encoding fails or is stopped in the block.

    Args:
        job: how far it is.
        where: finished images are kept, in words.
        place: named where a file cannot be written.
    """
    try:
        with stoppable():
            yield
    except RuntimeError as error:
        raise fail(f"{error}; what is finished is kept") from None
    except KeyboardInterrupt as stop:
        kept = len(job.encoded) + job.kept
        of = f" of {job.frames}" if job.frames else ""
        note(f"stopped: {kept}{of} frames are kept as {where}; the same command goes on from there")
        raise typer.Exit(exit_code_of(stop)) from None
    except FloatingPointError as error:
        raise fail(str(error)) from None
    except OSError as error:
        raise fail(f"{error.filename or place}: {error.strerror or error}; what is finished is kept") from None


def payload_name(folder: LabelledFolder | None, file: Path, image_id: str, taken: Collection[str]) -> str:
    """What the payload of a captured file is called, relative to the folder of payloads.

    Args:
        folder: that the file lies in, where there are several.
        file: the captured JPEG.
        image_id: its hash.
        taken: names of payloads of other files.
    """
    below = "" if folder is None else f"{device_name(folder.name)}/"
    name = f"{below}{safe_stem(file.name, image_id)}.rinr"
    return f"{below}{image_id}.rinr" if name in taken else name


@dataclass(frozen=True)
class Totals:
    """Sums and means over what a command has added.

    Attributes:
        images: that were encoded.
        kept: that were there already.
        bytes_total: of all payloads that were written, shared parts of clips included.
        background_db: the mean.
        object_db: likewise.
        fit_seconds: in all.
        fell_short: of what was asked.
    """

    images: int
    kept: int
    bytes_total: int
    background_db: float | None
    object_db: float | None
    fit_seconds: float
    fell_short: int


def totals(job: Job) -> Totals:
    """What was added so far."""
    encoded = job.encoded
    return Totals(
        images=len(encoded),
        kept=job.kept,
        bytes_total=sum(image.frame.bytes_total for image in encoded) + sum(clip.bytes_part for clip in job.clips),
        background_db=mean_db(image.background_db for image in encoded),
        object_db=mean_db(image.object_db for image in encoded),
        fit_seconds=sum(image.fit_seconds for image in encoded),
        fell_short=sum(not job.outcome.met_by(image) for image in encoded),
    )


def say(job: Job, where: str) -> None:
    """The same in a sentence, with what became of clips.

    Args:
        job: that is done.
        where: things are now, in words.
    """
    summed = totals(job)
    if not summed.images:
        out.print(f"nothing new to encode; {where}", soft_wrap=True)
        return
    kept = f" ({summed.kept} more were there already)" if summed.kept else ""
    out.print(
        f"{summed.images} frames encoded{kept}, {summed.bytes_total / summed.images:,.0f} bytes a frame, "
        f"background {decibels(summed.background_db)}, object {decibels(summed.object_db)}, "
        f"{summed.fit_seconds:.1f} s of fitting; {where}",
        soft_wrap=True,
    )
    if summed.fell_short:
        note(f"{summed.fell_short} of them fell short of what was asked: `stopped` says which and why")
    together = [clip for clip in job.clips if clip.part is not None]
    if together:
        out.print(
            f"{len(together)} clips of {sum(clip.frames for clip in together)} frames; "
            f"{sum(clip.frames for clip in job.clips) - sum(clip.frames for clip in together)} frames stand alone",
            soft_wrap=True,
        )
