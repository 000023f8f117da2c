"""The controls: each gives the picture it should, whatever decodes it and however many workers do."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import jpeg_loaders
from benchmarks.speed_frames import SIZE, SOURCE, Picture
from rinr.boxes import Annotation
from rinr.encoder import encode
from rinr.frames import working_frame
from rinr.labels import ImageLabels
from rinr.presets import INSTANT
from rinr.shard import ShardRow
from rinr.training.dataset import RinrDataset
from tests.conftest import jpeg

CPU = torch.device("cpu")


def _captured(number: int = 0) -> bytes:
    y, x = np.mgrid[0 : SOURCE[1], 0 : SOURCE[0]]
    waves = [np.sin(x / (20 + 5 * colour) + number) + np.sin(y / (30 - 4 * colour)) for colour in range(3)]
    return jpeg((np.stack(waves, axis=-1) * 60 + 128).astype(np.uint8), quality=92)


@pytest.mark.parametrize(
    "decode", [jpeg_loaders.pillow_lanczos, jpeg_loaders.pillow_bilinear, jpeg_loaders.pillow_draft]
)
def test_every_way_to_half_the_size_gives_the_means_of_four_pixels(decode: jpeg_loaders.Decoder) -> None:
    data = _captured()
    whole = np.asarray(Image.open(io.BytesIO(data)), dtype=float)
    means = whole.reshape(SIZE[1], 2, SIZE[0], 2, 3).mean(axis=(1, 3))
    assert np.abs(decode(data) - means).mean() < 1.5


def test_simplejpeg_gives_what_draft_gives() -> None:
    pytest.importorskip("simplejpeg")
    data = _captured()
    apart = jpeg_loaders.simplejpeg_scaled(data).astype(float) - jpeg_loaders.pillow_draft(data)
    assert np.abs(apart).mean() < 1.5


def test_orders_hold_every_picture_once_a_pass() -> None:
    orders = jpeg_loaders.orders(6, 3, 5)
    assert [epoch for epoch, _ in orders] == [0, 0, 1, 1, 2]
    places = [places for _, places in orders]
    assert [sorted(places[start] + places[start + 1]) for start in (0, 2)] == [list(range(6))] * 2
    assert places[:2] != places[2:4]


def test_jpegs_and_our_payloads_give_the_same_batches(tmp_path: Path) -> None:
    """The comparison is fair: same pictures, same order, shown in the same way, with the same boxes."""
    labels = ImageLabels("", SOURCE, None, (Annotation(400, 200, 160, 240, "a"), Annotation(1000, 600, 200, 90, "b")))
    pictures = []
    for number in range(3):
        file = tmp_path / f"{number}.jpg"
        file.write_bytes(_captured(number))
        pictures.append(Picture(file, file, working_frame(file.read_bytes(), labels)))
    rows = [ShardRow(p.frame.image_id, encode([p.frame], INSTANT)[0].frame) for p in pictures]
    ours = RinrDataset(rows, size=SIZE, window=1).batches(2, seed=0, epoch=0, augment=True)
    truth = jpeg_loaders.truth_of_pictures(pictures)
    files = [picture.captured for picture in pictures]
    loaders = {
        "in this process": jpeg_loaders.from_files(files, jpeg_loaders.pillow_draft, truth, 2, 0, CPU),
        "in a worker": jpeg_loaders.from_files(files, jpeg_loaders.pillow_draft, truth, 2, 1, CPU),
        "in memory": jpeg_loaders.from_memory(files, jpeg_loaders.pillow_draft, truth, 2, CPU),
    }
    for own, *others in zip(ours, *(loader(2, True) for loader in loaders.values()), strict=True):
        for other in others:
            assert (own.images - other.images).abs().mean() < 0.03
            assert own.images.stride() == other.images.stride()
            for target, expected in zip(own.targets, other.targets, strict=True):
                torch.testing.assert_close(target, expected)
