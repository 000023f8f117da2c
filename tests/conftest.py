"""Fixtures that several rooms' tests share: small labelled pictures, made here, and a preset that fits in a moment."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rinr.boxes import Annotation
from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels
from rinr.networks.settings import Schedule, SirenSettings
from rinr.networks.siren_coding import Shape
from rinr.presets import ObjectClass, Preset

torch.set_num_threads(1)


def picture(seed: int = 0, width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth picture with a sharp square in it, ``[height, width, 3]``."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(width, height)
    waves = [np.sin(rng.uniform(2, 9) * x + rng.uniform(2, 9) * y + rng.uniform(0, 6)) for _ in range(3)]
    pixels = (np.stack(waves, axis=-1) * 80 + 128).clip(0, 255).astype(np.uint8)
    pixels[height // 3 : height // 3 + 8, width // 3 : width // 3 + 8] = rng.integers(0, 256, 3)
    return pixels


def jpeg(pixels: np.ndarray, quality: int = 95, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, **options)
    return buffer.getvalue()


def frame(seed: int = 0, boxes: tuple[Annotation, ...] | None = None, width: int = 64, height: int = 48) -> Frame:
    if boxes is None:
        boxes = (Annotation(width // 3 - 2, height // 3 - 2, 12, 12, "square"),)
    data = jpeg(picture(seed, width, height))
    return working_frame(data, ImageLabels("x.jpg", (width, height), None, tuple(sorted(boxes))))


@pytest.fixture
def tiny() -> Preset:
    """Small networks, a few hundred steps."""
    network = SirenSettings(Shape(10, 3), omega=8, bits=8, schedule=Schedule(150, 1e-2, True, 512))
    return Preset("tiny", network, 2, (ObjectClass(200, network), ObjectClass(None, network)))


@pytest.fixture
def real_data() -> Path:
    """The folder of real labelled JPEGs that ``RINR_DATA`` names; skips without it."""
    if not os.environ.get("RINR_DATA"):
        pytest.skip("RINR_DATA is not set: no real frames here")
    return Path(os.environ["RINR_DATA"])
