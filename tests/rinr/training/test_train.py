import numpy as np
import pytest
import torch

from rinr.boxes import Box
from rinr.frames import Frame
from rinr.training.dataset import RinrDataset
from rinr.training.detector import new_detector
from rinr.training.evaluate import detecting, find
from rinr.training.jpegs import JpegDataset
from rinr.training.train import TrainingError, TrainingSettings, train
from tests.conftest import frame, picture


def scene(seed: int) -> Frame:
    """A soft background with a bright square of 24 pixels somewhere."""
    rng = np.random.default_rng(seed)
    pixels = picture(seed, 96, 64) // 2
    x, y = int(rng.integers(4, 68)), int(rng.integers(4, 36))
    pixels[y : y + 24, x : x + 24] = (250, 220, 40)
    return Frame(f"{seed:064x}", "0" * 64, pixels, (Box(x, y, 24, 24, "square"),), (96, 64))


def test_a_detector_trained_on_decoded_frames_finds_the_object_in_other_jpegs(encoded):
    dataset = RinrDataset(encoded([scene(seed) for seed in range(8)]))
    unseen = JpegDataset([scene(seed) for seed in range(20, 28)], size=dataset.size)
    detector = new_detector(0)
    before = find(detecting(detector), unseen, 4).precision
    seen = []
    epochs = train(detector, dataset, TrainingSettings(epochs=40), lambda done, total: seen.append((done, total)))
    after = find(detecting(detector), unseen, 4).precision
    assert before is not None
    assert after is not None
    assert after.map50 > 0.6 > 0.3 > before.map50
    assert epochs[-1].loss < epochs[0].loss / 2
    assert all(epoch.decode_seconds > 0 and epoch.step_seconds > 0 for epoch in epochs)
    assert seen == [(done, 40) for done in range(1, 41)]


def test_the_same_seed_gives_the_same_weights(encoded):
    dataset = RinrDataset(encoded([frame(0), frame(1), frame(2)]))

    def trained(seed):
        detector = new_detector(0)
        losses = [epoch.loss for epoch in train(detector, dataset, TrainingSettings(epochs=3, seed=seed))]
        return losses, torch.cat([weight.detach().flatten() for weight in detector.parameters()])

    (losses, weights), (again_losses, again), (_, other) = trained(5), trained(5), trained(6)
    assert losses == again_losses
    assert torch.equal(weights, again)
    assert not torch.equal(weights, other)


def test_a_loss_that_is_no_number_is_an_error_that_says_where(encoded):
    dataset = RinrDataset(encoded([frame(0)]))
    detector = new_detector(0)
    with torch.no_grad():
        detector.head[-1].bias[0] = float("nan")
    with pytest.raises(TrainingError, match=r"the loss is nan in epoch 1, batch 1: .*learning rate below 0.002"):
        train(detector, dataset, TrainingSettings(epochs=2))


def test_frames_without_boxes_can_be_among_them(encoded):
    dataset = RinrDataset(encoded([frame(0, ()), frame(1)]))
    epochs = train(new_detector(0), dataset, TrainingSettings(epochs=2, batch_size=1))
    assert len(epochs) == 2


@pytest.mark.parametrize("field", ["epochs", "batch_size", "learning_rate"])
def test_settings_that_make_no_sense_are_refused_by_name(field):
    with pytest.raises(ValueError, match=f"{field} is 0, expected more than 0"):
        TrainingSettings(**{field: 0})


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_seeds_are_bounded(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}, expected 0 to 4294967295"):
        TrainingSettings(seed=seed)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_training_runs_where_the_weights_lie(encoded):
    dataset = RinrDataset(encoded([frame(0), frame(1, ())]), device="cuda")
    detector = new_detector(0, "cuda")
    assert len(train(detector, dataset, TrainingSettings(epochs=2))) == 2
    assert next(dataset.batches(2)).images.is_cuda
    assert find(detecting(detector), dataset, 2).precision is not None
