"""The tutorials run as they stand, each in a folder of its own, against servers that are made here."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, SAMPLE, run_shell
from tests.s3_process import s3_process
from tests.servers import PASSWORD, USER, SftpServer, sftp_server

__all__ = ["sftp_server"]


@pytest.mark.drill
def test_two_laptops_and_a_folder(tmp_path: Path) -> None:
    said = run_shell("two-laptops.md", tmp_path)
    print(said)
    first, second = re.findall(r"left: (\d+) new pictures", said)
    assert (int(first), int(second)) == (len(list((SAMPLE / "device-1").glob("*.jpg"))), 0)
    networks, pictures = (int(line.split()[0]) for line in re.findall(r"^\d+\ttotal$", said, re.MULTILINE))
    assert networks * 5 < pictures
    for name, other in (("left", "device-2"), ("right", "device-1")):
        report = json.loads((tmp_path / "home" / name / "report.json").read_text())
        assert report["frames"] == len(list((SAMPLE / other).glob("*.jpg")))


def fog_program(folder: Path) -> None:
    """What the other pages take from the first one."""
    text = (ROOT / "docs" / "tutorials" / "two-laptops.md").read_text()
    (program,) = re.findall(r"cat > fog\.py <<'END'\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)
    (folder / "fog.py").write_text(program)


@pytest.mark.drill
def test_ten_devices_over_sftp(tmp_path: Path, sftp_server: SftpServer) -> None:
    fog_program(tmp_path)
    variables = {
        "PORT": str(sftp_server.port), "SFTP_USER": USER, "SFTP_PASSWORD": PASSWORD,
        "KNOWN_HOSTS": str(sftp_server.known_hosts), "DISKS": str(sftp_server.folder),
    }  # fmt: skip
    said = run_shell("ten-devices-sftp.md", tmp_path, variables)
    print(said)
    new = [int(number) for number in re.findall(r"cam-\d: (\d+) new pictures", said)]
    assert new == [2] * 10 + [0] * 10
    report = json.loads((tmp_path / "home" / "cam-3" / "report.json").read_text())
    assert report["frames"] == 18


@pytest.mark.drill
def test_s3_and_a_gpu_server(tmp_path: Path) -> None:
    fog_program(tmp_path)
    with s3_process() as variables:
        said = run_shell("s3-and-a-gpu-server.md", tmp_path, {**variables, "ACCELERATOR": "cpu"})
    print(said)
    counts = [len(list((SAMPLE / name).glob("*.jpg"))) for name in ("device-1", "device-2")]
    new = [int(number) for number in re.findall(r"(?:gate|quay): (\d+) new pictures", said)]
    assert new == [*counts, 0, 0]
    report = json.loads((tmp_path / "home" / "gate" / "report.json").read_text())
    assert report["frames"] == counts[1]


@pytest.mark.drill
def test_from_an_export_to_a_trained_detector(tmp_path: Path) -> None:
    for split, name in (("train", "device-1"), ("valid", "device-2")):
        shutil.copytree(SAMPLE / name, tmp_path / "export" / split)
        labels = tmp_path / "export" / split / "annotations.json"
        labels.rename(labels.with_name("_annotations.coco.json"))
    said = run_shell("export-to-detector.md", tmp_path, {"EPOCHS": "2"})
    print(said)
    networks, pictures = re.findall(r"^([\d,]+) bytes of networks for ([\d,]+) bytes of pictures", said, re.MULTILINE)[
        0
    ]
    assert 5 * networks < pictures
    first, second = re.findall(r"loss ([\d.]+)", said)
    assert float(second) < float(first)
    assert re.search(r"mAP50 [\d.]+ on 12 pictures", said)
    assert (tmp_path / "model.safetensors").stat().st_size > 10_000
    assert (tmp_path / "mosaic.png").stat().st_size > 10_000
