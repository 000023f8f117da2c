import numpy as np
import pytest
import torch

from rinr.camera_motion import STILL, Motion
from rinr.clip_canvas import canvas_of, filled, mosaic, motion_of, quantized
from rinr.codec.clip import ClipPlace, pack_place
from tests.rinr.moving import scene, seen

SIZE = (64, 48)


def test_a_canvas_holds_every_frame_where_payloads_say_it_lies():
    motions = [STILL, Motion((1, 1), (10.3, 0)), Motion((0.9, 0.9), (20, -5.5))]
    canvas = canvas_of(motions, SIZE)
    for zoom, shift, motion in zip(canvas.zooms, canvas.shifts, motions, strict=True):
        place = ClipPlace(b"12345678", 0, zoom, shift)
        pack_place(place)
        across, right, down, lower = place.window(SIZE, canvas.size)
        assert abs(across) + abs(right) <= 1.01
        assert abs(down) + abs(lower) <= 1.01
        assert motion_of(zoom, shift).scale == pytest.approx(motion.scale, abs=1e-4)
    first, second = canvas.motions[:2]
    assert second.shift[0] - first.shift[0] == pytest.approx(10.3, abs=0.13)


@pytest.mark.parametrize(
    "motion",
    [Motion((1, 1), (200, 0)), Motion((1, 1), (70, 70)), Motion((9, 9), (0, 0)), Motion((1, 1), (0, 6000))],
)
def test_what_no_canvas_holds(motion):
    assert canvas_of([STILL, motion], SIZE) is None


def test_what_payloads_cannot_say():
    assert quantized(Motion((1.6, 1), (0, 0))) is None
    assert quantized(Motion((1, 1), (5000, 0))) is None


def test_the_mosaic_of_a_pan_is_the_scene():
    wide = scene(1, 120, 80)
    centres = [(40 + 4 * index, 40) for index in range(8)]
    frames = [torch.from_numpy(seen(wide, SIZE, centre)).float().permute(2, 0, 1) / 255 for centre in centres]
    canvas = canvas_of([Motion((1, 1), (x - 40, y - 40)) for x, y in centres], SIZE)
    picture, counts = mosaic(frames, canvas.motions, canvas.size, [None] * len(frames))
    assert canvas.size == (64 + 28, 48)
    expected = wide[16:64, 8:100] / 255
    assert np.abs(picture.permute(1, 2, 0).numpy() - expected).max() < 1e-4
    assert counts[0, 0] == 1
    assert counts.max() == 8


def test_what_does_not_count_is_not_seen():
    frames = [torch.zeros(3, 6, 8), torch.ones(3, 6, 8)]
    counts = torch.zeros(6, 8)
    counts[:, :4] = 1
    picture, weight = mosaic(frames, [STILL, STILL], (8, 6), [None, counts])
    assert torch.allclose(picture[:, :, :4], torch.tensor(0.5))
    assert torch.allclose(picture[:, :, 4:], torch.tensor(0.0))
    assert weight.unique().tolist() == [1, 2]


def test_holes_are_filled_with_what_is_around():
    ramp = torch.linspace(0, 1, 40)[None, None].expand(3, 30, 40)
    weight = torch.ones(30, 40)
    weight[10:22, 12:29] = 0
    full = filled(ramp * weight, weight)
    assert torch.equal(full[:, weight > 0], ramp[:, weight > 0])
    assert float((full - ramp).abs().max()) < 0.2
    assert torch.equal(filled(torch.zeros(3, 5, 7), torch.zeros(5, 7)), torch.zeros(3, 5, 7))
