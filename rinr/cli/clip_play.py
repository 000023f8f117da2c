"""``rinr clip play``: payload files as an animated picture, beside what was captured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from rinr.accelerator import torch_device
from rinr.cli.console import SOME_REFUSED, fail, note, out, progress_bar
from rinr.cli.encoding_job import payload_name
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import MAX_PAYLOAD_BYTES, EncodedFrame, unpack_frame
from rinr.decoder import decode
from rinr.files import write_whole
from rinr.film_strip import ANIMATED, ClipFrame, animated, clip_frame
from rinr.folders import FolderError, LabelledFolder, counting, labelled_folders, spread
from rinr.frames import ImageError
from rinr.payload_folder import parts_beside
from rinr.weights import Parts


def play(
    payloads: Annotated[Path, typer.Argument(help="Folder of payload files (.rinr) and shared parts (.rinrp).")],
    originals: Annotated[
        Path | None, typer.Option(help="Folder of the JPEGs that they were made of, to stand beside them.")
    ] = None,
    out_file: Annotated[
        Path, typer.Option("--out", help=f"The animated picture to write: {', '.join(sorted(ANIMATED))}.")
    ] = Path("clip.webp"),
    frames: Annotated[int, typer.Option(min=1, max=1000, help="Frames at most, evenly spread.")] = 200,
    rate: Annotated[float, typer.Option(min=0.1, max=50, help="Frames a second.")] = 10.0,
    width: Annotated[int, typer.Option(min=160, max=1280, help="Pixels' width of the picture.")] = 640,
    device: Annotated[str, typer.Option(help="Where to decode: auto, cpu or cuda.")] = "auto",
) -> None:
    """Play payload files: original and decoded side by side, over the bytes of every frame as bars.

    Frames come in the order in which the originals were taken, or without these by name.

    Exit codes: 0 all done; 1 failed; 2 wrong usage; 3 done, but some payloads were refused.
    """
    try:
        place, file_format = torch_device(device), ANIMATED.get(out_file.suffix.lower())
        if file_format is None:
            raise ValueError(f"{out_file} cannot be written: end its name with {', '.join(sorted(ANIMATED))}")
        captured = labelled_folders(originals) if originals else []
    except (ValueError, FolderError) as error:
        raise fail(str(error), code=2) from None
    found = _in_order(payloads, captured)
    read = list(_read(found))
    if not read:
        raise fail(f"none of the payloads in {payloads} can be decoded")
    shares = _shares(read)
    shown: list[ClipFrame] = []
    refused = len(found) - len(read)
    chosen = spread(read, frames)
    with progress_bar(f"decoding {len(chosen)} frames") as tell:
        for number, one in enumerate(chosen):
            try:
                shown.append(_shown(one, shares, place))
            except PayloadError as error:
                note(f"refused: {one.payload}: {error}")
                refused += 1
            tell(number + 1, len(chosen))
    if not shown:
        raise fail(f"none of the payloads in {payloads} can be decoded")
    write_whole(out_file, animated(shown, file_format, 1 / rate, width))
    out.print(f"{len(shown)} frames in {out_file}")
    if refused:
        raise typer.Exit(SOME_REFUSED)


_Captured = tuple[LabelledFolder, Path]


@dataclass(frozen=True)
class _Payload:
    payload: Path
    captured: _Captured | None
    frame: EncodedFrame
    parts: Parts


def _in_order(payloads: Path, captured: Sequence[LabelledFolder]) -> list[tuple[Path, _Captured | None]]:
    """Payload files, each with what it was made of where that is there."""
    files = sorted(payloads.rglob("*.rinr"), key=lambda file: counting(file.relative_to(payloads).as_posix()))
    if not files:
        raise fail(f"{payloads} holds no .rinr file; make some: rinr clip encode FOLDER --out {payloads}", code=2)
    there, found, taken = {file.relative_to(payloads).as_posix(): file for file in files}, [], set[str]()
    for folder in captured:
        for file, _ in folder.in_order():
            name = payload_name(folder if len(captured) > 1 else None, file, folder.ids(file)[0], taken)
            taken.add(name)
            if name in there:
                found.append((there.pop(name), (folder, file)))
    if captured and not found:
        note("none of the payloads is named as any of the originals; they are shown without")
    return [*found, *((file, None) for file in there.values())]


def _read(found: Sequence[tuple[Path, _Captured | None]]) -> Iterator[_Payload]:
    for file, captured in found:
        try:
            if file.stat().st_size > MAX_PAYLOAD_BYTES:
                raise PayloadError(f"frame payload: more than {MAX_PAYLOAD_BYTES:,} bytes")
            frame = unpack_frame(file.read_bytes())
            yield _Payload(file, captured, frame, parts_beside(file, frame))
        except PayloadError as error:
            note(f"refused: {file}: {error}")


def _shares(read: Sequence[_Payload]) -> dict[bytes, float]:
    """Bytes of each shared part, divided over the frames that need it."""
    sizes = {name: len(part) for one in read for name, part in one.parts.items()}
    needed = [name for one in read for name in one.parts]
    return {name: size / needed.count(name) for name, size in sizes.items()}


def _shown(one: _Payload, shares: dict[bytes, float], device: str) -> ClipFrame:
    original = None
    if one.captured:
        folder, file = one.captured
        try:
            original = folder.frame(file).pixels
        except ImageError as error:
            note(f"left out: {error}")
    shared = sum(shares[name] for name in one.parts)
    decoded = decode(one.frame, device, one.parts)
    return clip_frame(decoded, original, one.frame.bytes_total, shared, one.payload.stem)
