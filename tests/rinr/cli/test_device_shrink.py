"""`rinr device shrink`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rinr.cli.main import app
from tests.conftest import jpeg, picture


def invoke(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["device", "shrink", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def captures(tmp_path: Path) -> Path:
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(picture(1, 960, 540)))
    return folder


def test_it_says_what_it_did(captures: Path, tmp_path: Path) -> None:
    said = json.loads(invoke(captures, tmp_path / "up", "--codec", "avif", "--quality", "50", "--json"))
    size = (tmp_path / "up" / "a.avif").stat().st_size
    assert (said["captured"], said["shrunk"], said["bytes_uploaded"]) == (1, 1, size)
    assert said["bytes_captured"] == (captures / "a.jpg").stat().st_size
    assert "1 capture: 0 shrunk, 1 done before" in invoke(captures, tmp_path / "up")
    (captures / "b.jpg").write_bytes(b"no picture")
    assert "b.jpg: left for the next run" in invoke(captures, tmp_path / "up", code=3)


def test_it_says_what_is_wrong(captures: Path, tmp_path: Path) -> None:
    assert "'png' is not known; choose one of webp, avif" in invoke(captures, tmp_path, "--codec", "png", code=2)
    assert "does not exist" in invoke(tmp_path / "none", tmp_path / "up", code=1)
    assert "into itself" in invoke(captures, captures, code=1)
