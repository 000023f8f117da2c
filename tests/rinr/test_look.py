"""Views: what a picture shows where, against evaluations of single points in NumPy."""

import numpy as np
import pytest
import torch

from rinr import decoder
from rinr.boxes import Box
from rinr.codec.frame import EncodedFrame
from rinr.decoder import LoadedFrames, load
from rinr.encoder import encode
from rinr.networks.codecs import WEBP
from rinr.networks.cosine import COSINE
from rinr.networks.payload import Member, write_networks
from rinr.networks.settings import CodecSettings, CosineSettings
from rinr.networks.siren import SIREN
from rinr.networks.siren_coding import Shape, SirenNetwork, in_order
from rinr.presets import codec_preset
from rinr.weights import entropy_decode
from tests.conftest import frame, picture
from tests.rinr import by_hand

WIDTH, HEIGHT = 60, 40
BOXES = (Box(0, 0, 21, 17, "a"), Box(13, 9, 16, 14, "b"), Box(52, 31, 8, 9, "c"), Box(30, 3, 1, 20, "d"))
COARSE = CosineSettings(60, (16, 24), 0.12, 12, 0.12, 2, axes=True, offset=True)
PLAIN = CosineSettings(30, (8, 12), 0.0, 8, 0.12, 2)

UPRIGHT = {
    "whole": [[1, 0, 0], [0, 1, 0]],
    "mirrored": [[-1, 0, 1], [0, 1, 0]],
    "upside down and cropped": [[0.61, 0, 0.22], [0, -0.57, 0.83]],
    "beyond the frame": [[1.4, 0, -0.17], [0, 1.25, -0.31]],
    "mirrored and beyond": [[-1.27, 0, 1.13], [0, 0.9, 0.23]],
    "aside": [[0.5, 0, 1.2], [0, 1, 0]],
    "a few pixels": [[0.11, 0, 0.2], [0, 0.07, 0.21]],
}
TURNED = {
    "turned": [[0.98, -0.1, 0.06], [0.13, 0.97, -0.05]],
    "turned and mirrored": [[-0.8, 0.05, 0.93], [0.07, 0.83, 0.11]],
    "turned far": [[0.1, 1.3, -0.2], [-1.1, 0.2, 0.9]],
}


def cosine(seed, size, settings, by=1.0):
    (network,) = COSINE.fit([(torch.tensor(picture(seed, *size)) / 255 - 0.5 * (by < 1)) * by], settings)
    return Member(COSINE, network)


def siren(seed, shape):
    rng = np.random.default_rng(seed)
    weights = np.round(rng.laplace(0, 6, shape.parameters)).astype(np.int32)
    return Member(SIREN, in_order(SirenNetwork(shape, 12, (160,) * (shape.layers - 1) + (130,), weights)))


def frames():
    """With residuals and with crops, overlapping, families mixed, a box without a network, and another size."""
    sizes = [(box.width, box.height) for box in BOXES]
    residuals = [cosine(5 + i, size, PLAIN, 0.5) for i, size in enumerate(sizes[:2])]
    residuals += [siren(7, Shape(6, 3)), None]
    crops = [siren(3, Shape(6, 3)), siren(4, Shape(9, 4)), cosine(6, sizes[2], PLAIN), cosine(8, sizes[3], PLAIN)]
    sides = {"width": WIDTH, "height": HEIGHT}

    def of(background, objects=(), boxes=(), pasted=False):
        return EncodedFrame(
            background=write_networks([background]),
            boxes=boxes,
            objects=write_networks(objects) if objects else b"",
            pasted=pasted,
            **sides,
        )

    ground = cosine(0, (WIDTH, HEIGHT), COARSE)
    return [
        of(ground, residuals, BOXES),
        of(siren(1, Shape(10, 4)), residuals[::-1], BOXES[::-1]),
        of(ground, crops, BOXES, pasted=True),
        of(siren(2, Shape(10, 3))),
        EncodedFrame(50, 45, write_networks([cosine(9, (50, 45), COARSE)])),
    ]


FRAMES = frames()


@pytest.fixture(params=["what is shown alone", "small", "as on a GPU"])
def ways(request, monkeypatch):
    """The ways in which pictures are put together: small ones and those of a GPU are rendered whole."""
    monkeypatch.setattr(LoadedFrames, "_on_cpu", request.param != "as on a GPU")
    if request.param != "small":
        monkeypatch.setattr(decoder, "_SMALL_PIXELS", 0)


@pytest.mark.usefixtures("ways")
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (33, 47)])
def test_every_pixel_is_what_its_point_of_the_frame_is_by_hand(size):
    loaded = load(FRAMES)
    for kind in (UPRIGHT, TURNED):
        # Each frame with each view, all in one batch.
        pairs = [(index, view) for index in range(len(FRAMES)) for view in kind.values()]
        views = torch.tensor([view for _, view in pairs], dtype=torch.float32)
        pictures = loaded.look([index for index, _ in pairs], views, *size, fill=0.3)
        for (index, _), view, shown in zip(pairs, views, pictures, strict=True):
            expected = by_hand.look(FRAMES[index], view.numpy(), *size, 0.3)
            assert np.abs(shown.numpy() - expected).max() < 1e-4, (index, view)


@pytest.mark.usefixtures("ways")
def test_the_whole_frame_looks_as_it_is_rendered():
    loaded = load(FRAMES)
    indices = [0, 1, 2, 3, 4, 0]
    whole = torch.tensor(UPRIGHT["whole"]).float().expand(6, -1, -1)
    rendered = loaded.render(indices, WIDTH, HEIGHT)
    assert torch.equal(loaded.look(indices, whole, WIDTH, HEIGHT), rendered)
    # Beside another view, which takes the way of a grid a picture.
    views = torch.cat([whole, torch.tensor([UPRIGHT["mirrored"]])])
    looked = loaded.look([*indices, 0], views, WIDTH, HEIGHT)
    assert torch.allclose(looked[:-1], rendered, atol=1e-6)
    assert torch.allclose(looked[-1].flip(2), rendered[0], atol=1e-5)


@pytest.mark.usefixtures("ways")
def test_a_view_does_not_depend_on_what_stands_beside_it():
    loaded = load(FRAMES)
    views = torch.tensor([*UPRIGHT.values()]).float()
    indices = [0, 1, 2, 3, 4, 2, 1]
    together = loaded.look(indices, views, 33, 47)
    for place, index in enumerate(indices):
        alone = loaded.look([index], views[place : place + 1], 33, 47)[0]
        assert torch.allclose(together[place], alone, atol=1e-6)


def test_codecs_are_cropped_and_mirrored_as_they_are_rendered():
    preset = codec_preset(CodecSettings("webp", 60), CodecSettings("jpeg", 80))
    loaded = load([image.frame for image in encode([frame(0), frame(1, ())], preset)])
    rendered = loaded.render([0, 1], 64, 48)
    views = torch.tensor([[[-1, 0, 1], [0, 1, 0]], [[0.5, 0, 0.25], [0, 0.5, 0.25]]])
    mirrored = loaded.look([0, 1], views, 64, 48)[0]
    assert torch.allclose(mirrored.flip(2), rendered[0], atol=1e-5)
    views = torch.tensor([[[0.5, 0, 0.25], [0, 0.5, 0.25]], [[-0.5, 0, 0.75], [0, 0.5, 0.25]]])
    cropped = loaded.look([1, 1], views, 32, 24)
    assert torch.allclose(cropped[0], rendered[1, :, 12:36, 16:48], atol=1e-5)
    assert torch.allclose(cropped[1].flip(2), cropped[0], atol=1e-5)


def test_a_turned_codec_picture_is_the_picture_turned():
    # A plane of colour has one answer, whatever the filter; away from the border, where filters see its end.
    x, y = np.meshgrid((np.arange(64) + 0.5) / 64, (np.arange(48) + 0.5) / 48)
    plane = np.stack([x * 200 + 20, y * 180 + 30, 240 - 100 * x - 100 * y], axis=-1)
    network = WEBP.fit([torch.tensor(plane / 255).float()], CodecSettings("webp", 100))[0]
    loaded = load([EncodedFrame(64, 48, write_networks([Member(WEBP, network)]))])
    view = torch.tensor([[[0.7, -0.1, 0.2], [0.12, 0.7, 0.08]]])
    for size in ((64, 48), (32, 24), (120, 90)):
        shown = loaded.look([0], view, *size)[0].permute(1, 2, 0).numpy() * 255
        u, v = np.meshgrid((np.arange(size[0]) + 0.5) / size[0], (np.arange(size[1]) + 0.5) / size[1])
        x, y = (row[0] * u + row[1] * v + row[2] for row in view[0].numpy())
        expected = np.stack([x * 200 + 20, y * 180 + 30, 240 - 100 * x - 100 * y], axis=-1)
        assert np.abs(shown - expected).max() < 8


def test_views_are_written_where_asked():
    loaded = load(FRAMES)
    for kind in (UPRIGHT, TURNED):
        views = torch.tensor([*kind.values()])[:3].float()
        canvas = torch.full((3, 3, 50, 40), 7.0)
        out = canvas[:, :, :47, :33]
        assert loaded.look([0, 1, 2], views, 33, 47, out=out) is out
        assert torch.equal(out, loaded.look([0, 1, 2], views, 33, 47))
        assert (canvas[:, :, 47:] == 7).all()
        assert (canvas[..., 33:] == 7).all()


def test_views_that_cannot_be_shown_are_refused():
    loaded = load(FRAMES)
    with pytest.raises(ValueError, match=r"\[1, 2, 3\], expected \[2, 2, 3\]"):
        loaded.look([0, 1], torch.zeros(1, 2, 3), 8, 8)
    for number in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="a line"):
            loaded.look([0], torch.tensor([[[number, 0, 0], [0, 1, 0]]]), 8, 8)
    assert loaded.look([], torch.zeros(0, 2, 3), 8, 8).shape == (0, 3, 8, 8)


def test_sine_backgrounds_alone_are_evaluated_at_fewer_points_and_only_where_asked():
    full, fewer = load(FRAMES), LoadedFrames(entropy_decode(FRAMES), background_step=2)
    for size in ((WIDTH, HEIGHT), (160, 107)):
        expected, found = (each.render(range(5), *size) for each in (full, fewer))
        for index in (0, 2, 4):  # cosine backgrounds
            assert torch.equal(found[index], expected[index])
        for index in (1, 3):
            assert not torch.equal(found[index], expected[index])
            assert float((found[index] - expected[index]).abs().mean()) < 2e-3
    view = torch.tensor([TURNED["turned"]])
    assert torch.equal(fewer.look([3], view, 64, 48), full.look([3], view, 64, 48))
