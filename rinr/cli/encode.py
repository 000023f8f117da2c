"""``rinr encode``: a folder of labelled JPEGs to payload files or into a weight store."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rinr.accelerator import torch_device
from rinr.cli.console import (
    EXIT_CODES,
    SOME_REFUSED,
    decibels,
    device_name,
    fail,
    note,
    out,
    progress_bar,
    safe_stem,
)
from rinr.cli.store_access import open_store
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import pack_frame
from rinr.encoder import encode as encode_frames
from rinr.files import write_whole
from rinr.folders import FolderError, LabelledFolder, labelled_folders
from rinr.frames import Frame, ImageError
from rinr.metrics import mean_db
from rinr.presets import PRESETS, Preset, encoding_id, find_preset

if TYPE_CHECKING:
    from storage.store import Store

_Item = TypeVar("_Item")
_BATCH = 32
"""Frames that are fitted and committed together: what a stop in the middle costs at most."""


def encode(
    folder: Annotated[Path, typer.Argument(help="JPEGs with an annotations.json (COCO), or sub-folders of such.")],
    preset: Annotated[str, typer.Option(help=f"One of: {', '.join(p.name for p in PRESETS)}.")] = "fast",
    store: Annotated[str | None, typer.Option(help="URL or folder of the weight store to commit to.")] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Write one payload file (.rinr) an image here; needs no store."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where to fit: auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Encode labelled JPEGs as implicit neural representations."""
    if (store is None) == (out_dir is None):
        raise fail("give either --store URL or --out DIR", code=2)
    try:
        chosen, place = find_preset(preset), torch_device(device)
        folders = labelled_folders(folder)
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    if store is not None:
        encoded, refused = _into_store(folders, open_store(store), chosen, place)
    else:
        assert out_dir is not None
        encoded, refused = _into_files(folders, out_dir, chosen, place)
    where = f"rows in {store}" if store is not None else f"payload files in {out_dir}"
    if as_json:
        print(json.dumps(asdict(_totals(encoded)) | {"refused": refused}))
    else:
        _say(_totals(encoded), where)
    if refused:
        note(f"{refused} refused, see above; everything else is encoded")
        raise typer.Exit(SOME_REFUSED)


encode.__doc__ = f"{encode.__doc__}\n\n{EXIT_CODES}"


def _into_files(
    folders: Sequence[LabelledFolder], out_dir: Path, preset: Preset, device: str
) -> tuple[list[EncodedImage], int]:
    """One ``.rinr`` a source; returns what was encoded and how many files were refused."""
    files = [(folder, file) for folder in folders for file in folder.files]
    refused = 0
    encoded: list[EncodedImage] = []
    taken: set[Path] = set()
    with progress_bar(f"encoding {len(files)} frames") as tell:
        for start, batch in _batches(files):
            work: list[tuple[Path, Frame]] = []
            for folder, file in batch:
                try:
                    frame = folder.frame(file)
                except ImageError as error:
                    note(f"refused: {error}")
                    refused += 1
                    continue
                for text in frame.notes:
                    note(f"{file}: {text}")
                target = out_dir if len(folders) == 1 else out_dir / device_name(folder.name)
                path = target / f"{safe_stem(file.name, frame.image_id)}.rinr"
                path = target / f"{frame.image_id}.rinr" if path in taken else path
                taken.add(path)
                work.append((path, frame))
            share = _share(tell, start, len(batch), len(files))
            images = encode_frames([frame for _, frame in work], preset, device=device, progress=share)
            for (path, _), image in zip(work, images, strict=True):
                write_whole(path, pack_frame(image.frame))
            encoded += images
    return encoded, refused


def _into_store(
    folders: Sequence[LabelledFolder], store: "Store", preset: Preset, device: str
) -> tuple[list[EncodedImage], int]:
    """Ingest every folder as a device and commit what the store lacks; returns what was encoded and how many files
    were refused."""
    from storage.devices import DeviceError
    from storage.fleet import Device
    from storage.ingestion import ingest, read_frame
    from storage.landing import sweep
    from storage.store import StoreError

    names = [device_name(folder.name) for folder in folders]
    if len(set(names)) < len(names):
        raise fail(f"the sub-folders' names do not differ as device names: {', '.join(names)}; rename them")
    places = {name: str(f.path.resolve()) for name, f in zip(names, folders, strict=True)}
    refused = 0
    try:
        for name, place in places.items():
            report = ingest(Device(name=name, storage=place, inbox="", work_queue=name, home=""), store)
            refused += report.refused
            for text in report.notes:
                note(f"{name}: {text}")
        for row in store.quarantine().to_pylist() if refused else ():
            note(f"refused: {row['device']}: {row['path']}: {row['reason']}")
        pending = [item for item in store.missing(encoding_id(preset)) if item.device in places]
        encoded: list[EncodedImage] = []
        with progress_bar(f"encoding {len(pending)} frames") as tell:
            for start, batch in _batches(pending):
                frames = [read_frame(item, store.url, places) for item in batch]
                images = encode_frames(
                    frames, preset, device=device, progress=_share(tell, start, len(batch), len(pending))
                )
                store.append_images(images)
                encoded += images
        sweep(store, encoding_id(preset))
    except (StoreError, DeviceError, ImageError) as error:
        raise fail(str(error)) from None
    return encoded, refused


def _batches(items: Sequence[_Item]) -> Iterator[tuple[int, Sequence[_Item]]]:
    for start in range(0, len(items), _BATCH):
        yield start, items[start : start + _BATCH]


def _share(tell: Callable[[int, int], None], start: int, size: int, total: int) -> Callable[[int, int], None]:
    """Progress of one batch as a part of the whole, in thousandths of a frame."""
    return lambda done, of: tell(1_000 * start + 1_000 * size * done // max(of, 1), 1_000 * total)


@dataclass(frozen=True)
class _Totals:
    images: int
    bytes_total: int
    background_db: float | None
    object_db: float | None
    fit_seconds: float


def _totals(encoded: Sequence[EncodedImage]) -> _Totals:
    return _Totals(
        images=len(encoded),
        bytes_total=sum(image.frame.bytes_total for image in encoded),
        background_db=mean_db(image.background_db for image in encoded),
        object_db=mean_db(image.object_db for image in encoded),
        fit_seconds=sum(image.fit_seconds for image in encoded),
    )


def _say(totals: _Totals, where: str) -> None:
    if not totals.images:
        out.print(f"nothing new to encode; {where}")
        return
    out.print(
        f"{totals.images} frames encoded, {totals.bytes_total / totals.images:,.0f} bytes a frame, "
        f"background {decibels(totals.background_db)}, object {decibels(totals.object_db)}, "
        f"{totals.fit_seconds:.1f} s of fitting; {where}"
    )
