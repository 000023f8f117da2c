"""The wheel holds all that the program needs and nothing else: built from these files, looked into, and used."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from rinr.version import __version__

ROOT = Path(__file__).parents[1]
ROOMS = ("rinr", "storage", "device", "tasks", "flows", "services")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source archive, as a release is; that from a copy, since building leaves folders beside it."""
    pytest.importorskip("setuptools")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ROOMS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, source / name)
    archive = "import sys, setuptools.build_meta as builder; builder.build_sdist(sys.argv[1])"
    run(["-c", archive, str(out)], source)
    (found,) = out.glob("*.tar.gz")
    build = ["wheel", "--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(out)]
    run(["-m", "pip", *build, str(found)], out)
    (built,) = out.glob("*.whl")
    return built


def run(arguments: list[str], folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_it_is_named_after_the_one_version(wheel: Path) -> None:
    assert wheel.name == f"residual_inr-{__version__}-py3-none-any.whl"


def test_it_holds_every_module_and_every_file_that_is_read(unpacked: Path) -> None:
    modules = {
        path.relative_to(ROOT)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if path.relative_to(ROOT).parts[:2] != ("rinr", "sample")
    }
    data = {
        path.relative_to(ROOT) for path in (ROOT / "rinr" / "sample").glob("*/*") if path.suffix in (".jpg", ".json")
    }
    assert len(data) == 39
    others = {Path("rinr/py.typed"), Path("rinr/codec/symbol_counts.csv"), Path("rinr/sample/README.md")}
    assert {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()} == {
        *modules,
        *data,
        *others,
        Path("flows/prefect.yaml"),
        *(path.relative_to(unpacked) for path in unpacked.glob("*.dist-info/**/*") if path.is_file()),
    }


def test_its_extras_keep_out_what_is_known_to_break(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    told = message_from_bytes(metadata.read_bytes())
    assert set(told.get_all("Provides-Extra") or ()) >= {"fog", "train", "s3", "sftp", "http"}
    needed = told.get_all("Requires-Dist") or []
    for name, bound in (("fastapi", "<0.151"), ("sqlalchemy", "<2.1")):
        (line,) = [line for line in needed if re.match(rf"{name}\b", line)]
        assert bound in line
        assert "fog" in line


def test_from_anywhere_it_finds_its_sample_and_its_deployments(unpacked: Path, tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise RuntimeError('a module of the folder it is called in')\n")
    code = (
        "import flows.catalogue, rinr.cli.main as m; print(flows.catalogue.DECLARED.is_file(), m.__file__); "
        "import sys; sys.argv = ['rinr', 'sample', 'here']; m.app()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"True {unpacked}" in done.stdout
    assert len(list((tmp_path / "here").glob("device-*/*.jpg"))) == 36
