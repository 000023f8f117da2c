"""The fleet's description: which devices there are, where their storage and their inboxes lie.

A TOML file with one table a device::

    [[device]]
    name = "bridge-cam"
    storage = "s3://captures/bridge-cam"
    inbox = "s3://inboxes/bridge-cam"
    work_queue = "bridge-cam"
    home = "/var/lib/rinr"
"""

import json
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_MAX_FILE_BYTES = 1024 * 1024


class FleetError(ValueError):
    """A fleet file that cannot be used; the message names the field and what was expected."""


@dataclass(frozen=True)
class Device:
    """One edge device.

    Attributes:
        name: lower-case letters, digits and hyphens, at most 63, unique in the fleet.
        storage: fsspec URL or folder in which the device puts its JPEGs and ``annotations.json``.
        inbox: fsspec URL or folder in which it finds what is delivered to it.
        work_queue: the queue on which its own work is run.
        home: local folder in which the device keeps its cache, model and report.
    """

    name: str
    storage: str
    inbox: str
    work_queue: str
    home: str


@dataclass(frozen=True)
class Fleet:
    """All devices, in the order of the file."""

    devices: tuple[Device, ...]

    def find(self, name: str) -> Device:
        """The device of this name.

        Raises:
            FleetError: there is none; the message lists the names.
        """
        for device in self.devices:
            if device.name == name:
                return device
        names = ", ".join(device.name for device in self.devices)
        raise FleetError(f"no device {name!r} in the fleet; there are: {names}")


_FIELDS = tuple(field.name for field in fields(Device))
_OPTIONAL = {"work_queue"}
_MUST_DIFFER = ("name", "storage", "inbox", "home")


def load_fleet(path: str) -> Fleet:
    """Read a fleet file.

    Relative folders are taken from the folder of the file, so that every process finds the same ones;
    ``work_queue`` is the device's name where it is not said.

    Raises:
        FleetError: the file cannot be read, or a field is missing, unknown or wrong.
    """
    file = Path(path)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FleetError(f"the fleet file {path} cannot be read: {error.strerror}; check its path") from None
    if len(data) > _MAX_FILE_BYTES:
        raise FleetError(f"the fleet file {path} has {len(data):,} bytes; at most {_MAX_FILE_BYTES:,} are read")
    try:
        document = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FleetError(f"the fleet file {path} is not TOML: {error}") from None
    tables = document.get("device")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise FleetError(f"the fleet file {path} has no `[[device]]` table")
    unknown = sorted(set(document) - {"device"})
    if unknown:
        raise FleetError(f"the fleet file {path} has the unknown field `{unknown[0]}`; expected `[[device]]` only")
    base = file.absolute().parent
    devices = tuple(_device(table, f"device[{index}]", base) for index, table in enumerate(tables))
    _check_distinct(devices)
    return Fleet(devices)


def fleet_toml(fleet: Fleet) -> str:
    """Write a fleet file. The inverse of :func:`load_fleet` where folders are absolute."""
    tables = [
        "\n".join(["[[device]]", *(f"{name} = {_quoted(getattr(device, name))}" for name in _FIELDS)])
        for device in fleet.devices
    ]
    return "\n\n".join(tables) + "\n"


def _device(table: dict[str, Any], where: str, base: Path) -> Device:
    unknown = sorted(set(table) - set(_FIELDS))
    if unknown:
        raise FleetError(f"{where}.{unknown[0]} is not known; expected {', '.join(_FIELDS)}")
    values: dict[str, str] = {}
    for name in _FIELDS:
        if name not in table and name in _OPTIONAL:
            continue
        value = table.get(name)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise FleetError(f"{where}.{name} is {str(value)[:60]!r}, expected text on one line")
        values[name] = value
    if not _NAME.fullmatch(values["name"]):
        raise FleetError(
            f"{where}.name is {values['name'][:80]!r}, expected lower-case letters, digits and hyphens, at most 63"
        )
    if "://" in values["home"]:
        raise FleetError(f"{where}.home is {values['home']!r}, expected a local folder")
    for name in ("storage", "inbox", "home"):
        if "://" not in values[name]:
            values[name] = str(base / values[name])
    return Device(**({"work_queue": values["name"]} | values))


def _check_distinct(devices: tuple[Device, ...]) -> None:
    for name in _MUST_DIFFER:
        seen: dict[str, int] = {}
        for index, device in enumerate(devices):
            value = getattr(device, name)
            if value in seen:
                raise FleetError(f"device[{index}].{name} is {value!r}, as in device[{seen[value]}]: they must differ")
            seen[value] = index


def _quoted(value: str) -> str:
    # A TOML basic string takes JSON's escapes, but no surrogate pairs and no bare DEL: fields are printable.
    return json.dumps(value, ensure_ascii=False)
