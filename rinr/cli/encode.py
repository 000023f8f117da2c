"""``rinr encode``: a folder of labelled JPEGs to payload files or into a weight store."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from rinr.accelerator import torch_device
from rinr.cli.console import (
    EXIT_CODES,
    SOME_REFUSED,
    decibels,
    device_name,
    exit_code_of,
    fail,
    note,
    out,
    progress_bar,
    safe_stem,
    stoppable,
    undisturbed,
)
from rinr.cli.store_access import open_store
from rinr.codec.encoded import EncodedImage
from rinr.encoder import GROUP
from rinr.encoder import encode as encode_frames
from rinr.folders import FolderError, LabelledFolder, labelled_folders
from rinr.frames import Frame, ImageError
from rinr.metrics import mean_db
from rinr.outcome import Outcome, check_searchable
from rinr.payload_folder import PayloadFolder
from rinr.pool import EncoderPool, cores
from rinr.presets import PRESETS, Preset, encoding_id, find_preset

if TYPE_CHECKING:
    from storage.store import Store

FILES_SECONDS, STORE_SECONDS = 2.0, 5.0
"""Frames that take about so long are fitted and written together: what a stop in the middle costs at most."""

POOL_PAYS_SECONDS = 15.0
"""With so much left to do, further processes are started, which take seconds to be ready."""


def encode(
    folder: Annotated[Path, typer.Argument(help="JPEGs with an annotations.json (COCO), or sub-folders of such.")],
    preset: Annotated[str, typer.Option(help=f"One of: {', '.join(p.name for p in PRESETS)}.")] = "balanced",
    store: Annotated[str | None, typer.Option(help="URL or folder of the weight store to commit to.")] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Write one payload file (.rinr) an image here; needs no store."),
    ] = None,
    object_db: Annotated[
        float | None,
        typer.Option(help="PSNR inside the boxes, in dB, that each image should reach.", show_default=False),
    ] = None,
    background_db: Annotated[
        float | None, typer.Option(help="PSNR outside the boxes, in dB, likewise.", show_default=False)
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(
            help="Bytes an image may take. Beside a dB target it is a cap, which wins; alone, it is spent.",
            show_default=False,
        ),
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Seconds the search may take an image; what comes out then depends on the machine.", show_default=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to fit: auto, cpu or cuda.")] = "auto",
    jobs: Annotated[
        int, typer.Option(min=0, help="Processes that fit on the CPU where there is much to do; 0: one a core.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Encode labelled JPEGs as implicit neural representations.

    Asked by outcome (--object-db, --background-db, --max-bytes, --max-seconds), each image gets the coarsest networks
    that do it, starting from the preset's; what was picked and why stands in its row, or in DIR/encoded.jsonl.

    Finished images are kept whatever happens: the same command goes on from there, and encodes again only what is new
    or is asked for differently.
    """
    if (store is None) == (out_dir is None):
        raise fail("give either --store URL or --out DIR", code=2)
    try:
        chosen, place = find_preset(preset), torch_device(device)
        outcome = Outcome(background_db, object_db, max_bytes, max_seconds)
        if outcome.asks:
            check_searchable(chosen)
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    job = _Job(chosen, outcome, place, jobs or cores())
    where = f"rows in {store}" if store is not None else f"payload files in {out_dir}"
    try:
        with stoppable():
            if store is not None:
                _into_store(folders, open_store(store), job)
            else:
                assert out_dir is not None
                _into_files(folders, out_dir, job)
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
        raise fail(
            f"{error.filename or out_dir or store}: {error.strerror or error}; what is finished is kept"
        ) from None
    if as_json:
        print(json.dumps(asdict(_totals(job)) | {"refused": job.refused}))
    else:
        _say(job, where)
    if job.refused:
        note(f"{job.refused} refused, see above; everything else is encoded")
        raise typer.Exit(SOME_REFUSED)


encode.__doc__ = f"{cleandoc(encode.__doc__ or '')}\n\n{EXIT_CODES[:-1]}; 130 stopped by Ctrl-C, 143 by SIGTERM."


@dataclass
class _Job:
    """What is to be done, and how far it is.

    Attributes:
        frames: to be looked at in all.
        passed: of them, those that are done with.
        kept: that were there already.
        refused: files that are not taken.
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

    @property
    def encoding_id(self) -> str:
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


def _into_files(folders: Sequence[LabelledFolder], out_dir: Path, job: _Job) -> None:
    """One ``.rinr`` a source; those that are there already, of the same picture, labels and settings, are kept."""
    files = [(folder, file) for folder in folders for file in folder.files]
    payloads = PayloadFolder(out_dir)
    taken: set[str] = set()
    work: list[tuple[str, Frame]] = []
    job.frames = len(files)

    def finish() -> None:
        for (name, _), image in zip(work, batches.run([frame for _, frame in work], job, tell), strict=True):
            with undisturbed():
                payloads.put(name, image)
                job.encoded.append(image)
            job.passed += 1
        work.clear()

    with _Batches(FILES_SECONDS, job) as batches, progress_bar(f"encoding {len(files)} frames") as tell:
        for folder, file in files:
            image_id, labels_id = folder.ids(file)
            name = f"{safe_stem(file.name, image_id)}.rinr"
            below = "" if len(folders) == 1 else f"{device_name(folder.name)}/"
            name = below + (f"{image_id}.rinr" if below + name in taken else name)
            if payloads.holds(name, (image_id, labels_id, job.encoding_id)):
                taken.add(name)
                job.kept += 1
                job.passed += 1
                continue
            try:
                frame = folder.frame(file)
            except ImageError as error:
                note(f"refused: {error}")
                job.refused += 1
                job.passed += 1
                continue
            for text in frame.notes:
                note(f"{file}: {text}")
            taken.add(name)
            work.append((name, frame))
            if len(work) >= batches.size:
                finish()
        if work:
            finish()


def _into_store(folders: Sequence[LabelledFolder], store: "Store", job: _Job) -> None:
    """Ingest every folder as a device and commit what the store lacks."""
    from storage.devices import DeviceError
    from storage.fleet import Device
    from storage.ingestion import ingest, read_frame
    from storage.landing import sweep
    from storage.quarantine import cases
    from storage.store import StoreError

    names = [device_name(folder.name) for folder in folders]
    if len(set(names)) < len(names):
        raise fail(f"the sub-folders' names do not differ as device names: {', '.join(names)}; rename them")
    places = {name: str(f.path.resolve()) for name, f in zip(names, folders, strict=True)}
    # Nothing is delivered to these devices and nothing runs on them: of their places only the storage is used. Nor is
    # anything still being written there: what is broken is said now.
    devices = {
        name: Device(name=name, storage=place, inbox=place, home=place, settle=0.0) for name, place in places.items()
    }
    try:
        for name, device in devices.items():
            report = ingest(device, store)
            job.refused += report.refused
            for text in report.notes:
                note(f"{name}: {text}")
        for case in cases(store) if job.refused else ():
            if case.standing == "open":
                note(f"refused: {case.refusal.device}: {case.refusal.reason}")
        pending = [item for item in store.missing(job.encoding_id) if item.device in devices]
        job.frames = len(pending)
        with _Batches(STORE_SECONDS, job) as batches, progress_bar(f"encoding {len(pending)} frames") as tell:
            while pending:
                batch, pending = pending[: batches.size], pending[batches.size :]
                images = batches.run([read_frame(item, store.url, devices) for item in batch], job, tell)
                with undisturbed():
                    store.append(images)
                    job.encoded += images
                job.passed += len(images)
        sweep(store, job.encoding_id)
    except (StoreError, DeviceError, ImageError) as error:
        raise fail(str(error)) from None


class _Batches:
    """Encodes batches, says how large the next should be to take about so many seconds, and, where much is left to do,
    calls in the other cores."""

    def __init__(self, seconds: float, job: _Job) -> None:
        self.seconds = seconds
        # An accelerator fits a whole group in little more than the time of one frame.
        self.size = 1 if job.device == "cpu" else GROUP
        self._pool: EncoderPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stopped: Any) -> None:
        if self._pool:
            self._pool.__exit__(*stopped)

    def run(self, frames: Sequence[Frame], job: _Job, tell: Callable[[int, int], None]) -> list[EncodedImage]:
        """Encode one batch."""
        started = time.perf_counter()
        images = job.encode(frames, tell, self._pool)
        if frames and job.device == "cpu":
            each = max(time.perf_counter() - started, 1e-9) / len(frames)
            if self._pool is None and job.jobs > 1 and each * (job.frames - job.passed) > POOL_PAYS_SECONDS:
                self._pool = EncoderPool(job.jobs)
            self.size = min(max(int(self.seconds / each), 1), 2 * self.size, GROUP)
        return images


@dataclass(frozen=True)
class _Totals:
    images: int
    kept: int
    bytes_total: int
    background_db: float | None
    object_db: float | None
    fit_seconds: float
    fell_short: int


def _totals(job: _Job) -> _Totals:
    encoded = job.encoded
    return _Totals(
        images=len(encoded),
        kept=job.kept,
        bytes_total=sum(image.frame.bytes_total for image in encoded),
        background_db=mean_db(image.background_db for image in encoded),
        object_db=mean_db(image.object_db for image in encoded),
        fit_seconds=sum(image.fit_seconds for image in encoded),
        fell_short=sum(not job.outcome.met_by(image) for image in encoded),
    )


def _say(job: _Job, where: str) -> None:
    totals = _totals(job)
    if not totals.images:
        out.print(f"nothing new to encode; {where}", soft_wrap=True)
        return
    kept = f" ({totals.kept} more were there already)" if totals.kept else ""
    out.print(
        f"{totals.images} frames encoded{kept}, {totals.bytes_total / totals.images:,.0f} bytes a frame, "
        f"background {decibels(totals.background_db)}, object {decibels(totals.object_db)}, "
        f"{totals.fit_seconds:.1f} s of fitting; {where}",
        soft_wrap=True,
    )
    if totals.fell_short:
        note(f"{totals.fell_short} of them fell short of what was asked: `stopped` says which and why")
