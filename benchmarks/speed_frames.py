"""The frames of the speed benchmarks: captured JPEGs of 1280x720, and what each side of a comparison makes of them.

Everything that is made lies in a cache folder, so that a second run starts at once: JPEGs shrunk to the training size,
captured JPEGs where only smaller pictures are at hand, and the frame payloads of our presets.
"""

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from PIL import Image

from rinr.boxes import Annotation
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.encoder import encode
from rinr.folders import LabelledFolder, spread
from rinr.frames import Frame, resize, working_frame
from rinr.labels import image_id
from rinr.pool import EncoderPool, cores
from rinr.presets import encoding_id, find_preset
from rinr.shard import ShardRow

SIZE = (640, 360)
"""Width and height of a training frame, in pixels."""

SOURCE = (1280, 720)
"""Width and height of a captured picture, in pixels."""

SHRUNK_QUALITY = 85
"""JPEG quality of the pictures that are kept at the training size, with Pillow's usual 4:2:0."""

_ENLARGED_QUALITY = 90


@dataclass(frozen=True)
class Picture:
    """One picture as the sides of a comparison get it.

    Attributes:
        captured: a JPEG of 1280x720.
        shrunk: the same picture as a JPEG of the training size.
        frame: its working frame, of the training size, with boxes.
    """

    captured: Path
    shrunk: Path
    frame: Frame


def find_pictures(folders: Sequence[LabelledFolder], count: int, cache: Path) -> list[Picture]:
    """At most ``count`` labelled pictures, evenly from all folders that hold some of the captured size.

    Where no folder does, pictures are enlarged to it, as the committed sample has to be.

    Raises:
        SystemExit: the folders hold no labelled picture.
    """
    labelled = [(folder, [f for f in folder.files if _labelled(folder, f)]) for folder in folders]
    of_folders = [(folder, [file for file in files if _size(file) == SOURCE]) for folder, files in labelled]
    found = [(folder, files) for folder, files in of_folders if files]
    enlarge = not found
    chosen = found or [(folder, files) for folder, files in labelled if files]
    if not chosen:
        raise SystemExit("no labelled JPEG was found: give folders with an annotations.json, or set RINR_DATA")
    each = -(-count // len(chosen))
    taken = [(folder, file) for folder, files in chosen for file in spread(files, each)]
    make = _enlarged if enlarge else _as_captured
    return [make(folder, file, cache) for folder, file in spread(taken, count)]


def repeated(items: Sequence[Picture], count: int) -> list[Picture]:
    """As many, in turn."""
    return list(islice(cycle(items), count))


def encoded(pictures: Sequence[Picture], preset_name: str, cache: Path) -> list[ShardRow]:
    """The pictures as a device receives them, encoded once and kept in the cache."""
    preset = find_preset(preset_name)
    files = {picture.frame.image_id: cache / _payload_name(picture.frame, encoding_id(preset)) for picture in pictures}
    missing = {p.frame.image_id: p.frame for p in pictures if not files[p.frame.image_id].exists()}
    if missing:
        print(f"encoding {len(missing)} frames with {preset_name}, once", file=sys.stderr, flush=True)
        frames = list(missing.values())
        if cores() > 1 and len(frames) > 1:
            with EncoderPool(min(cores(), len(frames))) as pool:
                images = pool.encode(frames, preset)
        else:
            images = encode(frames, preset)
        for frame, image in zip(frames, images, strict=True):
            _write(files[frame.image_id], pack_frame(image.frame))
    return [
        ShardRow(picture.frame.image_id, unpack_frame(files[picture.frame.image_id].read_bytes()))
        for picture in pictures
    ]


def _as_captured(folder: LabelledFolder, file: Path, cache: Path) -> Picture:
    frame = folder.frame(file)
    return Picture(file, _shrunk(frame, cache), frame)


def _enlarged(folder: LabelledFolder, file: Path, cache: Path) -> Picture:
    """A picture stretched to the captured size, boxes along with it."""
    image = Image.open(file).convert("RGB")
    target = cache / f"{image_id(file.read_bytes())[:16]}-{SOURCE[0]}x{SOURCE[1]}.jpg"
    if not target.exists():
        _write(target, _jpeg(image.resize(SOURCE, Image.Resampling.LANCZOS), _ENLARGED_QUALITY))
    across, down = SOURCE[0] / image.width, SOURCE[1] / image.height
    labels = folder.labels[file.relative_to(folder.path).as_posix()]
    boxes = [Annotation(b.x * across, b.y * down, b.width * across, b.height * down, b.label) for b in labels.boxes]
    frame = working_frame(target.read_bytes(), replace(labels, size=SOURCE, boxes=tuple(boxes)))
    return Picture(target, _shrunk(frame, cache), frame)


def _shrunk(frame: Frame, cache: Path) -> Path:
    target = cache / f"{frame.image_id[:16]}-{SIZE[0]}x{SIZE[1]}-q{SHRUNK_QUALITY}.jpg"
    if not target.exists():
        _write(target, _jpeg(Image.fromarray(resize(frame.pixels, SIZE)), SHRUNK_QUALITY))
    return target


def _labelled(folder: LabelledFolder, file: Path) -> bool:
    labels = folder.labels.get(file.relative_to(folder.path).as_posix())
    return labels is not None and bool(labels.boxes)


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _payload_name(frame: Frame, encoding: str) -> str:
    return f"{frame.image_id[:16]}-{frame.labels_id[:8]}-{encoding}.rinr"


def _write(file: Path, data: bytes) -> None:
    """Whole or not at all, so that a run that is stopped leaves nothing that the next one would read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_bytes(data)
    part.replace(file)
