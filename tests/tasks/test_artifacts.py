import io

import numpy as np
import pytest
from PIL import Image

from tasks import artifacts
from tasks.artifacts import artifact_key, publish_table, reduced


def png(width: int, height: int) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_picture_is_reduced_to_what_the_database_takes() -> None:
    small = reduced(png(2000, 1500))  # noise, which compresses worst
    assert len(small) <= 600_000
    width, height = Image.open(io.BytesIO(small)).size
    assert width <= 1200
    assert abs(width / height - 4 / 3) < 0.01


def test_a_small_picture_keeps_its_size() -> None:
    assert Image.open(io.BytesIO(reduced(png(300, 20)))).size == (300, 20)


def test_keys_have_only_what_prefect_takes() -> None:
    assert artifact_key("training-curve-Bridge Cam_1") == "training-curve-bridge-cam-1"


def test_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(artifacts, "create_table_artifact", lambda rows, key, description: seen.extend(rows))
    publish_table("k", "d", [{"a": None, "b": 1.234567, "c": 3, "d": "x"}])
    assert seen == [{"a": "", "b": 1.2346, "c": 3, "d": "x"}]
