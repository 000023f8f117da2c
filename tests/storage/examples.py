"""Synthetic images for storage tests: JPEGs made on the spot, and encoded images whose payloads are
arbitrary."""

import hashlib
import io
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rinr.boxes import Box
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_id, part_name
from rinr.codec.encoded import EncodedClip, EncodedImage
from rinr.codec.frame import EncodedFrame
from storage.store import Store
from storage.tables import Source

ENCODING = "siren-test-1"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def encoded_image(number: int, **changes: Any) -> EncodedImage:
    """An encoded image whose payloads are unlike those of any other number."""
    boxes = (Box(3, 4, 10, 12, "boat"),) if number % 2 else ()
    objects = digest(f"object {number}").encode()[: 20 + number % 7] if boxes else b""
    image = EncodedImage(
        image_id=digest(f"image {number}"),
        labels_id=digest(f"labels {number}"),
        encoding_id=ENCODING,
        frame=EncodedFrame(64, 48, digest(f"background {number}").encode() * 3, boxes, objects),
        source_size=(128, 96),
        family="siren",
        preset="test",
        picked="siren 10x3",
        stopped="preset",
        background_db=25.0 + number,
        object_db=30.0 + number if number % 2 else None,
        fit_seconds=0.5,
        codec_version="0",
    )
    return replace(image, **changes)


def source(number: int, **changes: Any) -> Source:
    """The source of :func:`encoded_image`, captured ``number`` minutes past noon."""
    row = Source(
        image_id=digest(f"image {number}"),
        labels_id=digest(f"labels {number}"),
        device="cam-a",
        path=f"{number:04}.jpg",
        size=1000 + number,
        modified=datetime(2026, 5, 2, tzinfo=UTC),
        captured_at=datetime(2026, 5, 1, 12, number, tzinfo=UTC),
        captured_from="exif",
        labels='[[1.0,2.0,3.0,4.0,"boat"]]',
        annotated_size=(128, 96),
    )
    return replace(row, **changes)


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    """A small JPEG of smooth noise; ``size`` is (width, height)."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).convert(mode).save(out, "JPEG", **options)
    return out.getvalue()


def coco(images: dict[str, list[list[float]]], **fields: Any) -> bytes:
    """A COCO file of boxes by file name, all labelled ``boat``, in pictures of 64x48 pixels."""
    entries = [
        {"id": i, "file_name": name, "width": 64, "height": 48} | fields for i, name in enumerate(images, start=1)
    ]
    annotations = [
        {"id": 1, "image_id": i, "category_id": 1, "bbox": box}
        for i, boxes in enumerate(images.values(), start=1)
        for box in boxes
    ]
    document = {"images": entries, "annotations": annotations, "categories": [{"id": 1, "name": "boat"}]}
    return json.dumps(document).encode()


def append_numbers(url: str, numbers: list[int], batch: int, writers: int) -> int:
    """What one of several racing writers does: append images in batches; returns the rows that it added.

    All ``writers`` start together: each leaves a file beside the store and waits for those of the others.
    """
    line = Path(f"{url} starting line")
    line.mkdir(parents=True, exist_ok=True)
    (line / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(line.iterdir())) < writers:
        assert time.monotonic() < deadline, "the other writers never came"
        time.sleep(0.001)
    store = Store(url)
    return sum(
        store.append([encoded_image(number) for number in numbers[start : start + batch]])
        for start in range(0, len(numbers), batch)
    )


def shared_part(number: int, size: int = 200) -> bytes:
    """What frames of a clip share, unlike that of any other number; its network is nonsense."""
    return pack_part(SharedPart(96, 72, (digest(f"part {number}").encode() * (size // 64 + 1))[:size]))


def clip_of(numbers: Sequence[int], part: bytes, *, new: bool = True, **changes: Any) -> EncodedClip:
    """Encoded images that share a part; where it is not new, an earlier clip brought it."""
    images = []
    for number in numbers:
        image = encoded_image(number, **changes)
        frame = replace(image.frame, clip=ClipPlace(part_name(part), 0, (0, 0), (number, 1)))
        shared = len(part) / len(numbers) if new else 0.0
        reason = f"one of {len(numbers)} frames"
        images.append(replace(image, frame=frame, part_id=part_id(part), bytes_shared=shared, clip=reason))
    return EncodedClip(tuple(images), part if new else None)
