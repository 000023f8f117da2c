import math

import pytest
import torch

from rinr.training.detector import STRIDE, Detector, detect, detection_loss, new_detector


class Answer(torch.nn.Module):
    """A detector that gives one answer to every picture."""

    def __init__(self, raw: torch.Tensor) -> None:
        super().__init__()
        self.raw = raw

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.raw.expand(len(images), -1, -1, -1)


def silent(rows: int = 6, columns: int = 8) -> torch.Tensor:
    """Raw output of a detector that sees nothing: no heat, boxes of one cell."""
    raw = torch.zeros(1, 5, rows, columns)
    raw[:, 0] = -12
    return raw


def test_the_output_has_one_cell_for_8x8_pixels_and_the_network_is_small():
    detector = new_detector(0)
    assert detector(torch.rand(2, 3, 72, 104)).shape == (2, 5, 9, 13)
    assert 100_000 < sum(weight.numel() for weight in detector.parameters()) < 300_000


def test_sides_that_are_no_multiples_of_the_stride_are_refused():
    with pytest.raises(ValueError, match=r"100x64 px: both sides must be multiples of 8"):
        new_detector(0)(torch.rand(1, 3, 64, 100))


def test_weights_follow_from_the_seed_and_leave_the_callers_random_state_alone():
    state = torch.get_rng_state()
    first, again, other = (new_detector(seed).head[-1].weight for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_peak_becomes_the_box_it_says():
    raw = silent()
    # Cell (row 2, column 3) has its centre at (28, 20); half a cell to the right, a quarter up; 4x2 cells large.
    raw[0, :, 2, 3] = torch.tensor([2.0, 0.5, -0.25, math.log(4), math.log(2)])
    (found,) = detect(Answer(raw), torch.zeros(1, 3, 48, 64))
    assert found.boxes.tolist() == [pytest.approx([32 - 16, 18 - 8, 32 + 16, 18 + 8], abs=1e-3)]
    assert found.scores.tolist() == [pytest.approx(1 / (1 + math.exp(-2)))]


def test_of_neighbouring_cells_only_the_highest_is_found_and_the_best_comes_first():
    raw = silent()
    raw[0, 0, 1, 1], raw[0, 0, 1, 2], raw[0, 0, 4, 6] = 0.0, 1.0, 2.0
    (found,) = detect(Answer(raw), torch.zeros(1, 3, 48, 64))
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    assert centres.tolist() == [pytest.approx([52, 36]), pytest.approx([20, 12])]
    (first,) = detect(Answer(raw), torch.zeros(1, 3, 48, 64), limit=1)
    assert torch.equal(first.boxes, found.boxes[:1])


def test_boxes_are_clipped_to_the_picture_and_nothing_is_found_in_silence():
    raw = silent()
    assert len(detect(Answer(raw), torch.zeros(1, 3, 48, 64))[0].scores) == 0
    raw[0, :, 0, 0] = torch.tensor([2.0, 0, 0, 3, 3])
    (found,) = detect(Answer(raw), torch.zeros(1, 3, 48, 64))
    assert found.boxes.tolist() == [[0, 0, 64, 48]]


def test_the_right_answer_costs_little_and_each_wrong_one_more():
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])  # centre (24, 24): in the cell of row 3, column 3
    x = (torch.arange(8) + 0.5) * STRIDE
    y = (torch.arange(6) + 0.5) * STRIDE
    right = silent()
    right[0, 0, 3, 3] = 12
    right[0, 1], right[0, 2] = (24 - x).expand(6, 8) / STRIDE, (24 - y)[:, None].expand(6, 8) / STRIDE
    right[0, 3:] = math.log(32 / STRIDE)
    assert detection_loss(right, [box]) < 0.01

    missed, imagined, too_large, shifted = (right.clone() for _ in range(4))
    missed[0, 0, 3, 3] = -12
    imagined[0, 0, 0, 7] = 12
    too_large[0, 3:] += math.log(2)
    shifted[0, 1] += 1
    # Twice as large each way: GIoU 1/4; both logarithms off by log 2, halved by the mean with the centre's. A box is
    # weighted by 2.
    assert detection_loss(too_large, [box]).item() == pytest.approx(2 * (0.75 + math.log(2) / 2), abs=0.01)
    # Shifted by a quarter of its width: 3/5 in common, nothing more around; one cell, weighted by 0.2, in four numbers.
    assert detection_loss(shifted, [box]).item() == pytest.approx(2 * (0.4 + 0.2 / 4), abs=0.01)
    # -log of a probability that is off by a logit of 12, as good as 12.
    assert detection_loss(missed, [box]).item() == pytest.approx(12, abs=0.1)
    assert detection_loss(imagined, [box]).item() == pytest.approx(12, abs=0.1)


def test_pictures_without_objects_cost_only_what_was_imagined():
    nothing = torch.zeros(0, 4)
    assert detection_loss(silent(), [nothing]) < 1e-3
    loud = silent()
    loud[0, 0, 2, 2] = 5
    assert detection_loss(loud, [nothing]) > 4


def test_a_small_object_in_front_of_a_large_one_keeps_its_cell():
    large, small = [0.0, 0.0, 64.0, 48.0], [24.0, 16.0, 32.0, 24.0]
    raw = silent()
    raw[0, 0, 3, 4] = raw[0, 0, 2, 3] = 12
    right, wrong = raw.clone(), raw.clone()
    right[0, 3:, 2, 3] = 0  # the small box's cell says 8 pixels,
    wrong[0, 3:, 2, 3] = math.log(6)  # or 48
    boxes = [torch.tensor([large, small])]
    assert detection_loss(right, boxes) < detection_loss(wrong, boxes)


def test_every_weight_is_trained():
    detector = Detector()
    detection_loss(detector(torch.rand(2, 3, 64, 64)), [torch.tensor([[8.0, 8, 30, 30]]), torch.zeros(0, 4)]).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in detector.parameters())
