"""The committed sample: small, valid, labelled truly, and derived from the photographs that it names."""

import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rinr.frames import Frame, working_frame
from rinr.labels import ImageLabels, image_id, parse_coco

SAMPLE = Path(__file__).parents[1] / "sample"
DEVICES = ("device-1", "device-2", "device-3")
LABELS = {"face", "cup", "rocket"}


def labels_of(device: str) -> dict[str, ImageLabels]:
    return parse_coco((SAMPLE / device / "annotations.json").read_bytes())


def frames_of(device: str) -> list[Frame]:
    folder = SAMPLE / device
    return [working_frame((folder / name).read_bytes(), labels) for name, labels in labels_of(device).items()]


def make_sample(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = SAMPLE / "make_sample.py"
    return subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, timeout=120)


def test_the_sample_is_at_most_two_megabytes() -> None:
    files = [path for path in SAMPLE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 2_000_000


def test_there_are_three_devices() -> None:
    assert sorted(path.parent.name for path in SAMPLE.glob("*/annotations.json")) == list(DEVICES)


def test_no_two_frames_are_equal() -> None:
    ids = [image_id(path.read_bytes()) for path in SAMPLE.glob("*/*.jpg")]
    assert len(ids) == len(set(ids)) == 36


@pytest.mark.parametrize("device", DEVICES)
class TestOneDevice:
    def test_has_twelve_frames_and_annotations_for_each(self, device: str) -> None:
        names = sorted(path.name for path in (SAMPLE / device).glob("*.jpg"))
        assert len(names) == 12
        assert sorted(labels_of(device)) == names

    def test_frames_are_plain_jpegs_of_the_annotated_size(self, device: str) -> None:
        for name, labels in labels_of(device).items():
            with Image.open(io.BytesIO((SAMPLE / device / name).read_bytes())) as image:
                image.load()
                assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (320, 240))
                assert not image.getexif()
                assert "icc_profile" not in image.info
            assert labels.size == (320, 240)

    def test_annotations_have_the_fields_of_coco_detection(self, device: str) -> None:
        document = json.loads((SAMPLE / device / "annotations.json").read_bytes())
        assert {category["name"] for category in document["categories"]} == LABELS
        images = {image["id"] for image in document["images"]}
        assert len(images) == 12
        for annotation in document["annotations"]:
            assert annotation["image_id"] in images
            assert annotation["iscrowd"] == 0
            x, y, width, height = annotation["bbox"]
            assert x >= 0
            assert y >= 0
            assert x + width <= 320.01
            assert y + height <= 240.01
            assert annotation["area"] == pytest.approx(width * height, abs=0.01)
        ids = [annotation["id"] for annotation in document["annotations"]]
        assert len(ids) == len(set(ids))

    def test_frames_are_taken_one_second_apart(self, device: str) -> None:
        times = [labels.captured_at for _, labels in sorted(labels_of(device).items())]
        gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(times) if a and b]
        assert gaps == [1.0] * 11

    def test_every_label_is_seen_and_every_frame_has_a_whole_object(self, device: str) -> None:
        frames = frames_of(device)
        assert {box.label for frame in frames for box in frame.boxes} == LABELS
        for frame in frames:
            assert frame.notes == ()
            assert any(b.x > 0 and b.y > 0 and b.x + b.width < 320 and b.y + b.height < 240 for b in frame.boxes)

    def test_neighbours_in_a_clip_resemble_each_other_more_than_other_clips(self, device: str) -> None:
        frames = [frame.pixels.astype(float) for frame in frames_of(device)]
        clips = [frames[start : start + 4] for start in (0, 4, 8)]
        within = [np.abs(a - b).mean() for clip in clips for a, b in itertools.pairwise(clip)]
        across = [np.abs(a - b).mean() for one, other in itertools.combinations(clips, 2) for a in one for b in other]
        assert max(within) < min(across)


@pytest.mark.parametrize("label", ["face", "cup"])
def test_boxes_of_one_label_hold_the_same_object_in_every_frame(label: str) -> None:
    crops = []
    for device in DEVICES:
        for frame in frames_of(device):
            for box in (b for b in frame.boxes if b.label == label):
                crop = Image.fromarray(frame.pixels[box.slices]).convert("L").resize((24, 24))
                crops.append(np.asarray(crop, dtype=float).ravel())
    assert len(crops) == 12
    assert np.corrcoef(crops).min() > 0.9


def test_the_readme_names_every_photograph_of_the_script() -> None:
    script = (SAMPLE / "make_sample.py").read_text()
    readme = (SAMPLE / "README.md").read_text()
    photographs = set(re.findall(r'Clip\("(\w+)"', script))
    assert photographs
    for photograph in photographs:
        assert f"| `{photograph}` |" in readme


def test_the_committed_frames_derive_from_the_photographs() -> None:
    pytest.importorskip("skimage")
    result = make_sample("--out", str(SAMPLE), "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_check_names_every_file_that_does_not_derive(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    for device in DEVICES:
        shutil.copytree(SAMPLE / device, tmp_path / device)
    shutil.copy(tmp_path / "device-1" / "frame-02.jpg", tmp_path / "device-1" / "frame-01.jpg")
    (tmp_path / "device-2" / "frame-03.jpg").unlink()
    (tmp_path / "device-2" / "frame-99.jpg").write_bytes(b"")
    annotations = tmp_path / "device-3" / "annotations.json"
    annotations.write_text(annotations.read_text().replace('"iscrowd": 0', '"iscrowd": 1', 1))
    result = make_sample("--out", str(tmp_path), "--check")
    assert result.returncode == 1
    named = [line.split(": ")[0] for line in result.stdout.splitlines()]
    assert named == [
        str(tmp_path / "device-1" / "frame-01.jpg"),
        str(tmp_path / "device-2" / "frame-03.jpg"),
        str(tmp_path / "device-2" / "frame-99.jpg"),
        str(annotations),
    ]


def test_the_script_writes_what_its_check_accepts_and_deletes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    stranger = tmp_path / "device-1" / "stranger.jpg"
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    assert make_sample("--out", str(tmp_path)).returncode == 0
    assert stranger.read_bytes() == b"mine"
    stranger.unlink()
    assert make_sample("--out", str(tmp_path), "--check").returncode == 0
