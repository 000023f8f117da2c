"""Files of a folder in the order in which they were taken."""

import json
from pathlib import Path

import pytest
from PIL import Image

from rinr.folders import LabelledFolder, counting, labelled_folders
from rinr.frames import ImageError, capture_time
from tests.conftest import jpeg, picture


def exif(date: str) -> Image.Exif:
    made = Image.Exif()
    made[0x0132] = date
    return made


def folder(path: Path, dates: dict[str, str | None], coco: dict[str, str] | None = None) -> LabelledFolder:
    path.mkdir()
    for name, date in dates.items():
        (path / name).write_bytes(jpeg(picture(1), **({"exif": exif(date)} if date else {})))
    images = [
        {"id": number, "file_name": name, "width": 64, "height": 48, "date_captured": date}
        for number, (name, date) in enumerate((coco or {}).items())
    ]
    (path / "annotations.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    (found,) = labelled_folders(path)
    return found


def named(found: LabelledFolder) -> list[str]:
    return [file.name for file, _ in found.in_order()]


def test_time_goes_before_names_and_exif_before_labels(tmp_path: Path) -> None:
    dates = {"a.jpg": "2026:05:01 12:00:03", "b.jpg": "2026:05:01 12:00:01", "c.jpg": None}
    found = folder(tmp_path / "cam", dates, {"a.jpg": "2026-05-01 11:00:00", "c.jpg": "2026-05-01 12:00:02"})
    assert named(found) == ["b.jpg", "c.jpg", "a.jpg"]
    first, second, third = (time for _, time in found.in_order())
    assert (second - first, third - second) == (1.0, 1.0)


def test_where_one_says_no_time_and_where_times_are_equal_names_count_as_cameras_do(tmp_path: Path) -> None:
    names = ["f10.jpg", "f9.jpg", "f1.jpg"]
    untold = folder(tmp_path / "one", {names[0]: "2026:05:01 12:00:03", names[1]: None, names[2]: None})
    assert named(untold) == ["f1.jpg", "f9.jpg", "f10.jpg"]
    assert [time is None for _, time in untold.in_order()] == [True, True, False]
    equal = folder(tmp_path / "two", dict.fromkeys(names, "2026:05:01 12:00:03"))
    assert named(equal) == ["f1.jpg", "f9.jpg", "f10.jpg"]


def test_a_broken_file_keeps_its_place_by_name(tmp_path: Path) -> None:
    found = folder(tmp_path / "cam", {"a.jpg": "2026:05:01 12:00:03", "b.jpg": None})
    (found.path / "b.jpg").write_bytes(b"no picture")
    assert named(found) == ["a.jpg", "b.jpg"]
    with pytest.raises(ImageError):
        capture_time(b"no picture")


def test_names_are_put_in_order_by_their_numbers() -> None:
    names = ["b2", "a10", "a9b2", "a9", "10", "9", "", "a9b10"]
    assert sorted(names, key=counting) == ["", "9", "10", "a9", "a9b2", "a9b10", "a10", "b2"]


def test_labels_are_found_under_the_name_that_roboflow_gives_them(tmp_path: Path) -> None:
    found = folder(tmp_path / "cam", {"a.jpg": None}, {"a.jpg": "2026-05-01 11:00:00"})
    (tmp_path / "cam" / "annotations.json").rename(tmp_path / "cam" / "_annotations.coco.json")
    (again,) = labelled_folders(tmp_path / "cam")
    assert again.labels == found.labels != {}
