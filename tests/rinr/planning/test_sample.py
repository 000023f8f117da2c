import json
from pathlib import Path
from statistics import mean

import pytest

from rinr.folders import FolderError
from rinr.planning.sample import sample_folder, stretches
from tests.conftest import jpeg, picture


def fill(path: Path, count: int, labels: bool = True) -> Path:
    path.mkdir(parents=True)
    for number in range(count):
        (path / f"{number}.jpg").write_bytes(jpeg(picture(number), quality=60 + number))
    document = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(count)],
        "annotations": [{"id": n, "image_id": n, "category_id": 1, "bbox": [0, 0, 32, 24]} for n in range(count)],
        "categories": [{"id": 1, "name": "square"}],
    }
    if labels:
        (path / "annotations.json").write_text(json.dumps(document))
    return path


def test_one_of_each_stretch():
    for total, count in ((100, 12), (13, 12), (12, 12), (5, 12)):
        drawn = stretches(total, count, seed=3)
        assert len(drawn) == min(total, count)
        assert list(drawn) == sorted(set(drawn))
        if count < total:
            for index, number in enumerate(drawn):
                assert index * total // count <= number < (index + 1) * total // count
    assert stretches(1_000, 12, 1) == stretches(1_000, 12, 1) != stretches(1_000, 12, 2)


def test_bytes_are_the_whole_folders_and_frames_the_samples(tmp_path):
    fill(tmp_path / "fleet" / "cam-1", 5)
    fill(tmp_path / "fleet" / "cam-2", 3, labels=False)
    found = sample_folder(tmp_path / "fleet", 4)
    files = list((tmp_path / "fleet").rglob("*.jpg"))
    assert (found.images, len(found.frames)) == (8, 4)
    assert found.picture_bytes == pytest.approx(mean(file.stat().st_size for file in files))
    labels = (tmp_path / "fleet" / "cam-1" / "annotations.json").stat().st_size
    assert found.label_bytes == pytest.approx(labels / 8)
    assert found.box_share == pytest.approx(0.25)
    assert 0 < found.labelled < 4


def test_what_is_no_picture_is_named_and_left_out(tmp_path):
    folder = fill(tmp_path / "cam", 3)
    (folder / "1.jpg").write_bytes(b"\xff\xd8 no picture")
    found = sample_folder(folder, 3)
    assert len(found.frames) == 2
    assert "1.jpg" in found.left_out[0]
    for file in folder.glob("*.jpg"):
        file.write_bytes(b"nothing")
    with pytest.raises(FolderError, match="none of 3 files that were tried is a picture"):
        sample_folder(folder, 3)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FolderError, match=r"holds no \.jpg"):
        sample_folder(tmp_path, 3)
