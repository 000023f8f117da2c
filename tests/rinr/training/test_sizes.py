import pytest
import torch

from rinr.training.detector import Detections
from rinr.training.sizes import SizeRow, by_size


def boxes(*corners):
    return torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)


def found(*scored):
    return Detections(boxes(*(corners for corners, _ in scored)), torch.tensor([score for _, score in scored]))


SMALL, MEDIUM, LARGE = (0.0, 0.0, 31.0, 31.0), (100.0, 0.0, 140.0, 40.0), (100.0, 100.0, 200.0, 200.0)


def test_each_object_is_found_missed_or_imagined_by_its_size():
    nowhere = (300.0, 0.0, 310.0, 10.0)
    detections = [found((MEDIUM, 0.9), (nowhere, 0.5)), found((LARGE, 0.8))]
    assert by_size(detections, [boxes(SMALL, MEDIUM), boxes(LARGE)]) == (
        SizeRow("small", 1, (0, 0, 0), 1, 1),
        SizeRow("medium", 1, (0, 1, 0), 0, 0),
        SizeRow("large", 1, (0, 0, 1), 0, 0),
    )


def test_what_is_found_too_large_counts_as_found_in_another_column():
    larger = (0.0, 0.0, 31.0, 40.0)  # 1,240 square pixels, and 0.775 in common with 31x31
    small, medium, _ = by_size([found((larger, 0.9))], [boxes(SMALL)])
    assert (small.found_as, small.missed, medium.imagined) == ((0, 1, 0), 0, 0)


def test_twice_found_is_once_imagined_and_a_low_score_is_not_said():
    small, *_ = by_size([found((SMALL, 0.9), (SMALL, 0.8), (SMALL, 0.29))], [boxes(SMALL)])
    assert (small.found_as, small.imagined) == ((1, 0, 0), 1)


@pytest.mark.parametrize(("width", "hit"), [(15.6, 1), (15.4, 0)])
def test_half_in_common_is_what_counts(width, hit):
    small, *_ = by_size([found(((0.0, 0.0, width, 31.0), 0.9))], [boxes(SMALL)])
    assert (sum(small.found_as), small.missed, small.imagined) == (hit, 1 - hit, 1 - hit)


def test_pictures_without_objects_or_detections():
    assert by_size([found(), found((SMALL, 0.9))], [boxes(), boxes()])[0] == SizeRow("small", 0, (0, 0, 0), 0, 1)
    assert sum(row.objects for row in by_size([], [])) == 0
