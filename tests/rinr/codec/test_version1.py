"""Payloads of the format's first version are still read: one that it wrote, with the picture that it decoded to."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rinr.boxes import Box
from rinr.codec.bytestream import PayloadError
from rinr.codec.frame import unpack_frame
from rinr.decoder import decode

GOLDEN = Path(__file__).parents[2] / "golden"


def test_a_payload_of_the_first_version_decodes_to_the_picture_it_always_did():
    frame = unpack_frame((GOLDEN / "version1-siren.rinr").read_bytes())
    assert frame.boxes == (Box(10, 8, 20, 16, "hair"), Box(24, 4, 30, 44, "face"))
    expected = np.asarray(Image.open(GOLDEN / "version1-siren.png")).astype(int)
    assert np.abs(decode(frame).astype(int) - expected).max() <= 1


def test_every_flipped_bit_and_every_truncation_of_it_is_noticed():
    data = (GOLDEN / "version1-siren.rinr").read_bytes()
    for position in range(0, len(data), 7):
        with pytest.raises(PayloadError):
            unpack_frame(data[:position])
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(PayloadError):
            unpack_frame(bytes(damaged))
