"""What a finished job leaves in the device's home: models, a curve, a page, and the report that vouches for them."""

import hashlib
from pathlib import Path

from device.home import unusable, write_durably
from device.models import CANDIDATE, MODEL
from device.report import DeviceReport, parse_report
from storage.fleet import Device
from storage.shards.acknowledgement import MAX_REPORT_BYTES

CURVE, PAGE, SHEET, REPORT = "curve.png", "report.html", "detections.jpg", "report.json"


def finished_report(device: Device) -> DeviceReport | None:
    """The report of the device's last job, where it stands in the home folder with the models it vouches for."""
    home = Path(device.home)
    try:
        with (home / REPORT).open("rb") as file:
            report = parse_report(file.read(MAX_REPORT_BYTES + 1))
        sound = _digest(home / MODEL) == report.in_use_sha256 and (home / CURVE).exists()
        if not report.promoted:
            sound = sound and _digest(home / CANDIDATE) == report.model_sha256
    except (OSError, ValueError):
        return None
    return report if sound else None


def write_results(device: Device, files: dict[str, bytes]) -> None:
    """Write files into the home, in their order.

    Raises:
        device.home.HomeError: that cannot be done.
    """
    try:
        for name, data in files.items():
            write_durably(Path(device.home) / name, data)
    except OSError as error:
        raise unusable(device, error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
