"""What a benchmark has measured, one JSON file each in `docs/records`: every published number is taken from there.

    {"name": "network", "command": "python -m benchmarks.network", "date": "2026-11-26", "hardware": "...",
     "software": {"codec_version": "2", ...}, "settings": {...}, "values": {"balanced.ratio": 8.01, ...}}

`values` is flat: dotted lower-case names to a number, a text, or null where something was not measured. A record whose
benchmark could not run, or has not finished, has no values and says why under `not_measured`.
"""

import argparse
import json
import math
import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rinr.version import CODEC_VERSION

Value = float | int | str | None

FOLDER = Path(__file__).parents[1] / "docs" / "records"
PACKAGES = ("torch", "pillow", "numpy")
DIGITS = 6
"""Significant ones that are kept of a float: more would only make two runs' files look unlike."""

_RECORD_NAME = re.compile(r"[a-z0-9_]+")
_VALUE_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_TEXTS = ("name", "command", "date", "hardware")


@dataclass(frozen=True)
class Record:
    """One benchmark's run.

    Attributes:
        name: also its file's.
        command: prints these values again.
        date: of the measurement, as 2026-11-26.
        hardware: processor and cores.
        software: versions; ``codec_version`` is that of the payloads.
        settings: what the command was asked for, and ``source`` where the values were not written by the run itself.
        values: what was measured, by dotted name.
        not_measured: why there is nothing, or empty.
    """

    name: str
    command: str
    date: str
    hardware: str
    software: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    not_measured: str = ""


def folder() -> Path:
    """Where records lie: `docs/records` of the checkout, or what ``RINR_RECORDS`` names."""
    return Path(os.environ.get("RINR_RECORDS") or FOLDER)


def write(name: str, command: str, values: Mapping[str, Any], settings: Mapping[str, Any]) -> Path:
    """Write what was measured today on this machine; a record of that name is replaced, at once or not at all.

    NaN becomes null. Raises ``ValueError`` for a name or value that a record cannot have.
    """
    kept = {_value_name(key): _value(key, value) for key, value in values.items()}
    return save(Record(name, command, date.today().isoformat(), hardware(), software(), dict(settings), kept))


def write_missing(name: str, command: str, reason: str) -> Path:
    """Write that there is nothing, and why, in place of what was measured before."""
    return save(Record(name, command, date.today().isoformat(), hardware(), software(), not_measured=reason))


def save(record: Record) -> Path:
    """Write a record as it is, date and machine included."""
    if not _RECORD_NAME.fullmatch(record.name):
        raise ValueError(f"record {record.name!r}: a name has lower-case letters, digits and underscores only")
    fields = {key: getattr(record, key) for key in (*_TEXTS, "software", "settings", "values")}
    if record.not_measured:
        fields["not_measured"] = record.not_measured
    path = folder() / f"{record.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    unfinished.write_text(json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    unfinished.replace(path)
    return path


def read(name: str) -> Record | None:
    """The record of that name, or None. Raises ``ValueError``, with file and field, where it is none."""
    path = folder() / f"{name}.json"
    return _parse(path) if path.is_file() else None


def read_all() -> dict[str, Record]:
    """Every record by name, in the order of names."""
    return {path.stem: _parse(path) for path in sorted(folder().glob("*.json"))}


def name_part(text: str) -> str:
    """Any text as one part of a value's name: ``two-stream WebP 10/4 + 80`` becomes ``two-stream-webp-10-4-80``."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-") or "none"


def flat(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Nested figures as values: ``{"ask": {"open s": 1}}`` becomes ``{"ask.open-s": 1}``; lists are left out."""
    values: dict[str, Any] = {}
    for key, value in figures.items():
        name = name_part(key)
        if isinstance(value, Mapping):
            values |= {f"{name}.{below}": each for below, each in flat(value).items()}
        elif not isinstance(value, list | tuple | bool):
            values[name] = value
    return values


def add_option(parser: argparse.ArgumentParser, name: str) -> None:
    """``--record``, as every benchmark has it."""
    parser.add_argument("--record", action="store_true", help=f"write the figures to docs/records/{name}.json as well")


def command(module: str, *left_out: str) -> str:
    """The command line of this process, as somebody else would type it: folders of this machine lose their place.

    Args:
        module: that was run.
        left_out: options that change nothing of what is measured, each left out with its value.
    """
    words = [word for word, before in zip(sys.argv[1:], sys.argv, strict=False) if not {word, before} & {*left_out}]
    return shlex.join(["python", "-m", module, *map(_without_place, words)])


def hardware() -> str:
    """Processor and number of cores, and the accelerator that torch would use, if any."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    torch = sys.modules.get("torch")  # not imported for this: what did not need it has not used an accelerator
    accelerator = f"{torch.cuda.get_device_name()}, " if torch and torch.cuda.is_available() else ""
    return f"{accelerator}{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def software() -> dict[str, str]:
    """Versions of what payloads and speeds depend on."""
    found = {"codec_version": CODEC_VERSION, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _parse(path: Path) -> Record:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON ({error}); run its benchmark again or restore the file") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path}: expected an object with {', '.join(_TEXTS)}, software, settings and values")
    for key in _TEXTS:
        if not isinstance(fields.get(key), str):
            raise ValueError(f"{path}: {key}: expected a text, found {fields.get(key)!r}")
    for key in ("software", "settings", "values"):
        if not isinstance(fields.get(key), dict):
            raise ValueError(f"{path}: {key}: expected an object, found {fields.get(key)!r}")
    if fields["name"] != path.stem:
        raise ValueError(f"{path}: name: expected {path.stem!r} as the file is called, found {fields['name']!r}")
    try:
        values = {_value_name(key): _value(key, value) for key, value in fields["values"].items()}
    except ValueError as error:
        raise ValueError(f"{path}: values: {error}") from error
    texts = {key: fields[key] for key in _TEXTS}
    others = {key: fields[key] for key in ("software", "settings")}
    return Record(**texts, **others, values=values, not_measured=str(fields.get("not_measured", "")))


def _without_place(word: str) -> str:
    return Path(word).name if word.startswith("/") else word


def _value_name(key: object) -> str:
    if not isinstance(key, str) or not _VALUE_NAME.fullmatch(key):
        raise ValueError(f"{key!r}: expected a dotted lower-case name such as balanced.ratio (see records.name_part)")
    return key


def _value(key: str, value: Any) -> Value:
    if hasattr(value, "item"):  # a NumPy or torch scalar
        value = value.item()
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    if not isinstance(value, float):
        raise ValueError(f"{key}: expected a number, a text or null, found {type(value).__name__}")
    if math.isinf(value):
        raise ValueError(f"{key}: infinite; leave it out, or say null where it was not measured")
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
