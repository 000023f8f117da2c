"""Two devices' folders that change under a run, and what has to be in the store in the end.

What is expected is kept here, by hashes and labels of this module's own making: nothing of it asks the project.
"""

import hashlib
import io
import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

DEVICES = ("cam-a", "cam-b")

Box = tuple[float, float, float, float, str]
"""Left, top, width, height in pixels, and the label."""

_CATEGORIES = ("boat", "car", "person")


@dataclass
class File:
    """A picture as it lies on a device.

    Attributes:
        data: its bytes.
        size: width and height in pixels; ``None`` where it is broken.
        boxes: what the labels say of it.
        labelled: whether they speak of it at all. Labels that cease to speak of a file leave it those it has, so that
            a file that was labelled stays so, be it without boxes.
    """

    data: bytes
    size: tuple[int, int] | None
    boxes: tuple[Box, ...] = ()
    labelled: bool = True

    @property
    def id(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass
class World:
    """The devices' folders below ``root``, made and changed at random, but always the same way for one seed.

    Attributes:
        root: holds one folder a device.
        seed: of all that is random.
        pictures: good files on both devices together; a few broken ones and copies come in addition.
        coming: files that are still to appear: device, path, file.
        files: what lies there now, by device and path.
        images: hashes of all good contents that were ever taken or are to be.
    """

    root: Path
    seed: int
    pictures: int
    coming: list[tuple[str, str, File]] = field(default_factory=list)
    files: dict[str, dict[str, File]] = field(default_factory=lambda: {device: {} for device in DEVICES})
    images: set[str] = field(default_factory=set)
    changes: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._number = 0
        for device in DEVICES:
            (self.root / device).mkdir(parents=True)
        for number in range(self.pictures):
            device = DEVICES[number % 2]
            file = self._picture()
            file.labelled = bool(file.boxes)
            path = f"{number % 5}/{number:05}.jpg" if number % 3 else f"{number:05} é'.JPG"
            self.coming.append((device, path, file))
            if number % 20 == 7:  # the same picture on the other device, without labels or with its own
                other = DEVICES[1 - number % 2]
                self.coming.append((other, f"copy-{number:05}.jpg", File(file.data, file.size, self._boxes(file.size))))
            if number % 60 == 11:
                self.coming.append((device, f"broken-{number:05}.jpg", self._broken(number)))
        self._random.shuffle(self.coming)

    @property
    def broken(self) -> set[tuple[str, str]]:
        """Device and path of what has to lie in quarantine."""
        return {(device, path) for device, there in self.files.items() for path, file in there.items() if not file.size}

    def release(self, count: int) -> None:
        """Let so many files appear, and the labels that speak of them."""
        now, self.coming = self.coming[:count], self.coming[count:]
        for device, path, file in now:
            self._put(device, path, file)
            self._count("files")
        for device in {device for device, _, _ in now}:
            self._write_labels(device)

    def change(self, taken: set[tuple[str, str, str, str]], count: int = 3) -> None:
        """Rename some files, correct some labels, replace the contents of some and repair a broken one.

        Args:
            taken: device, path, image and labels of files that are encoded with them. Only their contents are replaced:
                what was to be encoded again with other labels would be gone.
            count: how many of each.
        """
        for _ in range(count):
            device = self._random.choice(DEVICES)
            good = sorted(path for path, file in self.files[device].items() if file.size)
            if not good:
                continue
            self._rename(device, self._random.choice(good))
            path = self._random.choice(sorted(path for path, file in self.files[device].items() if file.size))
            self.files[device][path].boxes = self._boxes(self.files[device][path].size)
            self.files[device][path].labelled = True
            self._count("corrected labels")
            path = self._random.choice(sorted(path for path, file in self.files[device].items() if file.size))
            file = self.files[device][path]
            if (device, path, file.id, json.dumps(sorted(list(box) for box in file.boxes))) in taken:
                self._put(device, path, self._picture())
                self._count("replaced contents")
        device = self._random.choice(DEVICES)
        broken = sorted(path for path, file in self.files[device].items() if not file.size)
        if len(broken) > 3 and self._random.random() < 0.2:
            self._put(device, broken[0], self._picture())
            self._count("repaired files")
        for device in DEVICES:
            self._write_labels(device)

    def _rename(self, device: str, path: str) -> None:
        self._number += 1
        new = f"renamed/{self._number:05}.jpg"
        (self.root / device / "renamed").mkdir(exist_ok=True)
        (self.root / device / path).rename(self.root / device / new)
        self.files[device][new] = self.files[device].pop(path)
        self._count("renamed files")

    def _put(self, device: str, path: str, file: File) -> None:
        place = self.root / device / path
        place.parent.mkdir(parents=True, exist_ok=True)
        _write(place, file.data)
        self.files[device][path] = file
        if file.size:
            self.images.add(file.id)

    def _write_labels(self, device: str) -> None:
        images, annotations = [], []
        for number, (path, file) in enumerate(sorted(self.files[device].items()), start=1):
            if not file.size or not file.labelled:
                continue
            images.append({"id": number, "file_name": path, "width": file.size[0], "height": file.size[1]})
            annotations += [
                {"id": 1, "image_id": number, "category_id": _CATEGORIES.index(label) + 1, "bbox": [x, y, w, h]}
                for x, y, w, h, label in file.boxes
            ]
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
        categories = [{"id": number, "name": name} for number, name in enumerate(_CATEGORIES, start=1)]
        document = {"images": images, "annotations": annotations, "categories": categories}
        _write(self.root / device / "annotations.json", json.dumps(document).encode())

    def _picture(self) -> File:
        self._number += 1
        size = (self._random.randrange(64, 161, 8), self._random.randrange(48, 121, 8))
        rough = np.random.default_rng([self.seed, self._number]).integers(0, 256, (6, 8, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=85)
        return File(out.getvalue(), size, self._boxes(size))

    def _boxes(self, size: tuple[int, int] | None) -> tuple[Box, ...]:
        assert size is not None
        return tuple(
            (
                float(self._random.randrange(0, size[0] - 24)),
                float(self._random.randrange(0, size[1] - 24)),
                float(self._random.randrange(8, 24)),
                float(self._random.randrange(8, 24)),
                self._random.choice(_CATEGORIES),
            )
            for _ in range(self._random.choice((0, 1, 1, 2)))
        )

    def _broken(self, number: int) -> File:
        whole = self._picture().data
        kinds = (whole[: len(whole) // 2], b"no picture at all " * (number + 1), b"", whole[:60] + b"\0" * 400)
        return File(kinds[number // 60 % len(kinds)], None)

    def _count(self, what: str) -> None:
        self.changes[what] = self.changes.get(what, 0) + 1


def _write(place: Path, data: bytes) -> None:
    """In one step, as a device that behaves does it; under a hidden name, which is not listed."""
    temporary = place.with_name(f".{place.name}.new")
    temporary.write_bytes(data)
    os.replace(temporary, place)  # noqa: PTH105
