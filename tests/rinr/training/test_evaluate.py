import pytest
import torch

from rinr.training.detector import Detections
from rinr.training.evaluate import Precision, detecting, find, mean_average_precision
from rinr.training.pictures import Batch


def boxes(*corners):
    return torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)


def found(*scored):
    return Detections(boxes(*(corners for corners, _ in scored)), torch.tensor([score for _, score in scored]))


HERE, THERE = (10.0, 10.0, 30.0, 30.0), (50.0, 50.0, 90.0, 80.0)


def test_finding_everything_exactly_is_1():
    result = mean_average_precision([found((HERE, 0.9), (THERE, 0.8))], [boxes(HERE, THERE)])
    assert result == Precision(pytest.approx(1), pytest.approx(1))


def test_finding_nothing_is_0_and_without_objects_there_is_no_figure():
    assert mean_average_precision([found()], [boxes(HERE)]) == Precision(0, 0)
    assert mean_average_precision([found((HERE, 0.9))], [boxes()]) is None
    assert mean_average_precision([], []) is None


def test_an_overlap_counts_up_to_its_threshold():
    # 20x20 against 20x14 inside it: an overlap of 0.7 passes 0.5, 0.55, 0.6, 0.65, and 0.7, of ten thresholds.
    narrower = (10.0, 10.0, 30.0, 24.1)
    result = mean_average_precision([found((narrower, 0.9))], [boxes(HERE)])
    assert result == Precision(pytest.approx(1), pytest.approx(0.5))


def test_a_hand_worked_curve_over_two_pictures():
    # By falling score: right, wrong, right; 3 objects in all, one is never found. Precision is 1 up to a recall of
    # 1/3 and 2/3 up to 2/3, read at the 101 recalls 0, 0.01 ... 1: 34 times 1, 33 times 2/3, then nothing.
    nowhere = (200.0, 200.0, 220.0, 220.0)
    detections = [found((HERE, 0.9), (nowhere, 0.8)), found((THERE, 0.7))]
    result = mean_average_precision(detections, [boxes(HERE, THERE), boxes(THERE)])
    wanted = pytest.approx((34 + 33 * 2 / 3) / 101, abs=1e-6)
    assert result == Precision(wanted, wanted)


def test_finding_an_object_twice_is_right_once():
    # Right, wrong, right: precision 1 up to a recall of 1/2, then 2/3.
    detections = [found((HERE, 0.9), (HERE, 0.8), (THERE, 0.7))]
    result = mean_average_precision(detections, [boxes(HERE, THERE)])
    assert result is not None
    assert result.map50 == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)


def test_detections_belong_to_their_picture():
    result = mean_average_precision([found(), found((HERE, 0.9))], [boxes(HERE), boxes()])
    assert result == Precision(0, 0)
    with pytest.raises(ValueError, match="2 pictures and true boxes of 1"):
        mean_average_precision([found(), found()], [boxes(HERE)])


def test_a_detector_is_asked_for_every_batch_and_nothing_is_printed(capfd):
    class Corner(torch.nn.Module):
        """Sees one object of 8x8 pixels at the top left of every picture."""

        def forward(self, images):
            raw = torch.zeros(len(images), 5, images.shape[2] // 8, images.shape[3] // 8)
            raw[:, 0] = -12
            raw[:, 0, 0, 0] = 12
            return raw

    corner = {"boxes": boxes((0, 0, 8, 8)), "labels": torch.tensor([1]), "image_id": torch.tensor(0)}

    class Three:
        """Pictures in two batches."""

        size, device = (16, 16), torch.device("cpu")

        def __len__(self):
            return 3

        def batches(self, batch_size, *, start=0):
            assert (batch_size, start) == (2, 0)
            yield Batch(torch.zeros(2, 3, 16, 16), [corner, corner])
            yield Batch(torch.zeros(1, 3, 16, 16), [corner])

    assert find(detecting(Corner()), Three(), 2).precision == Precision(pytest.approx(1), pytest.approx(1))
    assert capfd.readouterr().out == ""
