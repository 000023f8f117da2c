"""The fleet file: read with every fault told by its line, and written. What stands in it: :mod:`storage.fleet`."""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from storage.credentials import Reference
from storage.fleet import (
    EXPECTED,
    EXPECTED_OF_FOG,
    MAX_DEVICES,
    MAX_LISTED,
    Device,
    Fleet,
    FleetError,
    Fog,
    LabelsPlace,
    Receives,
    Uploads,
)
from storage.places.device_paths import safe_spelling
from storage.toml_lines import TomlLines, toml_lines

__all__ = ["MAX_DEVICES", "MAX_FILE_BYTES", "FleetError", "check_tables", "fleet_toml", "load_fleet", "parse_fleet"]

MAX_FILE_BYTES = 1024 * 1024

_MAX_KEYS = 100  # in one device's table
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_MUST_DIFFER = ("name", "storage", "inbox", "outbox", "home")
_FOLDERS = ("storage", "inbox", "outbox", "home", "captures")

_NESTED: dict[int | str, type[BaseModel]] = {"labels": LabelsPlace, "receives": Receives, "uploads": Uploads}
"""Tables in a device's table whose fields are told apart in messages."""

_UNSHOWN = {
    "secret": "is a secret in plain sight",
    "password": "holds a password",
    "query": "holds a query",
    "url": "is no URL that can be read",
}
"""Kinds of faults of which the value found is not repeated."""


def load_fleet(path: str) -> Fleet:
    """Read a fleet file.

    Relative folders are taken from the folder of the file, so that every process finds the same ones.

    Raises:
        FleetError: the file cannot be read, or a field is missing, unknown or wrong: all such are listed, each with
            its line, what was found, and what was expected.
    """
    file = Path(path)
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise FleetError(f"the fleet file {path} cannot be read: {error.strerror}; check its path") from None
    return parse_fleet(data, path, file.absolute().parent)


def parse_fleet(data: bytes, path: str, base: Path) -> Fleet:
    """A fleet file's bytes, as :func:`load_fleet` reads them.

    Args:
        path: of the file, for messages.
        base: the folder from which relative folders are taken.
    """
    if len(data) > MAX_FILE_BYTES:
        raise FleetError(f"the fleet file {path} has more than {MAX_FILE_BYTES:,} bytes, which no fleet file has")
    try:
        text = data.decode().replace("\r\n", "\n")
        lines = toml_lines(text)
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, not TOML, too deep, a number of a million digits
        raise FleetError(f"the fleet file {path} is not TOML of a fleet: {str(error)[:200]}") from None
    tables = document.get("device")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise FleetError(f"the fleet file {path} has no `[[device]]` table; expected one a device")
    if len(tables) > MAX_DEVICES:
        raise FleetError(f"the fleet file {path} has {len(tables):,} devices; at most {MAX_DEVICES:,} are taken")
    faults = _Faults(f"the fleet file {path}", lines)
    for key in document:
        if key not in ("device", "fog"):
            text = f"`{safe_spelling(key[:60])}` is not known, expected `[[device]]` tables and one `[fog]` table only"
            faults.add((key,), text)
    fog = _fog(document.get("fog", {}), faults, base)
    return Fleet(devices=_devices(tables, faults, base), fog=fog)


def check_tables(tables: Sequence[Mapping[str, Any]]) -> None:
    """Whether tables make a fleet, as :func:`load_fleet` checks them; they need not stand in a file yet.

    Raises:
        FleetError: a field is missing, unknown or wrong.
    """
    _devices(tables, _Faults("the fleet", None), Path("/"))


def _fog(table: Any, faults: "_Faults", base: Path) -> Fog:
    if not isinstance(table, dict) or len(table) > _MAX_KEYS:
        faults.add(("fog",), f"fog is {_cut(table)}, expected one table `[fog]` with {', '.join(Fog.model_fields)}")
        return Fog()
    try:
        fog = Fog(**table)
    except ValidationError as error:
        faults.add_all(("fog",), table, error)
        return Fog()
    return fog.model_copy(update={"keyring": os.path.normpath(base / fog.keyring)})


def _devices(tables: Sequence[Mapping[str, Any]], faults: "_Faults", base: Path) -> tuple[Device, ...]:
    devices = {}
    for index, table in enumerate(tables):
        if len(table) > _MAX_KEYS:
            faults.add(("device", index), f"device[{index}] has {len(table):,} fields, expected at most {_MAX_KEYS}")
            continue
        try:
            devices[index] = _beside(Device(**table), base)
        except ValidationError as error:
            faults.add_all(("device", index), table, error)
    _check_distinct(devices, faults)
    _check_neighbours(devices, tables, faults)
    faults.raise_if_any()
    return tuple(devices.values())


def fleet_toml(fleet: Fleet) -> str:
    """Write a fleet file. The inverse of :func:`load_fleet` where folders are absolute."""
    fog = "".join(_lines(fleet.fog))
    return "\n".join(
        [*(["[fog]\n" + fog] if fog else []), *("[[device]]\n" + "".join(_lines(device)) for device in fleet.devices)]
    )


class _Faults:
    """What is wrong with a file, line by line."""

    def __init__(self, of: str, lines: TomlLines | None) -> None:
        self._of = of
        self._lines = lines
        self._found: list[tuple[int, str]] = []

    def add(self, place: tuple[str | int, ...], text: str) -> None:
        self._found.append(((self._lines and self._lines.line_of(place)) or 1, text))

    def add_all(self, place: tuple[str | int, ...], table: Mapping[str, Any], error: ValidationError) -> None:
        """The faults of the table at a place as pydantic found them, one a field."""
        told = set()
        for fault in error.errors(include_url=False):
            # Of a union, pydantic adds which branch it tried.
            path = fault["loc"][: 2 if fault["loc"][0] in _NESTED else 1]
            path += (fault.get("ctx") or {}).get("at", ())
            if path not in told and fault["type"] != "default_factory_not_called":  # what it is made from is wrong
                told.add(path)
                self.add((*place, *path), _sentence(place, table, path, fault))

    def raise_if_any(self) -> None:
        if not self._found:
            return
        told = [f"line {line}: {text}" if self._lines else text for line, text in sorted(self._found)]
        if len(told) == 1:
            raise FleetError(f"{self._of}, {told[0]}")
        more = f"\n  and {len(told) - MAX_LISTED:,} more" if len(told) > MAX_LISTED else ""
        listed = "".join(f"\n  {line}" for line in told[:MAX_LISTED])
        raise FleetError(f"{self._of} has {len(told):,} errors:{listed}{more}")


def _sentence(place: tuple[int | str, ...], table: Mapping[str, Any], path: tuple[int | str, ...], fault: Any) -> str:
    of_fog = place == ("fog",)
    name = "fog" if of_fog else f"device[{place[-1]}]"
    name += "".join(f"[{p}]" if isinstance(p, int) else f".{safe_spelling(p[:60])}" for p in path)
    kind = fault["type"]
    if kind == "extra_forbidden":
        fields = Fog.model_fields if of_fog else _NESTED.get(path[0], Device).model_fields
        return f"{name} is not known, expected one of {', '.join(fields)}"
    own = kind in ("wrong", "option", *_UNSHOWN)
    known = EXPECTED_OF_FOG if of_fog else EXPECTED
    expected = fault["msg"] if own else known.get(tuple(p for p in path if isinstance(p, str)), fault["msg"])
    if path[0] in ("storage_options", "inbox_options", "outbox_options") and kind == "dict_type":
        return f"{name} is no table, expected {expected}"
    if kind == "missing":
        return f"{name} is missing, expected {expected}"
    if kind in _UNSHOWN:
        return f"{name} {_UNSHOWN[kind]}, expected {expected}"
    value: Any = table
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = fault["input"]
            break
    if isinstance(value, Mapping):  # what is in it may be secret
        return (
            f"{name} is a table of {safe_spelling(', '.join(map(str, value))[:60]) or 'nothing'}, expected {expected}"
        )
    return f"{name} is {_cut(value)}, expected {expected}"


def _cut(value: Any) -> str:
    spelled = repr(value[:61] if isinstance(value, str) else value)
    return spelled if len(spelled) <= 62 else spelled[:60] + "…"


def _beside(device: Device, base: Path) -> Device:
    places = {name: getattr(device, name) or "" for name in _FOLDERS}
    own = {
        name: os.path.normpath(base / value)
        for name, value in places.items()
        if value and "://" not in value and not os.path.isabs(value)  # noqa: PTH117
    }
    return device.model_copy(update=own) if own else device


def _check_distinct(devices: Mapping[int, Device], faults: _Faults) -> None:
    for name in _MUST_DIFFER:
        seen: dict[str, int] = {}
        for index, device in devices.items():
            value = getattr(device, name)
            first = seen.setdefault(value.rstrip("/"), index)
            # Where two inboxes are one, so are the outboxes in them: that is one fault.
            if first != index and not (
                name == "outbox" and device.has_outbox_inside and devices[first].has_outbox_inside
            ):
                text = f"device[{index}].{name} is {_cut(value)}, as in device[{first}]: they must differ"
                faults.add(("device", index, name), text)


def _check_neighbours(devices: Mapping[int, Device], tables: Sequence[Mapping[str, Any]], faults: _Faults) -> None:
    names = {table.get("name") for table in tables if isinstance(table.get("name"), str)}
    for index, device in devices.items():
        for place, name in enumerate(device.receives.neighbours):
            if name == device.name or name not in names:
                text = (
                    f"device[{index}].receives.neighbours[{place}] is {_cut(name)}, expected the name of another device"
                )
                faults.add(("device", index, "receives", "neighbours", place), text)


def _lines(table: Device | Fog) -> Iterable[str]:
    checked: dict[str, Any] = {}
    for name, field in type(table).model_fields.items():
        value = checked[name] = getattr(table, name)
        if field.is_required() or value != field.get_default(call_default_factory=True, validated_data=checked):
            yield f"{name} = {_toml(value)}\n"


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        return _toml({name: item for name, item in value if item is not None})
    if isinstance(value, Reference):
        return _toml({value.kind: value.name})
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _quoted(value: str) -> str:
    # A TOML basic string takes JSON's escapes, but no surrogate pairs and no bare DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
