import json
import math
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from benchmarks import records
from rinr.version import CODEC_VERSION


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RINR_RECORDS", str(tmp_path))
    return tmp_path


def test_a_record_comes_back_as_written(folder: Path) -> None:
    values = {"a.ratio": 0.5, "a.bytes": np.int64(12), "b.db": np.float32(25.5), "c": "words", "d": None, "e": math.nan}
    path = records.write("speed", "python -m benchmarks.speed", values, {"frames": 3})
    assert path == folder / "speed.json"
    found = records.read("speed")
    assert found is not None
    assert found.values == {"a.ratio": 0.5, "a.bytes": 12, "b.db": 25.5, "c": "words", "d": None, "e": None}
    assert found.settings == {"frames": 3}
    assert found.date == date.today().isoformat()
    assert found.software["codec_version"] == CODEC_VERSION
    assert f"{os.cpu_count()} cores" in found.hardware
    assert records.read_all() == {"speed": found}


def test_what_is_not_there_is_none() -> None:
    assert records.read("nothing") is None
    assert records.read_all() == {}


def test_what_could_not_run_takes_the_place_of_old_numbers() -> None:
    records.write("speed", "x", {"ratio": 2.0}, {})
    records.write_missing("speed", "x", "RINR_DATA names no folder")
    found = records.read("speed")
    assert found is not None
    assert found.values == {}
    assert found.not_measured == "RINR_DATA names no folder"


@pytest.mark.parametrize(
    ("values", "words"),
    [({"Upper": 1}, "Upper"), ({"a": math.inf}, "infinite"), ({"a": [1]}, "list"), ({"a": True}, "bool")],
)
def test_what_is_no_value_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        records.write("speed", "x", values, {})
    assert records.read("speed") is None


@pytest.mark.parametrize(
    ("change", "words"),
    [({"values": [1]}, "values"), ({"date": 3}, "date"), ({"name": "other"}, "speed"), ({"values": {"a": {}}}, "a:")],
)
def test_a_damaged_file_is_named(folder: Path, change: dict[str, object], words: str) -> None:
    path = records.write("speed", "x", {"ratio": 2.0}, {})
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=words) as error:
        records.read("speed")
    assert "speed.json" in str(error.value)


def test_names_of_codecs_become_names_of_values() -> None:
    part = records.name_part("two-stream WebP 10/4 + 80")
    assert part == "two-stream-webp-10-4-80"
    records.write("speed", "x", {f"a.{part}": 1}, {})


def test_the_command_is_what_somebody_else_would_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["speed.py", "/home/me/data/otb", "--frames", "2", "--arms", "a b"])
    assert records.command("benchmarks.speed") == "python -m benchmarks.speed otb --frames 2 --arms 'a b'"
    assert records.command("benchmarks.speed", "--frames") == "python -m benchmarks.speed otb --arms 'a b'"
