import json

import pytest
import safetensors.torch
import torch

from rinr.training.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from rinr.training.detector import new_detector
from rinr.training.evaluate import Precision
from rinr.training.jpegs import JpegDataset
from rinr.training.state import Epoch, TrainingState
from rinr.training.train import StateError, TrainingSettings, train
from tests.conftest import frame

STATE = TrainingState(
    step=7,
    learning_rate=0.1 + 0.2,
    at_once=2,
    epochs=(Epoch(1 / 3, 0.25, 0.5, 4, Precision(0.1, 0.05)), Epoch(0.3, 0.2, 0.4, 2)),
    loss_sum=1e-17 + 1,
    decode_seconds=0.125,
    step_seconds=2.5,
    weights={"a.weight": torch.tensor([[1.0, -2.0]]), "b": torch.tensor(3.0)},
    means={"a.weight": torch.tensor([[0.5, 0.25]])},
    squares={"a.weight": torch.tensor([[0.0, 4.0]])},
)


def same(one, other):
    tensors = ("weights", "means", "squares")
    assert {name: value for name, value in vars(one).items() if name not in tensors} == {
        name: value for name, value in vars(other).items() if name not in tensors
    }
    for name in tensors:
        mine, theirs = getattr(one, name), getattr(other, name)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_a_state_reads_back_exactly_and_equal_states_are_equal_bytes():
    data = write_checkpoint(STATE, "mine")
    same(read_checkpoint(data, "mine"), STATE)
    assert write_checkpoint(STATE, "mine") == data


def test_another_trainings_checkpoint_is_told_from_a_damaged_one():
    data = write_checkpoint(STATE, "mine")
    assert read_checkpoint(data, "yours") is None


def test_whatever_byte_is_changed_or_cut_off_is_found():
    data = write_checkpoint(STATE, "mine")
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        with pytest.raises(CheckpointError, match="no checkpoint, or damaged"):
            read_checkpoint(bytes(changed), "mine")
    for length in range(0, len(data), 7):
        with pytest.raises(CheckpointError):
            read_checkpoint(data[:length], "mine")


@pytest.mark.parametrize("entry", ["", "[]", "{}", "null", '{"sha256": 1}', "[" * 5_000])
def test_a_file_of_weights_that_is_no_checkpoint_is_refused(entry):
    with pytest.raises(CheckpointError):
        read_checkpoint(safetensors.torch.save({"a": torch.zeros(1)}, {"training": entry}), "mine")
    with pytest.raises(CheckpointError):
        read_checkpoint(safetensors.torch.save({"a": torch.zeros(1)}, {"other": json.dumps({"key": "mine"})}), "mine")


SETTINGS = TrainingSettings(epochs=3, batch_size=2, seed=4)


@pytest.fixture(scope="module")
def pictures():
    return JpegDataset([frame(number) for number in range(5)], size=(64, 48))


@pytest.fixture(scope="module")
def undisturbed(pictures):
    """The states of a training that nothing disturbed, one a step, and its detector."""
    detector, states = new_detector(0), []
    epochs = train(detector, pictures, SETTINGS, keep=states.append, keep_every=1)
    return detector, epochs, states


def losses(epochs):
    return [epoch.loss for epoch in epochs]


def weights(detector):
    return torch.cat([weight.detach().flatten() for weight in detector.parameters()])


@pytest.mark.parametrize("step", range(1, 9), ids=lambda step: f"after step {step}")
def test_cut_off_after_any_step_it_ends_with_the_same_weights(pictures, undisturbed, step):
    whole, epochs, states = undisturbed
    assert [state.step for state in states] == list(range(1, 10))
    state = read_checkpoint(write_checkpoint(states[step - 1], "key"), "key")
    detector = new_detector(1)  # whose weights have to be of no matter
    again = train(detector, pictures, SETTINGS, resume=state)
    assert torch.equal(weights(detector), weights(whole))
    assert losses(again) == losses(epochs)
    assert torch.equal(state.weights["head.1.bias"], states[step - 1].weights["head.1.bias"]), "a state stays as it is"


def test_a_finished_trainings_state_is_the_end(pictures, undisturbed):
    whole, epochs, states = undisturbed
    detector = new_detector(1)
    assert losses(train(detector, pictures, SETTINGS, resume=states[-1])) == losses(epochs)
    assert torch.equal(weights(detector), weights(whole))


def test_states_come_every_few_steps_and_at_each_epochs_end(pictures):
    states = []
    train(new_detector(0), pictures, SETTINGS, keep=states.append, keep_every=2)
    assert [state.step for state in states] == [2, 3, 4, 6, 8, 9]
    assert [len(state.epochs) for state in states] == [0, 1, 1, 2, 2, 3]


def test_a_state_of_something_else_is_refused_and_nothing_is_changed(pictures, undisturbed):
    state = undisturbed[2][3]
    detector = new_detector(0)
    before = weights(detector)
    with pytest.raises(StateError, match="other pictures or other settings"):
        train(detector, pictures, TrainingSettings(epochs=3, batch_size=2, learning_rate=1e-3), resume=state)
    with pytest.raises(StateError, match="other pictures or other settings"):
        train(detector, pictures, TrainingSettings(epochs=1, batch_size=2), resume=state)
    smaller = {name: tensor for name, tensor in state.weights.items() if name != "head.1.bias"}
    with pytest.raises(StateError, match="another detector"):
        train(detector, pictures, SETTINGS, resume=TrainingState(**{**vars(state), "weights": smaller}))
    with pytest.raises(StateError, match="another detector"):
        train(detector, pictures, SETTINGS, resume=TrainingState(**{**vars(state), "means": {}}))
    assert torch.equal(weights(detector), before)
