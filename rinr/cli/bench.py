"""``rinr bench``: ours beside the controls, over the same frames in the same run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from rinr.accelerator import torch_device
from rinr.cli.console import fail, note, out, progress_bar
from rinr.clip_encoder import encode_clips
from rinr.codec.encoded import EncodedImage
from rinr.controls import CONTROLS, Coded, Row, compare, row
from rinr.curves import Curve, compared, controls, draw, ladder, point
from rinr.encoder import encode
from rinr.files import write_whole
from rinr.folders import FolderError, frames_of, labelled_folders
from rinr.frames import Frame
from rinr.neural_controls import direct, rapid, with_bytes
from rinr.presets import Preset, find_preset
from rinr.weights import parts_of


def bench(
    folders: Annotated[list[Path], typer.Argument(help="Folders of JPEGs with annotations.json.")],
    preset: Annotated[
        list[str] | None, typer.Option(help="How ours are encoded; may be given several times. Default: balanced.")
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames a folder at most, evenly spread.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    curves: Annotated[
        Path | None,
        typer.Option(help="Write rate-distortion curves here: curves.png and curves.json, with BD-rates."),
    ] = None,
    neural: Annotated[
        bool,
        typer.Option("--neural", help="Neural controls as well, at ours' bytes; as long as several of ours."),
    ] = False,
    device: Annotated[str, typer.Option(help="Where to fit: auto, cpu or cuda.")] = "auto",
) -> None:
    """Bytes and PSNR of the captured JPEG, of image codecs and of ours, over the same frames.

    Bytes are all that would travel: headers, boxes and labels included, and what frames of a clip share divided over
    them. Object PSNR is measured over the union of the boxes, background PSNR outside it. Two-stream codecs send the
    frame at low quality and a sharp crop a box. With a preset of clips, the frames of a folder are taken as one
    sequence. Neural controls are rapid, one network for the whole frame and none for objects, and direct, whose object
    networks fit pixels and are pasted in place of residuals that are added.

    Exit codes: 0 all done; 1 failed; 2 wrong usage.
    """
    try:
        chosen = {name: find_preset(name) for name in preset or ["balanced"]}
        place = torch_device(device)
        found = [each for folder in folders for each in labelled_folders(folder)]
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    if curves:
        _prepare(curves)
    read: list[tuple[Frame, int]] = []
    cameras: list[list[Frame]] = []
    for folder in found:
        cameras.append([])
        for file, frame in frames_of(folder, frames):
            if isinstance(frame, Frame):
                read.append((frame, file.stat().st_size))
                cameras[-1].append(frame)
            else:
                note(f"left out: {frame}")
    if not read:
        raise fail("none of the files can be read as a picture")
    pictures = [frame for frame, _ in read]
    ours, parts, shared = {}, dict[bytes, bytes](), {}
    for name, each in chosen.items():
        with progress_bar(f"encoding {len(read)} frames, {name}") as tell:
            images, of_clips = _encoded(cameras, each, place, tell)
        ours[name] = [image.frame for image in images]
        shared[name] = [image.bytes_shared for image in images]
        parts |= parts_of(of_clips)
    with progress_bar("encoding controls") as tell:
        rows = compare(read, ours, CONTROLS, tell, parts=parts, shared=shared)
    for name, each in chosen.items() if neural else ():
        for control in (rapid, direct):
            with progress_bar(f"encoding {len(read)} frames, {control.__name__}") as tell:
                sizes = [one.bytes_total + round(more) for one, more in zip(ours[name], shared[name], strict=True)]
                rows.append(_neural(control, name, each, pictures, sizes, place, tell))
    drawn = _curves(list(chosen.values()), pictures, place) if curves else []
    if curves:
        title = f"{len(read)} frames of {', '.join(folder.name for folder in found)}"
        write_whole(curves / "curves.png", draw(drawn, title))
        write_whole(curves / "curves.json", json.dumps([asdict(curve) for curve in drawn], indent=1).encode())
    if as_json:
        told = {"presets": list(chosen), "rows": [asdict(row) for row in rows]}
        print(json.dumps(told | ({"curves": [asdict(curve) for curve in drawn]} if curves else {})))
        return
    out.print(table(rows, f"{len(read)} frames, folders: {len(found)}; mean (median)"))
    if curves:
        out.print(rates(drawn))
        out.print(f"curves are in {curves}")


def _encoded(
    cameras: Sequence[Sequence[Frame]], preset: Preset, device: str, tell: Callable[[int, int], None]
) -> tuple[list[EncodedImage], list[bytes]]:
    """Frames of all cameras, and what clips of them share where the preset makes clips."""
    if preset.clip is None:
        frames = [frame for camera in cameras for frame in camera]
        return encode(frames, preset, device=device, progress=tell), []
    clips = []
    for number, camera in enumerate(cameras):
        clips += encode_clips(camera, [None] * len(camera), preset, device=device)
        tell(number + 1, len(cameras))
    return [image for clip in clips for image in clip.images], [clip.part for clip in clips if clip.part is not None]


def _neural(
    control: Callable[[Preset, float], Preset],
    name: str,
    preset: Preset,
    pictures: Sequence[Frame],
    sizes: Sequence[int],
    device: str,
    tell: Callable[[int, int], None],
) -> Row:
    """A neural control at no fewer bytes than ours, frame by frame."""
    coded = []
    for frame, size in zip(pictures, sizes, strict=True):
        image = with_bytes(frame, size, lambda factor: control(preset, factor), device)
        coded.append(Coded(image.frame.bytes_total, image.background_db, image.object_db))
        tell(len(coded), len(pictures))
    return row(f"{control.__name__}, at the bytes of {name}", None, coded)


def table(rows: Sequence[Row], title: str) -> Table:
    """A comparison for people."""
    drawn = Table(title=title)
    drawn.add_column("")
    for name in ("bytes a frame", "background dB", "object dB"):
        drawn.add_column(name, justify="right")
    for line in rows:
        drawn.add_row(
            line.name,
            f"{line.bytes_a_frame:,.0f} ({line.median_bytes:,.0f})",
            _mean_and_median(line.background_db, line.median_background_db),
            _mean_and_median(line.object_db, line.median_object_db),
        )
    return drawn


def rates(curves: Sequence[Curve]) -> Table:
    """BD-rates for people."""
    drawn = Table(title="BD-rate: bytes against two-stream JPEG at equal PSNR")
    drawn.add_column("")
    for name in ("background", "object"):
        drawn.add_column(name, justify="right")
    for curve in curves:
        cells = (curve.background_bd_rate, curve.object_bd_rate)
        drawn.add_row(curve.name, *("–" if cell is None else f"{cell:+.0f} %" for cell in cells))
    return drawn


def _mean_and_median(mean: float | None, median: float | None) -> str:
    return "–" if mean is None else f"{mean:.2f} ({median:.2f})"


def _prepare(folder: Path) -> None:
    """Fail before the work is done and not after it."""
    try:
        import matplotlib  # noqa: F401

        folder.mkdir(parents=True, exist_ok=True)
    except ImportError:
        raise fail("--curves needs matplotlib: pip install 'residual-inr[train]'") from None
    except OSError as error:
        raise fail(f"cannot write curves to {folder}: {error}") from None


def _curves(ours: Sequence[Preset], frames: Sequence[Frame], device: str) -> list[Curve]:
    ladders = controls() | {f"ours, {preset.name}": ladder(preset) for preset in ours}
    total = sum(len(rungs) for rungs in ladders.values())
    done, curves = 0, []
    with progress_bar("encoding curves") as tell:
        for name, rungs in ladders.items():
            points = []
            for rung in rungs:
                points.append(point(rung, frames, device))
                done += 1
                tell(done, total)
            curves.append(Curve(name, tuple(points)))
    return compared(curves)
