"""Clips of a folder's frames, written down one by one as they are finished: as files, or into a weight store."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rinr.cli.console import note, progress_bar, undisturbed
from rinr.cli.encoding_job import DoneClip, Job, payload_name
from rinr.clip_encoder import each_clip
from rinr.codec.clip import part_id
from rinr.codec.encoded import EncodedClip
from rinr.encoder import encode
from rinr.folders import LabelledFolder
from rinr.frames import Frame, ImageError
from rinr.metrics import mean_db
from rinr.payload_folder import Key, PayloadFolder

if TYPE_CHECKING:
    from storage.fleet import Device
    from storage.store import Store
    from storage.tables import Pending

WINDOW = 256
"""Frames that are held in memory, and searched for clips, at once."""

Tell = Callable[[int, int], None]


def clips_into_files(folders: Sequence[LabelledFolder], out_dir: Path, job: Job, *, alone: bool = False) -> None:
    """One ``.rinr`` a source and one ``.rinrp`` a shared part; what is there already of the same picture, labels and
    settings, its shared part beside it, is kept, and new frames may lie in what it shares.

    Args:
        folders: each of one camera.
        out_dir: where the files go.
        job: told of all that is done.
        alone: encode every frame alone as well, to say what that takes.
    """
    payloads, taken = PayloadFolder(out_dir), set[str]()
    job.frames = sum(len(folder.files) for folder in folders)
    with progress_bar(f"encoding {job.frames} frames") as tell:
        for folder in folders:
            sources = []
            for file, time in folder.in_order():
                image_id, labels_id = folder.ids(file)
                name = payload_name(folder if len(folders) > 1 else None, file, image_id, taken)
                taken.add(name)
                key = (image_id, labels_id, job.encoding_id)
                sources.append(_Source(folder, file, time, name, key, payloads.holds(name, key)))
            held = sum(source.held for source in sources)
            job.kept += held
            job.passed += held
            _one_camera(sources, payloads, job, tell, alone)


def clips_into_store(pending: Sequence["Pending"], store: "Store", devices: Mapping[str, "Device"], job: Job) -> None:
    """Encode what waits run by run, and commit each.

    Args:
        pending: what the store lacks.
        store: where to commit to.
        devices: that the images came from, by name.
        job: told of all that is done.
    """
    from storage.clip_runs import of_devices, packed, runs, seconds
    from storage.ingestion import read_frame
    from storage.known_parts import KnownParts

    clip = job.preset.clip
    assert clip is not None, "the preset makes clips"
    known = KnownParts(store, job.encoding_id)
    with progress_bar(f"encoding {job.frames} frames") as tell:
        for batch in packed(runs(pending, clip.most_gap), clip.most_frames, clip.most_frames):
            near = known.near(batch)
            for device, images in of_devices(batch).items():
                frames = [read_frame(item, store.url, devices) for item in images]
                names, parts = [item.path for item in images], near.get(device, ())
                for done in _clips(frames, [seconds(item) for item in images], names, parts, job, tell):
                    with undisturbed():
                        store.append([done.clip])
                        job.encoded += done.clip.images
                        job.clips.append(done.told)
                    known.committed(done.clip.images)
                    job.passed += len(done.names)


@dataclass(frozen=True)
class _Source:
    """One captured file.

    Attributes:
        time: in seconds, where known.
        name: of its payload.
        held: whether that is there already.
    """

    folder: LabelledFolder
    file: Path
    time: float | None
    name: str
    key: Key
    held: bool


@dataclass(frozen=True)
class _Done:
    names: Sequence[str]
    clip: EncodedClip
    told: DoneClip


def _one_camera(sources: Sequence[_Source], payloads: PayloadFolder, job: Job, tell: Tell, alone: bool) -> None:
    """Encode what is not there yet, a window of frames at a time."""
    lacking = [number for number, source in enumerate(sources) if not source.held]
    newest: bytes | None = None
    for start in range(0, len(lacking), WINDOW):
        window = lacking[start : start + WINDOW]
        before = _nearest_part(sources[: window[0]][::-1], payloads)
        after = _nearest_part(sources[window[-1] + 1 :], payloads)
        known = [part for part in dict.fromkeys((after, before, newest)) if part is not None]
        names, frames, times = [], [], []
        for number in window:
            source = sources[number]
            try:
                frame = source.folder.frame(source.file)
            except ImageError as error:
                note(f"refused: {error}")
                job.refused += 1
                job.passed += 1
                continue
            for text in frame.notes:
                note(f"{source.file}: {text}")
            names.append(source.name)
            frames.append(frame)
            times.append(source.time)
        for done in _clips(frames, times, names, known, job, tell, alone):
            with undisturbed():
                payloads.put_clip(done.names, done.clip)
                job.encoded += done.clip.images
                job.clips.append(done.told)
            job.passed += len(done.names)
            newest = done.clip.part or newest


def _nearest_part(sources: Sequence[_Source], payloads: PayloadFolder) -> bytes | None:
    """What the first of them shares that is there and of a clip."""
    parts = (payloads.part_of(source.name) for source in sources if source.held)
    return next((part for part in parts if part is not None), None)


def _clips(
    frames: Sequence[Frame],
    times: Sequence[float | None],
    names: Sequence[str],
    known: Sequence[bytes],
    job: Job,
    tell: Tell,
    alone: bool = False,
) -> Iterator[_Done]:
    """Each clip as it is finished; progress is told in thousandths of a frame."""
    passed, at = job.passed, 0

    def progress(done: int, of: int) -> None:
        tell(1_000 * passed + 1_000 * len(frames) * done // max(of, 1), 1_000 * job.frames)

    for clip in each_clip(frames, times, job.preset, known=known, device=job.device, progress=progress):
        mine = slice(at, at + len(clip.images))
        at = mine.stop
        yield _Done(names[mine], clip, _told(clip, names[mine], frames[mine] if alone else (), job))


def _told(clip: EncodedClip, names: Sequence[str], alone: Sequence[Frame], job: Job) -> DoneClip:
    images = clip.images
    one_by_one = encode(alone, replace(job.preset, clip=None), device=job.device) if alone else None
    return DoneClip(
        frames=len(images),
        first=names[0],
        last=names[-1],
        part=part_id(clip.part) if clip.part else next((one.part_id for one in images if one.part_id), None),
        bytes_frames=sum(image.frame.bytes_total for image in images),
        bytes_part=len(clip.part or b""),
        reasons=tuple(dict.fromkeys(image.clip for image in images if image.clip)),
        background_db=mean_db(image.background_db for image in images),
        object_db=mean_db(image.object_db for image in images),
        bytes_alone=None if one_by_one is None else sum(image.frame.bytes_total for image in one_by_one),
    )
