import hashlib
import pickle

import pytest
import safetensors.torch
import torch

from rinr.training import safetensors_file
from rinr.training.detector import ARCHITECTURE, Detector, new_detector
from rinr.training.model import ModelError, read_model, write_model

WEIGHTS = new_detector(3).state_dict()
NAMED = {"architecture": ARCHITECTURE}


def saved(tensors, metadata=NAMED):
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata)


def test_a_model_reads_back_as_it_was_written():
    detector = new_detector(3)
    data = write_model(detector)
    again = read_model(data)
    assert all(torch.equal(a, b) for a, b in zip(detector.parameters(), again.parameters(), strict=True))
    assert write_model(again) == data


def test_the_name_of_the_architecture_goes_with_its_layers():
    """Whoever changes the network changes its name, so that older models are told from newer ones."""
    layers = [f"{name} {list(tensor.shape)}" for name, tensor in sorted(Detector().state_dict().items())]
    assert (ARCHITECTURE, hashlib.sha256("\n".join(layers).encode()).hexdigest()[:12]) == (
        "rinr-detector-1",
        "b52c63168727",
    )


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no safetensors file"),
        (pickle.dumps(WEIGHTS), "no safetensors file"),
        (b"\xff" * 64, "no safetensors file"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "no safetensors file"),
        (write_model(new_detector(0))[:-1], "no safetensors file"),
        (saved(WEIGHTS, {"architecture": "resnet-50"}), f"is a model of 'resnet-50', expected {ARCHITECTURE!r}"),
        (saved(WEIGHTS, None), f"names no architecture, expected {ARCHITECTURE!r}"),
        (saved({**WEIGHTS, "more": torch.zeros(1)}), "has weights 'more', which"),
        (saved({k: v for k, v in WEIGHTS.items() if k != "head.1.bias"}), "lacks the weights 'head.1.bias'"),
        (saved({**WEIGHTS, "head.1.bias": torch.zeros(6)}), r"'head.1.bias' is torch.float32 \[6\], expected torch.fl"),
        (saved({**WEIGHTS, "head.1.bias": torch.zeros(5).half()}), r"'head.1.bias' is torch.float16 \[5\], expected"),
        (
            saved({**WEIGHTS, "head.1.bias": torch.full((5,), torch.nan)}),
            "'head.1.bias' holds what is no finite number",
        ),
    ],
    ids=["empty", "pickle", "noise", "huge header", "cut", "other", "unnamed", "more", "fewer", "shape", "type", "nan"],
)
def test_what_is_no_model_of_this_architecture_is_refused_by_name(data, told):
    with pytest.raises(ModelError, match=told):
        read_model(data)


def test_a_file_that_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(safetensors_file, "MAX_BYTES", 1_000)
    with pytest.raises(ModelError, match="expected at most 1,000"):
        read_model(write_model(new_detector(0)))
