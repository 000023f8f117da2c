from dataclasses import replace

import numpy as np
import pytest

from rinr.boxes import Annotation
from rinr.clip_encoder import encode_clips
from rinr.codec.clip import part_id, part_name
from rinr.codec.frame import pack_frame, unpack_frame
from rinr.decoder import decode
from rinr.encoder import encode
from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels
from rinr.metrics import frame_psnr
from rinr.presets import BALANCED, CLIP
from rinr.weights import MissingPartError, parts_of
from tests.conftest import jpeg


def scene(seed=0, width=160, height=120):
    """A picture with structure at all scales, ``[height, width, 3]``."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 24):
        coarse = rng.normal(size=(cells, cells, 3)) * 60 / cells**0.5
        y, x = (np.linspace(0, cells - 1.001, side) for side in (height, width))
        low, left = y.astype(int), x.astype(int)
        dy, dx = (y - low)[:, None, None], (x - left)[None, :, None]
        rows = [coarse[np.ix_(r, left)] * (1 - dx) + coarse[np.ix_(r, left + 1)] * dx for r in (low, low + 1)]
        total += rows[0] * (1 - dy) + rows[1] * dy
    return (total + 128).clip(0, 255)


def frame_of(pixels, name, boxes=()) -> Frame:
    data = jpeg(pixels.round().clip(0, 255).astype(np.uint8), quality=95)
    height, width = pixels.shape[:2]
    return working_frame(data, ImageLabels(name, (width, height), None, tuple(sorted(boxes))))


def pan(count=6, seed=0, step=3, noise=2.0):
    """Frames of 64x48 that a camera sees as it moves right, with a square that moves down."""
    wide, rng, frames = scene(seed), np.random.default_rng(seed + 1), []
    for index in range(count):
        pixels = wide[30:78, 10 + step * index : 74 + step * index].copy()
        pixels[10 + index : 18 + index, 20:28] = (200, 30, 30)
        pixels = pixels + rng.normal(size=pixels.shape) * noise
        frames.append(frame_of(pixels, f"{index}.jpg", (Annotation(18, 8 + index, 12, 12, "square"),)))
    return frames


def timeless(clips):
    """Clips without what differs from one time to the next."""
    return [(clip.part, [replace(image, fit_seconds=0) for image in clip.images]) for clip in clips]


def test_what_is_reported_is_what_payload_and_part_decode_to():
    frames = pan()
    (clip,) = encode_clips(frames, [None] * len(frames), CLIP)
    assert clip.part is not None
    for frame, image in zip(frames, clip.images, strict=True):
        payload = unpack_frame(pack_frame(image.frame))
        decoded = decode(payload, parts=parts_of([clip.part]))
        assert (image.background_db, image.object_db) == frame_psnr(frame.pixels, decoded, frame.boxes)
        assert (image.part_id, image.image_id) == (part_id(clip.part), frame.image_id)
        assert payload.clip.part == part_name(clip.part)
        assert image.bytes_shared == len(clip.part) / len(frames)
        assert image.clip.startswith(f"one of {len(frames)} frames, 0.")
    with pytest.raises(MissingPartError):
        decode(clip.images[0].frame)


def test_frames_that_resemble_nothing_stand_alone_as_encode_has_them():
    frames = [frame_of(scene(seed)[:48, :64], "a.jpg") for seed in range(5)]
    clips = encode_clips(frames, [None] * 5, CLIP)
    images = [image for clip in clips for image in clip.images]
    assert [clip.part for clip in clips] == [None] * len(clips)
    assert [image.image_id for image in images] == [frame.image_id for frame in frames]
    assert all(image.clip.startswith("alone: ") and image.part_id is None for image in images)
    alone = encode(frames, BALANCED)
    assert [pack_frame(image.frame) for image in images] == [pack_frame(image.frame) for image in alone]


def test_later_frames_extend_a_clip_and_leave_it_as_it_is():
    frames = pan(9)
    first = encode_clips(frames[:6], [None] * 6, CLIP)
    (clip,) = first
    (later,) = encode_clips(frames[5:8], [None] * 3, CLIP, known=[clip.part])
    assert later.part is None
    for frame, image in zip(frames[5:8], later.images, strict=True):
        assert image.part_id == part_id(clip.part)
        assert image.bytes_shared == 0
        decoded = decode(image.frame, parts=parts_of([clip.part]))
        assert (image.background_db, image.object_db) == frame_psnr(frame.pixels, decoded, frame.boxes)
    assert timeless(encode_clips(frames[:6], [None] * 6, CLIP)) == timeless(first)
