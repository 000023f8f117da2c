"""An accelerator that runs out of memory: simulated, by a detector or a dataset that says so."""

import pytest
import torch

from rinr.training.detector import Detector, detect, new_detector
from rinr.training.evaluate import find
from rinr.training.jpegs import JpegDataset
from rinr.training.memory import fewer
from rinr.training.train import TrainingError, TrainingSettings, train
from tests.conftest import frame

SETTINGS = TrainingSettings(epochs=2, batch_size=4)


class SmallDetector(Detector):
    """Has memory for so many pictures at once."""

    most = 2

    def forward(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(images)


@pytest.fixture(scope="module")
def pictures():
    return JpegDataset([frame(number) for number in range(6)], size=(64, 48))


def of_seed(kind):
    torch.manual_seed(0)
    return kind()


def test_a_step_is_done_in_parts_that_fit_and_that_is_said(pictures):
    epochs = train(of_seed(SmallDetector), pictures, SETTINGS)
    assert [epoch.at_once for epoch in epochs] == [2, 2]


def test_parts_add_up_to_the_gradient_of_the_whole(pictures):
    """Where each picture has one object of one size, a part counts by its pictures, and nothing else is different."""
    gradients = []
    for kind in (SmallDetector, Detector):
        states = []
        train(of_seed(kind), pictures, SETTINGS, keep=states.append, keep_every=1)
        gradients.append(states[0].means["head.1.bias"] / 0.1)  # AdamW's first mean is a tenth of the gradient
    in_parts, whole = gradients
    assert torch.allclose(in_parts, whole, rtol=1e-3)
    assert whole.abs().min() > 1e-3


def test_a_dataset_may_run_out_once_as_well(pictures, monkeypatch):
    real, calls = JpegDataset.batch, []

    def once(dataset, places, **options):
        calls.append(len(places))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(dataset, places, **options)

    monkeypatch.setattr(JpegDataset, "batch", once)
    epochs = train(new_detector(0), pictures, SETTINGS)
    assert calls == [4, 2, 2, 2, 2, 2]
    assert [epoch.at_once for epoch in epochs] == [2, 2]


def test_in_parts_each_picture_is_seen_once_an_epoch(pictures, monkeypatch):
    real, seen = JpegDataset.batch, []

    def noted(dataset, places, **options):
        made = real(dataset, places, **options)
        seen.append(list(places))
        return made

    monkeypatch.setattr(JpegDataset, "batch", noted)
    train(of_seed(SmallDetector), pictures, TrainingSettings(epochs=1, batch_size=4))
    assert len(seen[0]) == 4
    assert sorted(place for places in seen[1:] for place in places) == list(range(6))


def test_no_memory_for_one_picture_is_a_clear_error(pictures, monkeypatch):
    monkeypatch.setattr(SmallDetector, "most", 0)
    with pytest.raises(TrainingError, match="no memory for a single picture: train on smaller pictures, or on the CPU"):
        train(of_seed(SmallDetector), pictures, SETTINGS)


def test_finding_goes_on_with_fewer_at_once(pictures):
    detector = of_seed(SmallDetector).eval()
    found = find(lambda images: detect(detector, images), pictures, 4)
    whole = find(lambda images: detect(of_seed(Detector).eval(), images), pictures, 2)
    assert len(found.found) == len(found.truths) == 6
    for mine, theirs in zip(found.found, whole.found, strict=True):
        assert torch.allclose(mine.scores, theirs.scores, atol=1e-6)


@pytest.mark.parametrize(("at_once", "less"), [(2, 1), (3, 1), (4, 2), (6, 3), (9, 3), (7, 1)])
def test_fewer_divides_what_was(at_once, less):
    assert fewer(at_once) == less
