"""The code of docs/training.md runs, with stand-ins for packages that are not needed here."""

import re
import sys
import types
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from rinr.shard import to_table

DOCUMENT = Path(__file__).parents[3] / "docs" / "training.md"


class StandIn(nn.Module):
    """Has the interface of torchvision's detectors in training, and holds callers to it."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.classes, self.steps = num_classes, 0

    def forward(self, images, targets):
        assert isinstance(images, list)
        assert len(images) == len(targets)
        for image, target in zip(images, targets, strict=True):
            assert image.ndim == 3
            boxes, (height, width) = target["boxes"], image.shape[-2:]
            assert boxes.shape[1:] == (4,)
            assert (boxes[:, 2:] > boxes[:, :2]).all()
            assert (boxes >= 0).all()
            assert (boxes <= torch.tensor([width, height, width, height])).all()
            assert target["labels"].dtype == torch.int64
            assert all(0 < label < self.classes for label in target["labels"].tolist())
        self.steps += 1
        return {"one": (torch.stack(images).mean((0, 2, 3)) * self.weight).sum(), "other": self.weight.square().sum()}


class YoloStandIn:
    """Likewise for a model that takes one dictionary."""

    def __init__(self) -> None:
        self.objects = 0

    def __call__(self, batch):
        images, boxes, index = batch["img"], batch["bboxes"], batch["batch_idx"]
        assert images.shape[2] % 32 == images.shape[3] % 32 == 0
        assert boxes.shape == (len(index), 4)
        assert batch["cls"].shape == (len(index), 1)
        assert (batch["cls"] >= 0).all()
        assert (boxes > 0).all()
        assert (boxes <= 1).all()
        assert (index < len(images)).all()
        self.objects += len(index)
        return images.mean(dim=(1, 2, 3)).requires_grad_(), None


@pytest.fixture
def torchvision(monkeypatch):
    made = []
    module = types.ModuleType("torchvision.models.detection")

    def build(weights, num_classes):
        assert weights is None
        made.append(StandIn(num_classes))
        return made[-1]

    module.fasterrcnn_mobilenet_v3_large_320_fpn = build
    for name in ("torchvision", "torchvision.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", module)
    return made


def test_the_documents_code_runs(mixed, torchvision, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [row for row in mixed if row.frame.width * row.frame.height < 50_000]
    pq.write_table(to_table(rows), "shard.parquet")
    steps = []
    yolo = YoloStandIn()
    names = {
        "device": "cpu",
        "classes": sorted({box.label for row in rows for box in row.frame.boxes}),
        "train_step": lambda images, targets: steps.append(len(images)),
        "yolo_model": yolo,
        "rank": 0,
        "world": 2,
    }
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    assert sum(steps[:2]) == 2 * len(rows)
    assert torchvision[0].steps == 2 * -(-len(rows) // 8)
    assert yolo.objects > 0
    assert len(list(Path("cache").iterdir())) == 1


def test_every_message_of_the_document_is_one_that_the_code_gives():
    code = "".join(path.read_text() for path in (DOCUMENT.parents[1] / "rinr").rglob("*.py"))
    table = DOCUMENT.read_text().split("| message |")[1]
    for message in re.findall(r"^\| `(.*?)`", table, flags=re.MULTILINE):
        words = max(re.split(r"\.\.\.|'cat'|60x48|payload|: damaged|8 pixels|on cuda", message), key=len).strip(" :,")
        assert words in re.sub(r'"\s*\n\s*f?"', "", code), message
