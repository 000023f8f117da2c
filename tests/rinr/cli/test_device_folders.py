import json
import os
from pathlib import Path

import pytest

from rinr.cli.device_folders import DataError, copy_files, plan_devices


def fill(folder: Path, count: int, labels: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number}.jpg" for number in range(1, count + 1)]
    for name in names:
        (folder / name).write_bytes(name.encode())
        os.utime(folder / name, (1_000_000, 1_000_000))
    if labels:
        document = {
            "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
            "annotations": [{"id": i, "image_id": i, "category_id": 1, "bbox": [0, 0, 1, 1]} for i in range(count)],
            "categories": [{"id": 1, "name": "thing"}],
        }
        (folder / "annotations.json").write_text(json.dumps(document))


def test_sub_folders_are_a_device_each(tmp_path: Path) -> None:
    for name in ("Cam B", "cam_a", "cam-b", ".hidden"):
        fill(tmp_path / name, 3)
    (tmp_path / "empty").mkdir()
    planned = plan_devices(tmp_path)
    assert [device.name for device in planned] == ["cam-b", "cam-b-2", "cam-a"]
    assert [device.folder.name for device in planned] == ["Cam B", "cam-b", "cam_a"]
    assert [device.name for device in plan_devices(tmp_path, devices=2)] == ["cam-b", "cam-b-2"]


def test_one_folder_is_split_into_runs_of_neighbours_in_numeric_order(tmp_path: Path) -> None:
    fill(tmp_path, 11)
    planned = plan_devices(tmp_path, devices=3)
    assert [device.name for device in planned] == ["device-1", "device-2", "device-3"]
    files = [[int(file.stem) for file in device.files] for device in planned]
    assert files == [[1, 2, 3, 4], [5, 6, 7], [8, 9, 10, 11]]


def test_a_single_sub_folder_is_split(tmp_path: Path) -> None:
    fill(tmp_path / "only", 6)
    planned = plan_devices(tmp_path)
    assert [len(device.files) for device in planned] == [2, 2, 2]
    assert planned[0].folder == tmp_path / "only"


def test_frames_are_spread_over_what_there_is(tmp_path: Path) -> None:
    fill(tmp_path / "a", 10)
    fill(tmp_path / "b", 2)
    first, second = plan_devices(tmp_path, frames=5)
    assert [int(file.stem) for file in first.files] == [1, 3, 5, 7, 9]
    assert first.available == 10
    assert len(second.files) == 2


@pytest.mark.parametrize(
    ("count", "devices", "message"),
    [(2, 3, "2 JPEGs, too few for 3 devices"), (0, None, "0 JPEGs"), (9, 1, "1 devices: choose 2 to 64")],
)
def test_too_little_data_is_said(tmp_path: Path, count: int, devices: int | None, message: str) -> None:
    fill(tmp_path, count)
    with pytest.raises(DataError, match=message):
        plan_devices(tmp_path, devices=devices)


def test_more_devices_than_sub_folders_is_said(tmp_path: Path) -> None:
    fill(tmp_path / "a", 1)
    fill(tmp_path / "b", 1)
    with pytest.raises(DataError, match=r"3 devices, but .* has 2 sub-folders"):
        plan_devices(tmp_path, devices=3)


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        plan_devices(tmp_path / "nowhere")


def test_a_device_gets_its_files_with_their_times_and_its_part_of_the_labels(tmp_path: Path) -> None:
    fill(tmp_path / "data", 6)
    second = plan_devices(tmp_path / "data", devices=3)[1]
    copy_files(second, tmp_path / "storage")
    assert sorted(path.name for path in (tmp_path / "storage").glob("*.jpg")) == ["3.jpg", "4.jpg"]
    assert (tmp_path / "storage" / "3.jpg").read_bytes() == b"3.jpg"
    assert (tmp_path / "storage" / "3.jpg").stat().st_mtime == 1_000_000
    document = json.loads((tmp_path / "storage" / "annotations.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["3.jpg", "4.jpg"]
    assert [box["image_id"] for box in document["annotations"]] == [2, 3]
    assert document["categories"] == [{"id": 1, "name": "thing"}]


def test_labels_that_cannot_be_cut_are_left_for_ingestion_to_refuse(tmp_path: Path) -> None:
    fill(tmp_path / "data", 3, labels=False)
    (tmp_path / "data" / "annotations.json").write_bytes(b'{"images": [')
    copy_files(plan_devices(tmp_path / "data")[0], tmp_path / "storage")
    assert (tmp_path / "storage" / "annotations.json").read_bytes() == b'{"images": ['
