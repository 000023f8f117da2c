import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rinr.cli.demo_state import MARKER, DemoError, Settings, State, claimed, clear, read_state, write_state

SETTINGS = Settings("/data", 3, None, "fast", 30, 0)


def test_a_state_reads_back(tmp_path: Path) -> None:
    state = State(SETTINGS, prepared=True, port=1234, run="abc")
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert read_state(tmp_path) != replace(state, settings=replace(SETTINGS, seed=1))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "settings": {}}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path) is None


def test_a_folder_of_others_is_never_claimed_or_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("dear")
    with pytest.raises(DemoError, match="was not made by `rinr demo`"), claimed(tmp_path):
        pass
    with pytest.raises(DemoError, match="was not made by `rinr demo`"):
        clear(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "dear"


def test_a_folder_is_made_marked_and_emptied(tmp_path: Path) -> None:
    out = tmp_path / "a" / "demo"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with claimed(out):
        (out / "store").mkdir()
        (out / "store" / "x").touch()
        (out / "link").symlink_to(outside)
        clear(out)
        assert [path.name for path in out.iterdir()] == [MARKER]
    assert (outside / "kept").exists()
    with claimed(out):
        pass


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from rinr.cli.demo_state import DemoError, claimed\n"
        "try:\n    with claimed(Path(sys.argv[1])): print('claimed')\n"
        "except DemoError as error: print(error)"
    )
    with claimed(tmp_path / "demo"):
        command = [sys.executable, "-c", code, str(tmp_path / "demo")]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "another demo is at work" in said


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DemoError), claimed(tmp_path / "file" / "demo"):
        pass
