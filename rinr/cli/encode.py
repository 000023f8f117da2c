"""``rinr encode``: a folder of labelled JPEGs to payload files or into a weight store."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from rinr.accelerator import torch_device
from rinr.cli.clip_encode import clips_into_files, clips_into_store
from rinr.cli.console import EXIT_CODES, SOME_REFUSED, device_name, fail, note, progress_bar, undisturbed
from rinr.cli.encoding_job import Job, goes_on, payload_name, say, totals
from rinr.cli.store_access import open_store
from rinr.codec.encoded import EncodedImage
from rinr.encoder import GROUP
from rinr.folders import FolderError, LabelledFolder, labelled_folders
from rinr.frames import Frame, ImageError
from rinr.outcome import Outcome, check_searchable
from rinr.payload_folder import PayloadFolder
from rinr.pool import EncoderPool, cores
from rinr.presets import PRESETS, find_preset

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

    With the preset clip, frames of a folder that resemble each other are encoded together: see rinr clip.

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
            if chosen.clip:
                raise ValueError(f"no outcome can be asked of clips; give another preset than {chosen.name}")
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    job = Job(chosen, outcome, place, jobs or cores())
    where = f"rows in {store}" if store is not None else f"payload files in {out_dir}"
    with goes_on(job, where, str(out_dir or store)):
        if store is not None:
            _into_store(folders, open_store(store), job)
        elif out_dir is not None and chosen.clip:
            clips_into_files(folders, out_dir, job)
        elif out_dir is not None:
            _into_files(folders, out_dir, job)
    if as_json:
        print(json.dumps(asdict(totals(job)) | {"refused": job.refused}))
    else:
        say(job, where)
    if job.refused:
        note(f"{job.refused} refused, see above; everything else is encoded")
        raise typer.Exit(SOME_REFUSED)


encode.__doc__ = f"{cleandoc(encode.__doc__ or '')}\n\n{EXIT_CODES[:-1]}; 130 stopped by Ctrl-C, 143 by SIGTERM."


def _into_files(folders: Sequence[LabelledFolder], out_dir: Path, job: Job) -> None:
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
            name = payload_name(folder if len(folders) > 1 else None, file, image_id, taken)
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


def _into_store(folders: Sequence[LabelledFolder], store: "Store", job: Job) -> None:
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
        if job.preset.clip:
            clips_into_store(pending, store, devices, job)
            pending = []
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

    def __init__(self, seconds: float, job: Job) -> None:
        self.seconds = seconds
        # An accelerator fits a whole group in little more than the time of one frame.
        self.size = 1 if job.device == "cpu" else GROUP
        self._pool: EncoderPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stopped: Any) -> None:
        if self._pool:
            self._pool.__exit__(*stopped)

    def run(self, frames: Sequence[Frame], job: Job, tell: Callable[[int, int], None]) -> list[EncodedImage]:
        """Encode one batch."""
        started = time.perf_counter()
        images = job.encode(frames, tell, self._pool)
        if frames and job.device == "cpu":
            each = max(time.perf_counter() - started, 1e-9) / len(frames)
            if self._pool is None and job.jobs > 1 and each * (job.frames - job.passed) > POOL_PAYS_SECONDS:
                self._pool = EncoderPool(job.jobs)
            self.size = min(max(int(self.seconds / each), 1), 2 * self.size, GROUP)
        return images
