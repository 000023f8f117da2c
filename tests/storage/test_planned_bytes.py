"""What a plan says that a fleet sends, beside what the store, its shards and a device's answer really have."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rinr.outcome import Outcome
from rinr.planning.encoding import Bench, Uploads, measured
from rinr.planning.plan import Plan, Setting, make_plan
from rinr.planning.sample import sample_folder
from rinr.planning.survey import Survey
from rinr.presets import find_preset
from rinr.traffic import ACKNOWLEDGEMENT_BYTES, MAX_SHARD_BYTES, MAX_SHARD_ROWS, MAX_WAITING_SHARDS, Exchange
from storage import delivery
from storage.outgoing import delivery_log
from storage.outgoing.shard_building import build_shard
from storage.shards import manifest
from storage.shards.acknowledgement import Acknowledgement, next_number, write_acknowledgement
from storage.shards.manifest import write_manifest
from storage.shards.signing import SigningKey
from storage.store import Store
from storage.tables import IMAGES
from tests.conftest import jpeg, picture

DEVICES, EACH = 3, 25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three devices' pictures of several sizes, a folder each, with labels."""
    root = tmp_path_factory.mktemp("fleet")
    for device in range(DEVICES):
        place = root / f"cam-{device}"
        place.mkdir()
        images, boxes = [], []
        for number in range(EACH):
            width = 64 + 8 * (number % 5)
            (place / f"{number:03}.jpg").write_bytes(jpeg(picture(100 * device + number, width)))
            images.append({"id": number, "file_name": f"{number:03}.jpg", "width": width, "height": 48})
            boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": [19, 14, 12 + number % 3, 12]})
        document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "square"}]}
        (place / "annotations.json").write_text(json.dumps(document))
    return root


def planned(folder: Path, store: Store) -> Plan:
    """The plan of all frames with one preset; its images go into a store."""
    sample = sample_folder(folder, 10_000)
    preset = find_preset("webp:30+70")
    trial = Bench(sample.frames, sample.frames).trial(preset, Outcome())
    store.create()
    store.append(list(trial.images))
    uploads = Uploads("jpeg", sample.picture_bytes, sample.frames, 0.0)
    survey = Survey(sample, uploads, measured(trial, preset), (), None)
    return make_plan(survey, Setting(Exchange(sample.images, DEVICES, DEVICES - 1), rate=2e6, cores=1))


def test_predicted_bytes_are_those_of_real_shards_manifests_and_acknowledgements(folder: Path, tmp_path: Path) -> None:
    store, key = Store(f"{tmp_path}/store"), SigningKey.new()
    ours = planned(folder, store).find("ours")
    assert ours is not None
    down = acknowledged = 0
    for device in range(DEVICES):
        own = sample_folder(folder / f"cam-{device}", 1_000).frames
        mine = {frame.image_id for frame in own}
        rows = store.scan(IMAGES, ["image_id", "labels_id", "encoding_id"]).to_pylist()
        keys = [(row["image_id"], row["labels_id"]) for row in rows if row["image_id"] not in mine]
        assert len(keys) == (DEVICES - 1) * EACH == 50
        shard = build_shard(store, keys, rows[0]["encoding_id"], newest=True, damaged=pytest.fail)
        assert shard is not None
        down += len(shard.data) + len(write_manifest(shard.manifest(f"cam-{device}", 1, 1), key))
        said = Acknowledgement(f"cam-{device}", next_number(0), 1, 1, (), (), datetime.now(UTC))
        acknowledged += len(write_acknowledgement(said, key))
    captured = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert ours.traffic.down == pytest.approx(down, rel=0.01)
    assert ours.traffic.up == pytest.approx(captured + acknowledged, rel=0.001)
    assert pytest.approx(acknowledged, rel=0.05) == DEVICES * ACKNOWLEDGEMENT_BYTES


def test_bounds_of_shards_are_the_stores() -> None:
    assert manifest.MAX_ROWS == MAX_SHARD_ROWS
    assert delivery.MAX_SHARD_BYTES == MAX_SHARD_BYTES
    assert delivery_log.MAX_WAITING == MAX_WAITING_SHARDS
