"""A device with delivered frames and own pictures, in temporary folders."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from device import learning
from device.job import DeviceJob
from device.own_pictures import Share
from rinr.boxes import Annotation
from rinr.encoder import encode
from rinr.frames import working_frame
from rinr.labels import ImageLabels
from rinr.presets import Preset
from rinr.shard import ShardRow
from rinr.training.train import TrainingSettings
from storage.fleet import Device
from storage.shards.manifest import Manifest
from tests.conftest import jpeg, picture
from tests.device.fog import Fog


@dataclass(frozen=True)
class Scene:
    """A JPEG of 96x64 pixels with a bright square of 24 pixels somewhere."""

    data: bytes
    box: Annotation

    @staticmethod
    def make(seed: int) -> "Scene":
        rng = np.random.default_rng(seed)
        pixels = picture(seed, 96, 64) // 2
        x, y = int(rng.integers(4, 68)), int(rng.integers(4, 36))
        pixels[y : y + 24, x : x + 24] = (250, 220, 40)
        return Scene(jpeg(pixels), Annotation(x, y, 24, 24, "square"))


_encoded: dict[tuple[bytes, bool], ShardRow] = {}


def encoded(scenes: Sequence[Scene], preset: Preset, labelled: bool = True) -> list[ShardRow]:
    """The scenes as another device's, encoded; each is fitted once for all tests."""
    lacking = [scene for scene in scenes if (scene.data, labelled) not in _encoded]
    frames = [working_frame(s.data, ImageLabels("x", (96, 64), None, (s.box,) if labelled else ())) for s in lacking]
    for scene, image in zip(lacking, encode(frames, preset) if frames else (), strict=True):
        _encoded[scene.data, labelled] = ShardRow(image.image_id, image.frame)
    return [_encoded[scene.data, labelled] for scene in scenes]


@dataclass(frozen=True)
class Bench:
    """One device's folders, and the fog node that delivers to it."""

    folder: Path
    preset: Preset

    @cached_property
    def device(self) -> Device:
        places = {name: str(self.folder / name) for name in ("inbox", "outbox", "storage", "home")}
        return Device(name="cam-b", **places)

    @cached_property
    def fog(self) -> Fog:
        return Fog.beside(self.device, self.folder / "fog-keys")

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def job(self, epochs: int = 2, seed: int = 0, **settings: object) -> DeviceJob:
        """One that tests on all own pictures and trains on none, where nothing else is said."""
        training = TrainingSettings(epochs=epochs, seed=seed)
        settings = {"own": Share(held_out=1), **settings}
        return DeviceJob(self.device, training=training, torch_device="cpu", **settings)

    def rows(self, scenes: Sequence[Scene], labelled: bool = True) -> list[ShardRow]:
        """The scenes as another device's, encoded."""
        return encoded(scenes, self.preset, labelled)

    def deliver(self, scenes: Sequence[Scene], labelled: bool = True, **fields: object) -> Manifest:
        return self.fog.deliver(self.rows(scenes, labelled), **fields)

    def capture(self, scenes: Sequence[Scene]) -> None:
        """The scenes as the device's own pictures, with labels."""
        storage = self.folder / "storage"
        storage.mkdir(exist_ok=True)
        images, annotations = [], []
        for number, scene in enumerate(scenes):
            name = f"{number:03}.jpg"
            (storage / name).write_bytes(scene.data)
            images.append({"id": number, "file_name": name, "width": 96, "height": 64})
            b = scene.box
            bbox = [b.x, b.y, b.width, b.height]
            annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": bbox})
        categories = [{"id": 1, "name": "square"}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (storage / "annotations.json").write_text(json.dumps(document))


@pytest.fixture
def bench(tmp_path: Path, tiny: Preset) -> Bench:
    return Bench(tmp_path, tiny)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a job its pictures."""
    for name, drawn in {"draw_curve": b"a picture", "draw_page": b"a page", "as_jpeg": b"a sheet"}.items():
        monkeypatch.setattr(learning, name, lambda *_, made=drawn: made)
    monkeypatch.setattr(learning, "draw_detections", lambda *_: [])
    monkeypatch.setattr(learning, "sheet", lambda *_: None)


@pytest.fixture
def scenes() -> Callable[[int, int], list[Scene]]:
    """Scenes of the seeds from one number up to before another."""
    return lambda start, stop: [Scene.make(seed) for seed in range(start, stop)]
