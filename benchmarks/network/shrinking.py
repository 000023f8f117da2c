"""Uploads shrunk at the device, and what they cost in quality against the frames as they were captured."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.network.control import Quality
from benchmarks.network.fits import Fits
from benchmarks.network.pictures import Captures
from device.shrinking import shrink
from rinr.decoder import decode
from rinr.folders import LABELS_FILE
from rinr.frames import Frame
from rinr.metrics import frame_psnr, mean_db
from rinr.picture_files import PICTURE_SUFFIXES
from rinr.presets import Preset
from storage.fleet import Uploads


def shrunk(captures: Captures, folder: Path) -> Captures:
    """What a device uploads of what it captured: small pictures, and their labels.

    Args:
        captures: as captured.
        folder: an empty one, or none yet.
    """
    before, after = folder / "captures", folder / "uploads"
    before.mkdir(parents=True)
    for name, data in captures.files.items():
        (before / name).write_bytes(data)
    shrink(before, after)
    kept = [file for file in sorted(after.iterdir()) if file.suffix in PICTURE_SUFFIXES or file.name == LABELS_FILE]
    return Captures(captures.device, {file.name: file.read_bytes() for file in kept})


def uploads_told() -> str:
    """How devices shrink where nothing else is said, in words."""
    settings = Uploads()
    return f"{settings.codec} {settings.quality}"


class Originals:
    """The frames as they were captured, against which what came of shrunk ones is measured.

    Args:
        captured: working frames of what was captured.
        uploaded: of what was uploaded, in the same order.
        fits: keeps what is encoded.
    """

    def __init__(self, captured: Sequence[Frame], uploaded: Sequence[Frame], fits: Fits) -> None:
        self._captured = {after.image_id: before for before, after in zip(captured, uploaded, strict=True)}
        self._fits = fits

    def quality(self, preset: Preset, uploaded: Sequence[Frame]) -> Quality:
        """Of uploads encoded with a preset, decoded, beside the frames as captured."""
        found = []
        for upload, image in zip(uploaded, self._fits.encode(uploaded, preset), strict=True):
            frame = self._captured[upload.image_id]
            found.append(frame_psnr(frame.pixels, decode(image.frame), frame.boxes))
        return Quality(mean_db([one for one, _ in found]), mean_db([one for _, one in found]))
