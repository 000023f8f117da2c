"""The controls' streams: what they count, where their key frames lie, and one picture as good as all of them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmarks.video_codecs import CODECS, Codec, decode, decode_one, encode, from_planes, to_planes
from rinr.frames import Pixels
from rinr.metrics import psnr

pytest.importorskip("av", reason="PyAV is not installed: pip install -e '.[video]'")


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """A smooth picture that moves by two pixels a frame."""
    y, x = np.mgrid[0:128, 0:160]
    whole = np.stack([120 + 80 * np.sin(x / 9), 110 + 90 * np.cos(y / 7 + x / 20), 128 + 60 * np.sin(y / 5)], axis=2)
    return [whole[:, 2 * number : 2 * number + 143].round().astype(np.uint8) for number in range(9)]


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_key_frames_lie_where_they_were_asked_for_and_any_picture_comes_alone(
    codec: Codec, pictures: list[Pixels]
) -> None:
    stream = encode(pictures, codec, codec.qualities[1][-1], key_distance=4)
    assert sorted(shown for _, key, shown in stream.packets if key) == [0, 4, 8]
    together = decode(stream)
    assert len(together) == len(pictures)
    assert all(p.shape == pictures[0].shape for p in together)
    assert all((psnr(a, b) or 0) > 24 for a, b in zip(pictures, together, strict=True))
    for number in (6, 1, 8, 3):
        assert np.array_equal(decode_one(stream, number), together[number])


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_a_worse_quality_and_fewer_key_frames_cost_less(codec: Codec, pictures: list[Pixels]) -> None:
    worst, best = codec.qualities[1][0], codec.qualities[1][-1]
    asked = ((best, 1), (best, 9), (worst, 9))
    sizes = [encode(pictures, codec, quality, key_distance).bytes_total for quality, key_distance in asked]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_the_bytes_are_those_of_the_packets_and_the_configuration(codec: Codec, pictures: list[Pixels]) -> None:
    stream = encode(pictures, codec, codec.qualities[1][0], key_distance=9, scale=2)
    assert stream.coded_size == (72, 64)
    assert stream.bytes_total == sum(len(data) for data, _, _ in stream.packets) + len(stream.extradata)
    assert stream.extradata


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_pictures_that_would_abort_the_encoder_are_refused(codec: Codec, pictures: list[Pixels]) -> None:
    with pytest.raises(ValueError, match="at least 64"):
        encode(pictures, codec, 40, key_distance=9, scale=4)


def test_planes_are_those_of_a_jpeg_of_the_best_quality(pictures: list[Pixels]) -> None:
    even = pictures[0][:, :142]
    back = from_planes(to_planes(even), (142, 128))
    buffer = BytesIO()
    Image.fromarray(even).save(buffer, format="JPEG", quality=100, subsampling="4:2:0")
    theirs = psnr(even, np.asarray(Image.open(buffer))) or 0
    assert abs((psnr(even, back) or 0) - theirs) < 2
