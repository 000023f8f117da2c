"""Comparing what the store holds with JPEG: frames of clips decode with what they share, which counts."""

import logging
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storage.tables import IMAGES
from tasks import compare as module
from tasks.compare import compare_frames
from tests.rinr.test_backgrounds import PART
from tests.tasks.test_publish_clips import FLEET, filled


def test_frames_of_clips_are_compared_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: dict[str, Any] = {}
    for name in ("publish_table", "publish_picture"):
        monkeypatch.setattr(module, name, lambda key, description, what: published.__setitem__(key, what))
    monkeypatch.setattr(module, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(module, "CONTROLS", ("jpeg:90",))
    store = filled(tmp_path)
    comparison = compare_frames.fn(FLEET, store.url, "clip", str(tmp_path / "report"))
    own = sum(store.scan(IMAGES)["bytes_total"].to_pylist())
    ours = comparison.rows[-1]
    assert (comparison.frames, ours.name) == (5, "ours, clip")
    assert ours.bytes_a_frame == pytest.approx((own + len(PART)) / 5)
    assert set(published) == {"comparison", "mosaic"}
    assert Image.open(tmp_path / "report" / "mosaic.png").width > 1000
