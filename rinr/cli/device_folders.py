"""Device folders for a demo: the sample's, or a user's own JPEGs spread over devices with their COCO labels."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rinr.cli.console import device_name
from rinr.folders import LABELS_FILE, spread
from rinr.labels import MAX_FILE_BYTES
from rinr.picture_files import PICTURE_SUFFIXES

DEFAULT_DEVICES = 3
MAX_DEVICES = 64


class DataError(ValueError):
    """A data folder that no devices can be made from; the message says what was expected."""


@dataclass(frozen=True)
class DeviceFiles:
    """What one device will have in its storage.

    Attributes:
        name: of the device.
        folder: that the files are taken from.
        files: relative to the folder.
        available: how many JPEGs there were to choose from.
    """

    name: str
    folder: Path
    files: tuple[Path, ...]
    available: int


def plan_devices(data: Path, devices: int | None = None, frames: int | None = None) -> list[DeviceFiles]:
    """Decide which JPEGs go to which device.

    Two or more sub-folders with JPEGs are a device each, the first ``devices`` of them by name. Otherwise the folder
    is split into runs of neighbouring files, as if each device had filmed a part of the way.

    Args:
        data: a folder with JPEGs, or with sub-folders of JPEGs.
        devices: how many; by default all sub-folders, or three parts of one folder.
        frames: JPEGs a device at most, spread evenly over its files; all without it.

    Raises:
        DataError: the folder does not exist or has too few JPEGs.
    """
    if not data.is_dir():
        raise DataError(f"the data folder {data} does not exist; name a folder of JPEGs with --data")
    if devices is not None and not 2 <= devices <= MAX_DEVICES:
        raise DataError(f"{devices} devices: choose 2 to {MAX_DEVICES}, since devices train on each other's images")
    folders = [folder for folder in sorted(data.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    filled = [folder for folder in folders if _jpegs(folder)]
    direct = any(_is_jpeg(path) for path in data.iterdir())
    if len(filled) >= 2 and not direct:
        if devices is not None and devices > len(filled):
            raise DataError(
                f"{devices} devices, but {data} has {len(filled)} sub-folders with JPEGs; "
                f"choose at most {len(filled)}, or name one folder, which is split"
            )
        groups = [(folder, _jpegs(folder)) for folder in filled[: devices or MAX_DEVICES]]
        names = _device_names([folder.name for folder, _ in groups])
    else:
        folder = filled[0] if filled and not direct else data
        parts = _parts(_jpegs(folder), devices or DEFAULT_DEVICES)
        if not parts[-1]:
            raise DataError(f"{data} has {len(_jpegs(folder))} JPEGs, too few for {len(parts)} devices")
        groups = [(folder, list(part)) for part in parts]
        names = [f"device-{number}" for number in range(1, len(parts) + 1)]
    return [
        DeviceFiles(name, folder, tuple(spread(files, frames)), len(files))
        for name, (folder, files) in zip(names, groups, strict=True)
    ]


def copy_files(device: DeviceFiles, storage: Path) -> None:
    """Fill one device's storage: its JPEGs, with their times, and the labels that speak of them."""
    storage.mkdir(parents=True, exist_ok=True)
    for file in device.files:
        target = storage / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(device.folder / file, target)
    labels = device.folder / LABELS_FILE
    if labels.is_file():
        (storage / LABELS_FILE).write_bytes(_labels_of(labels, [file.as_posix() for file in device.files]))


def _labels_of(labels: Path, files: Sequence[str]) -> bytes:
    """The COCO file cut down to some files; as it is where it cannot be cut: what reads it next says what is wrong."""
    if labels.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"{labels} has more than {MAX_FILE_BYTES:,} bytes")
    data = labels.read_bytes()
    wanted = set(files)
    try:
        document: dict[str, Any] = json.loads(data)
        images = [image for image in document["images"] if image["file_name"] in wanted]
        ids = {image["id"] for image in images}
        boxes = [box for box in document.get("annotations", []) if box["image_id"] in ids]
        return json.dumps(document | {"images": images, "annotations": boxes}).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return data


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() and not path.name.startswith(".")


def _jpegs(folder: Path) -> list[Path]:
    """JPEGs in the folder and below, relative to it, in an order in which 2 comes before 10."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if _is_jpeg(path)]
    return sorted(found, key=lambda path: [int(t) if t.isdigit() else t for t in re.split(r"(\d+)", path.as_posix())])


def _parts(files: Sequence[Path], count: int) -> list[Sequence[Path]]:
    bounds = [round(number * len(files) / count) for number in range(count + 1)]
    parts = [files[start:end] for start, end in pairwise(bounds)]
    return sorted(parts, key=lambda part: not part)  # an empty one, where files are too few, comes last


def _device_names(folders: Sequence[str]) -> list[str]:
    names: list[str] = []
    for folder in folders:
        plain = device_name(folder)[:50].strip("-")
        name = plain
        number = 2
        while name in names:
            name = f"{plain}-{number}"
            number += 1
        names.append(name)
    return names
