"""Running again with parts that fail, hang on nothing, or cannot run: no old number is left."""

import sys
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.results import rerun as module
from benchmarks.results.parts import NEEDS_FRAMES, Part
from benchmarks.results.rerun import rerun

GOOD = """
from benchmarks import records
assert records.read("good").not_measured == "its last run did not finish"
records.write("good", "x", {"ratio": 3.0}, {})
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "records").mkdir()
    for name, code in {
        "part_good": GOOD, "part_silent": "", "part_broken": "print('one')\nraise SystemExit('no JPEG was found')",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("RINR_RECORDS", str(tmp_path / "records"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{module.ROOT}")
    monkeypatch.setenv("RINR_DATA", str(tmp_path))
    monkeypatch.setattr(module, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    for name in ("good", "broken", "silent", "frames"):
        records.write(name, "x", {"ratio": 1.0}, {})
    return tmp_path


def test_what_fails_leaves_no_old_number_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [Part("broken", "part_broken", ("--some",)), Part("silent", "part_silent"), Part("good", "part_good")]
    assert rerun(parts) == {"broken": "no JPEG was found", "silent": "it ended well and wrote no record"}
    found = records.read_all()
    assert found["broken"].values == {}
    assert found["broken"].not_measured == "no JPEG was found"
    assert found["broken"].command == "python -m part_broken --some --record"
    assert found["silent"].values == {}
    assert found["good"].values == {"ratio": 3.0}
    said = capsys.readouterr().out
    assert "[3/3] python -m part_good --record" in said
    assert sys.executable not in said


def test_without_real_frames_their_parts_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RINR_DATA")
    assert rerun([Part("frames", "part_good"), Part("good", "part_good", real_frames=False)]) == {
        "frames": NEEDS_FRAMES
    }
    found = records.read_all()
    assert found["frames"].values == {}
    assert found["frames"].not_measured == NEEDS_FRAMES
    assert found["good"].values == {"ratio": 3.0}
