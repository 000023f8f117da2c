"""The tutorials for a fleet run as they stand, in a folder of their own; all but the first against servers made here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, SAMPLE, run_shell


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
