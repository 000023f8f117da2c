"""Frames of clips, and what they share, made without an encoder of clips."""

from functools import lru_cache

import torch

from rinr.boxes import Box
from rinr.codec.clip import ClipPlace, SharedPart, pack_part, part_name
from rinr.codec.frame import EncodedFrame
from rinr.networks.cosine import COSINE
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import CosineSettings
from tests.conftest import picture

_COARSE = CosineSettings(step=24, tiles=(16,), overlap=0.12, waves=8, trade=0.05, sweeps=2)
BOX = Box(20, 10, 16, 12, "boat")


@lru_cache
def shared_part(seed: int, canvas: tuple[int, int] = (96, 72)) -> bytes:
    """What a clip shares."""
    return pack_part(SharedPart(*canvas, _network(seed, canvas, 0.6)))


def clip_frame(seed: int, part: bytes | None, size: tuple[int, int] = (64, 48)) -> EncodedFrame:
    """A frame with an object, of the clip of a part; without one it stands alone."""
    clip = ClipPlace(part_name(part), 0, (0, 0), (seed, -seed)) if part else None
    return EncodedFrame(*size, _network(seed, size, 0.3), (BOX,), _network(seed, (16, 12), 0.2), clip=clip)


@lru_cache
def _network(seed: int, size: tuple[int, int], scale: float) -> bytes:
    pixels = torch.from_numpy(picture(seed, *size)).float() / 255 * scale
    (network,) = COSINE.fit([pixels], _COARSE)
    return write_networks([Member(COSINE, network)])
