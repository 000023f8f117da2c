"""What the README shows runs, in its order, and what it names is there."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import rinr.cli.sample
from rinr.cli.main import app
from rinr.cli.sample import SAMPLE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(heading: str) -> list[tuple[str, str]]:
    """Language and text of each block below a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    return re.findall(r"^```(\w+)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def lines(block: str) -> Iterator[list[str]]:
    """The commands of a block as words, without the remarks behind them."""
    for line in block.splitlines():
        if words := shlex.split(line, comments=True):
            yield words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a newcomer tries things: an empty folder, the same from block to block."""
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures of the sample in its place: the commands are the same, and a drill runs them on all of it."""
    device = tmp_path_factory.mktemp("few") / "device-1"
    device.mkdir()
    for name in ("annotations.json", "frame-01.jpg", "frame-02.jpg"):
        shutil.copy(SAMPLE / "device-1" / name, device / name)
    return device.parent


def test_own_pictures(folder: Path, few: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(rinr.cli.sample, "SAMPLE", few)
    ((language, block),) = blocks("Your own pictures")
    assert language == "sh"
    for program, *words in lines(block):
        assert program == "rinr"
        said = CliRunner().invoke(app, words)
        assert said.exit_code == 0, f"{words}: {said.output}"
    assert len(list((folder / "payloads").glob("*.rinr"))) == len(list((folder / "decoded").glob("*.png"))) == 2
    assert (folder / "mosaic.png").stat().st_size > 10_000
    assert list((folder / "clips").glob("*.rinr"))


def test_own_detector(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """After the block above it, whose payloads it reads."""
    monkeypatch.chdir(folder)
    (dataset, single) = blocks("Your own detector")
    assert dataset[0] == single[0] == "python"
    exec(dataset[1], {})
    assert re.fullmatch(r"\(2, 3, 96, 160\) [2-9] boxes\n", capsys.readouterr().out)
    exec(single[1], {})
    assert re.fullmatch(r"\d+ bytes [\d.]+ dB [\d.]+ dB\n", capsys.readouterr().out)


def test_the_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md"))):
        text = (ROOT / page).read_text()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_every_command_it_shows_exists() -> None:
    from typer.main import get_command

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    shown = set(re.findall(r"(?:^|`)rinr (\w+)", README, re.MULTILINE))
    assert {"demo", "doctor", "up", "down", "encode"} <= shown <= known
    targets = set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_the_extras_it_names_are_there() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    for names in re.findall(r"residual-inr\[([\w,]+)\]", README):
        for name in names.split(","):
            assert re.search(rf"^{name} = \[", project, re.MULTILINE), name
