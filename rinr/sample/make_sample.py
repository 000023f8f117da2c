"""Make the sample: three synthetic cameras that look at the same objects in three real photographs.

Every camera films each photograph once: a window moves over it, in a straight line and at an even pace, while the
light changes; each frame is that window, scaled down. Nothing is random and nothing is ever enlarged, so the same
photographs give the same frames.

    python sample/make_sample.py --out sample           # write the frames and annotations
    python sample/make_sample.py --out sample --check   # do the committed ones derive from the photographs?
"""

import argparse
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage import data

FRAME_SIZE = 320, 240
FRAMES_PER_CLIP = 4
JPEG_QUALITY = 90
# An object is labelled where at least this part of its area is in view, as people who draw boxes would do.
LEAST_PART_IN_VIEW = 0.25
# Levels of 255. Builds of the JPEG library round differently, by less than one level on average; a frame of another
# window or another light differs by several.
MEAN_DIFFERENCE_ALLOWED = 1.0

LABELS = ("face", "cup", "rocket")


@dataclass(frozen=True)
class Outline:
    """An object's box in its photograph: edges in pixels, as seen by eye in an enlarged view."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class View:
    """Where the camera looks and in which light.

    Attributes:
        x, y: the window's middle, in pixels of the photograph.
        width: the window's width in pixels of the photograph, at least the frame's; its height follows.
        light: factor on all channels.
        warmth: red is raised and blue lowered by this part.
    """

    x: float
    y: float
    width: float
    light: float = 1.0
    warmth: float = 0.0

    def window(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in pixels of the photograph."""
        height = self.width * FRAME_SIZE[1] / FRAME_SIZE[0]
        return self.x - self.width / 2, self.y - height / 2, self.x + self.width / 2, self.y + height / 2


@dataclass(frozen=True)
class Clip:
    """One move over one photograph, from the first frame's view to the last one's."""

    photo: str
    first: View
    last: View

    def views(self) -> list[View]:
        """One view a frame, evenly spaced."""
        a, b = self.first, self.last
        steps = np.linspace(0.0, 1.0, FRAMES_PER_CLIP).tolist()
        return [
            View(
                a.x + (b.x - a.x) * t,
                a.y + (b.y - a.y) * t,
                a.width + (b.width - a.width) * t,
                a.light + (b.light - a.light) * t,
                a.warmth + (b.warmth - a.warmth) * t,
            )
            for t in steps
        ]


@dataclass(frozen=True)
class Camera:
    """A device: when it starts to film, and what."""

    name: str
    starts_at: datetime
    clips: tuple[Clip, ...]


OBJECTS = {
    # The face is bounded by hairline, chin and ears. The tip of the shuttle's tank touches the photograph's border.
    "astronaut": (Outline("face", 171, 73, 280, 180), Outline("rocket", 354, 0, 460, 273)),
    "coffee": (Outline("cup", 172.5, 17.5, 409, 309.5),),
    "rocket": (Outline("rocket", 310.5, 126.5, 334.5, 407),),
}

CAMERAS = (
    Camera(
        "device-1",
        datetime(2025, 5, 12, 9, 30, 0, tzinfo=UTC),
        (
            Clip("astronaut", View(215, 160, 400), View(275, 172, 400, 1.08)),
            Clip("coffee", View(265, 190, 480, 0.95), View(325, 195, 480, 1.0)),
            Clip("rocket", View(260, 262, 420), View(350, 258, 420, 1.12)),
        ),
    ),
    Camera(
        "device-2",
        datetime(2025, 5, 12, 13, 5, 20, tzinfo=UTC),
        (
            Clip("coffee", View(300, 200, 530), View(285, 170, 430, 0.9)),
            Clip("rocket", View(330, 235, 500, 1.15), View(315, 262, 400, 1.15)),
            Clip("astronaut", View(256, 192, 510, 0.92), View(290, 150, 390, 0.98)),
        ),
    ),
    Camera(
        "device-3",
        datetime(2025, 5, 12, 18, 40, 5, tzinfo=UTC),
        (
            Clip("rocket", View(400, 240, 470, 0.9, 0.04), View(300, 250, 440, 0.95, 0.06)),
            Clip("astronaut", View(310, 205, 390, 0.85, 0.05), View(250, 185, 460, 0.95, 0.05)),
            Clip("coffee", View(330, 175, 440, 0.85), View(270, 188, 460, 0.95, 0.04)),
        ),
    ),
)


@dataclass(frozen=True)
class Shot:
    """One frame as made: its JPEG, when it was taken and what it shows."""

    file_name: str
    taken_at: datetime
    jpeg: bytes
    boxes: tuple[Outline, ...]


def film(camera: Camera) -> list[Shot]:
    """All frames of one camera, one a second, in order.

    Raises:
        ValueError: a view leaves its photograph or would have to be enlarged.
    """
    shots: list[Shot] = []
    for clip in camera.clips:
        photograph = Image.fromarray(getattr(data, clip.photo)())
        for view in clip.views():
            shots.append(
                Shot(
                    file_name=f"frame-{len(shots) + 1:02d}.jpg",
                    taken_at=camera.starts_at + timedelta(seconds=len(shots)),
                    jpeg=take(photograph, view),
                    boxes=boxes_in_view(OBJECTS[clip.photo], view),
                )
            )
    return shots


def take(photograph: Image.Image, view: View) -> bytes:
    """One frame as a JPEG without metadata.

    Raises:
        ValueError: the view leaves the photograph or would have to be enlarged.
    """
    left, top, right, bottom = window = view.window()
    if left < 0 or top < 0 or right > photograph.width or bottom > photograph.height:
        raise ValueError(f"{view} leaves the photograph of {photograph.width}x{photograph.height} px: {window}")
    if view.width < FRAME_SIZE[0]:
        raise ValueError(f"{view} is narrower than the frame of {FRAME_SIZE[0]} px and would be enlarged")
    scaled = np.asarray(photograph.resize(FRAME_SIZE, Image.Resampling.LANCZOS, box=window), dtype=np.float64)
    lit = scaled * view.light * np.array([1 + view.warmth, 1.0, 1 - view.warmth])
    picture = Image.fromarray(np.rint(lit).clip(0, 255).astype(np.uint8))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()


def boxes_in_view(outlines: Sequence[Outline], view: View) -> tuple[Outline, ...]:
    """The objects' boxes in pixels of the frame, cut at its border; those hardly in view are left out."""
    left, top, right, bottom = view.window()
    scale = FRAME_SIZE[0] / view.width
    boxes = []
    for o in outlines:
        x0, x1 = max(o.left, left), min(o.right, right)
        y0, y1 = max(o.top, top), min(o.bottom, bottom)
        whole = (o.right - o.left) * (o.bottom - o.top)
        if x0 < x1 and y0 < y1 and (x1 - x0) * (y1 - y0) >= LEAST_PART_IN_VIEW * whole:
            boxes.append(
                Outline(o.label, (x0 - left) * scale, (y0 - top) * scale, (x1 - left) * scale, (y1 - top) * scale)
            )
    return tuple(boxes)


def coco(camera: Camera, shots: Sequence[Shot]) -> dict[str, Any]:
    """The camera's annotations as a COCO detection document; boxes rounded to a hundredth of a pixel."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, shot in enumerate(shots, start=1):
        images.append(
            {
                "id": image_id,
                "file_name": shot.file_name,
                "width": FRAME_SIZE[0],
                "height": FRAME_SIZE[1],
                "date_captured": f"{shot.taken_at:%Y-%m-%d %H:%M:%S}",
            }
        )
        for box in shot.boxes:
            x, y = round(box.left, 2), round(box.top, 2)
            width, height = round(box.right - box.left, 2), round(box.bottom - box.top, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": LABELS.index(box.label) + 1,
                    "bbox": [x, y, width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                }
            )
    return {
        "info": {"description": f"Residual-INR sample, {camera.name}: real photographs, synthetic camera"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": index, "name": label} for index, label in enumerate(LABELS, start=1)],
    }


def write(out: Path) -> None:
    """Write every camera's folder under ``out``. Frames of the same names are replaced, other files left alone."""
    for camera in CAMERAS:
        folder = out / camera.name
        folder.mkdir(parents=True, exist_ok=True)
        shots = film(camera)
        for shot in shots:
            (folder / shot.file_name).write_bytes(shot.jpeg)
        (folder / "annotations.json").write_text(json.dumps(coco(camera, shots), indent=1) + "\n", encoding="utf-8")


def differences(out: Path) -> list[str]:
    """What in ``out`` does not derive from the photographs, one line each; empty where all does."""
    found: list[str] = []
    for camera in CAMERAS:
        folder = out / camera.name
        shots = film(camera)
        for name in sorted({s.file_name for s in shots} ^ {path.name for path in folder.glob("*.jpg")}):
            found.append(f"{folder / name}: {'unexpected' if (folder / name).exists() else 'missing'}")
        try:
            annotations = json.loads((folder / "annotations.json").read_bytes())
        except (OSError, ValueError) as error:
            found.append(f"{folder / 'annotations.json'}: cannot be read: {error}")
        else:
            if annotations != coco(camera, shots):
                found.append(f"{folder / 'annotations.json'}: differs")
        for shot in shots:
            path = folder / shot.file_name
            if path.exists():
                found += _pixel_difference(path, shot)
    return found


def _pixel_difference(path: Path, shot: Shot) -> list[str]:
    try:
        there, made = (
            np.asarray(Image.open(io.BytesIO(jpeg)), dtype=np.float64) for jpeg in (path.read_bytes(), shot.jpeg)
        )
    except OSError as error:
        return [f"{path}: cannot be read: {error}"]
    if there.shape != made.shape:
        return [f"{path}: its array has shape {there.shape}, expected {made.shape}"]
    mean = float(np.abs(there - made).mean())
    if mean > MEAN_DIFFERENCE_ALLOWED:
        return [f"{path}: pixels differ by {mean:.2f} levels of 255 on average"]
    return []


def main() -> int:
    """Write the sample, or check the one that is there."""
    parser = argparse.ArgumentParser(description="Make the sample frames and their annotations.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the device folders")
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs, exit with 1 if any does")
    arguments = parser.parse_args()
    if not arguments.check:
        write(arguments.out)
        return 0
    found = differences(arguments.out)
    print("\n".join(found) or f"{arguments.out}: every frame and annotation derives from the photographs")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
