"""The fleet's description: which devices there are, where their storage, inboxes and outboxes lie, what each receives.

A TOML file with one table a device, and one for the fog node; every field stands in ``docs/fleet.md``::

    [fog]
    keyring = "/etc/rinr/keys"

    [[device]]
    name = "bridge-cam"
    storage = "s3://captures/bridge-cam"
    storage_options = { key = { env = "CAM_KEY" }, secret = { env = "CAM_SECRET" } }
    inbox = "s3://inboxes/bridge-cam"
    home = "/var/lib/rinr"
"""

import json
import math
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from rinr.folders import LABELS_FILE
from storage.credentials import Reference, reference_of
from storage.places.device_paths import path_fault, safe_spelling
from storage.shards.faults import KeyringError
from storage.toml_lines import TomlLines, toml_lines

MAX_FILE_BYTES = 1024 * 1024
MAX_DEVICES = 10_000

_MAX_TEXT = 2_000
_MAX_OPTIONS = 200
_MAX_SETTLE = 86_400.0  # seconds
_MAX_KEYS = 100  # in one device's table
_MAX_LISTED = 40  # errors in one message
_MAX_CLASSES = 10_000
_MAX_RECEIVED_LABELS = 1_000
_MAX_DAYS = 36_500.0
_MAX_SILENCE = 87_600.0  # hours
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SECRET_KEY = re.compile(
    r"secret|passw(or)?d|passphrase|token|credential|authorization|cookie|(^|[_-])key$|access_key|(^|[_-])sas($|[_-])",
    re.IGNORECASE,
)
_MUST_DIFFER = ("name", "storage", "inbox", "outbox", "home")
_FOLDERS = ("storage", "inbox", "outbox", "home")


class FleetError(ValueError):
    """A fleet file that cannot be used; the message names the line, the field and what was expected."""


def _wrong(expected: str) -> PydanticCustomError:
    return PydanticCustomError("wrong", "{expected}", {"expected": expected})


def _checked_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise _wrong("lower-case letters, digits and hyphens, at most 63, not a hyphen first")
    return value


def _checked_line(value: str) -> str:
    if not value or len(value) > _MAX_TEXT or not value.isprintable():
        raise _wrong(f"text on one line, 1 to {_MAX_TEXT:,} characters")
    return value


def _checked_url(value: str) -> str:
    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        raise PydanticCustomError("url", "{expected}", {"expected": "an fsspec URL or a folder"}) from None
    if password is not None:
        expected = 'a URL without one: write it among the options as { env = "NAME" } or { block = "name" }'
        raise PydanticCustomError("password", "{expected}", {"expected": expected})
    if parts.scheme in ("http", "https") and (parts.query or parts.fragment):
        raise PydanticCustomError("query", "{expected}", {"expected": "the address of a folder, without `?` or `#`"})
    return value


def _checked_folder(value: str) -> str:
    if "://" in value:
        raise _wrong("a local folder")
    return value


def _checked_options(options: dict[str, Any]) -> dict[str, Any]:
    if _count(options, 0) > _MAX_OPTIONS:
        raise _wrong(f"at most {_MAX_OPTIONS} options in all")
    for key, value in options.items():
        _check_option(key, value, (key,))
    return options


def _check_option(key: str, value: Any, where: tuple[str | int, ...]) -> None:
    try:
        if reference_of(value):
            return
    except ValueError as error:
        raise PydanticCustomError("option", "{expected}", {"expected": str(error), "at": where}) from None
    is_text = isinstance(value, str)
    if (isinstance(key, str) and _SECRET_KEY.search(key) and (is_text or type(value) in (int, float))) or (
        is_text and "PRIVATE KEY" in value
    ):
        expected = (
            'no secret in this file: write { env = "NAME" } and set that environment variable, '
            'or { block = "name" } of a Prefect Secret block'
        )
        raise PydanticCustomError("secret", "{expected}", {"expected": expected, "at": where})
    if isinstance(value, Mapping):
        for name, item in value.items():
            _check_option(name, item, (*where, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_option(key, item, (*where, index))
    elif not (
        (is_text and len(value) <= 10 * _MAX_TEXT)
        or isinstance(value, bool)
        or (isinstance(value, int) and abs(value) < 2**63)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        expected = "text, a finite number, true, false, or a list or table of such"
        raise PydanticCustomError("option", "{expected}", {"expected": expected, "at": where})


def _count(value: Any, depth: int) -> int:
    if depth > 6:
        return _MAX_OPTIONS + 1
    items: Iterable[Any] = ()
    if isinstance(value, Mapping):
        items = value.values()
    elif isinstance(value, list | tuple):
        items = value
    return sum(1 + _count(item, depth + 1) for item in items)


def _list_as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _checked_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    if len(labels) > _MAX_RECEIVED_LABELS or not all(map(_is_label, labels)):
        raise _wrong(f"at most {_MAX_RECEIVED_LABELS:,} names, each printable and at most 100 bytes of UTF-8")
    return labels


def _checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > MAX_DEVICES or not all(map(_NAME.fullmatch, names)):
        raise _wrong(f"at most {MAX_DEVICES:,} names of devices of this file")
    return names


def _as_reference(value: Any) -> Any:
    expected = _EXPECTED_OF_FOG["signing_key",]
    if not isinstance(value, Mapping | Reference):
        raise PydanticCustomError("secret", "{expected}", {"expected": expected})
    try:
        return reference_of(value) or value
    except ValueError:
        raise _wrong(expected) from None


def _checked_key(value: str) -> str:
    from storage.shards.signing import PublicKey  # needs a package that a fleet without keys can do without

    try:
        PublicKey.from_text(value)
    except KeyringError:
        raise _wrong(_EXPECTED["public_key",]) from None
    return value


Line = Annotated[str, AfterValidator(_checked_line)]
Url = Annotated[str, AfterValidator(_checked_url), AfterValidator(_checked_line)]
LocalFolder = Annotated[str, AfterValidator(_checked_line), AfterValidator(_checked_folder)]
Options = Annotated[dict[str, Any], AfterValidator(_checked_options)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class LabelsPlace(_Table):
    """Where a device's labels stand in its storage.

    Attributes:
        format: ``coco``, ``yolo`` or ``voc``.
        path: of the file (``coco``; else of the folder of one file a picture, empty for beside the pictures).
        classes: ``yolo`` only: name of the file of class names in the storage, or the names themselves.
    """

    format: Literal["coco", "yolo", "voc"] = "coco"
    path: str = LABELS_FILE
    classes: str | tuple[str, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        filled = dict(values)
        kind = filled.get("format", "coco")
        filled.setdefault("path", LABELS_FILE if kind == "coco" else "")
        if kind == "yolo":
            filled.setdefault("classes", "classes.txt")
        if isinstance(filled.get("classes"), list):
            filled["classes"] = tuple(filled["classes"])
        return filled

    @model_validator(mode="after")
    def _plain(self) -> "LabelsPlace":
        if self.format == "coco" and not self.path:
            raise PydanticCustomError("wrong", "{expected}", {"expected": "the name of a COCO file", "at": ("path",)})
        if self.path and path_fault(self.path):
            expected = "a plain path within the device's storage"
            raise PydanticCustomError("wrong", "{expected}", {"expected": expected, "at": ("path",)})
        fault = None
        if self.format != "yolo":
            fault = "nothing: only the format yolo has it" if self.classes is not None else None
        elif isinstance(self.classes, str):
            fault = "a plain path within the device's storage" if path_fault(self.classes) else None
        elif not self.classes or len(self.classes) > _MAX_CLASSES or not all(map(_is_label, self.classes)):
            fault = f"1 to {_MAX_CLASSES:,} names, each printable and at most 100 bytes of UTF-8"
        if fault:
            raise PydanticCustomError("wrong", "{expected}", {"expected": fault, "at": ("classes",)})
        return self


class Receives(_Table):
    """Which pictures a device is sent: all but its own, as far as every condition given here holds.

    Attributes:
        labels: with an object of at least one of these labels; any without it.
        neighbours: taken by at least one of these devices; by any other without it.
        days: captured in so many days before now; at any time without it.
        budget: bytes that are sent in one contact at most, the best value per byte first; what is left out may come
            at the next contact. As many as there are without it.
    """

    labels: Annotated[tuple[str, ...], BeforeValidator(_list_as_tuple), AfterValidator(_checked_labels)] = ()
    neighbours: Annotated[tuple[str, ...], BeforeValidator(_list_as_tuple), AfterValidator(_checked_names)] = ()
    days: Annotated[float, Field(gt=0, le=_MAX_DAYS, allow_inf_nan=False)] | None = None
    budget: Annotated[int, Field(ge=1, le=2**53)] | None = None


class Fog(_Table):
    """What the fog node needs for itself.

    Attributes:
        keyring: local folder of the keyring with which it signs (:mod:`storage.shards.keyring`).
        signing_key: where the private key that signs stands instead, as PEM; the keyring's active one without it.
    """

    keyring: LocalFolder = "keys"  # no model has a field `keys`: dict() takes whatever has one for a mapping
    signing_key: Annotated[Reference, BeforeValidator(_as_reference)] | None = None


class Device(_Table):
    """One edge device.

    Attributes:
        name: lower-case letters, digits and hyphens, at most 63, unique in the fleet.
        storage: fsspec URL or folder in which the device puts its JPEGs and labels.
        storage_options: for its file system; secrets stand in them as references (:mod:`storage.credentials`).
        labels: where its labels stand.
        inbox: fsspec URL or folder in which it finds what is delivered to it.
        inbox_options: like ``storage_options``.
        outbox: fsspec URL or folder in which it puts its acknowledgements; where it is not said, the folder ``outbox``
            in the inbox, with the inbox's options.
        outbox_options: like ``storage_options``.
        receives: which pictures it is sent.
        work_queue: the queue on which its own work is run; its name where it is not said.
        home: local folder in which the device keeps its cache, model and report.
        public_key: with which what it sends is checked.
        after: what becomes of a picture on the device once it is committed: ``keep``, ``move`` or ``delete``.
        limit: new images to take in one run at most; all without it.
        settle: seconds that a file has to be left alone before it is taken.
        silent_after: hours after which a device that has something waiting and says nothing counts as silent.
    """

    name: Annotated[str, AfterValidator(_checked_name)]
    storage: Url
    storage_options: Options = Field(default_factory=dict)
    labels: LabelsPlace = LabelsPlace()
    inbox: Url
    inbox_options: Options = Field(default_factory=dict)
    outbox: Url = Field(default_factory=lambda checked: _outbox_in(checked.get("inbox", "")))
    outbox_options: Options = Field(default_factory=lambda checked: _options_of_outbox(checked))
    receives: Receives = Receives()
    work_queue: Line = ""
    home: LocalFolder
    public_key: Annotated[Line, AfterValidator(_checked_key)] | None = None
    after: Literal["keep", "move", "delete"] = "keep"
    limit: Annotated[int, Field(ge=1, le=2**53)] | None = None
    settle: Annotated[float, Field(ge=0, le=_MAX_SETTLE, allow_inf_nan=False)] = 10.0
    silent_after: Annotated[float, Field(gt=0, le=_MAX_SILENCE, allow_inf_nan=False)] = 24.0

    @property
    def keyring(self) -> str:
        """The folder of its keyring, on the device itself."""
        return f"{self.home.rstrip('/')}/keys"

    @model_validator(mode="before")
    @classmethod
    def _named_queue(cls, values: Any) -> Any:
        name = values.get("name") if isinstance(values, Mapping) else None
        if "work_queue" not in values and isinstance(name, str) and _NAME.fullmatch(name):
            return {**values, "work_queue": name}
        return values


class Fleet(_Table):
    """The fog node, and all devices in the order of the file."""

    devices: tuple[Device, ...]
    fog: Fog = Fog()

    def find(self, name: str) -> Device:
        """The device of this name.

        Raises:
            FleetError: there is none; the message lists the names.
        """
        for device in self.devices:
            if device.name == name:
                return device
        names = ", ".join(device.name for device in self.devices[:_MAX_LISTED])
        raise FleetError(f"no device {name[:80]!r} in the fleet; there are: {names}")


_EXPECTED: dict[tuple[str, ...], str] = {
    ("name",): "text: lower-case letters, digits and hyphens",
    ("storage",): "text: an fsspec URL or a folder",
    ("inbox",): "text: an fsspec URL or a folder",
    ("home",): "text: a local folder",
    ("work_queue",): "text: the name of a work queue",
    ("public_key",): "text: the device's public key, as `rinr keys list` on the device shows it",
    ("after",): '"keep", "move" or "delete"',
    ("limit",): "a whole number, 1 or more",
    ("settle",): f"seconds, 0 to {_MAX_SETTLE:,.0f}",
    ("silent_after",): f"hours, more than 0 and at most {_MAX_SILENCE:,.0f}",
    ("storage_options",): "a table of options",
    ("inbox_options",): "a table of options",
    ("outbox",): "text: an fsspec URL or a folder",
    ("outbox_options",): "a table of options",
    ("receives",): "a table with `labels`, `neighbours`, `days` and `budget`",
    ("receives", "labels"): "a list of labels",
    ("receives", "neighbours"): "a list of names of devices",
    ("receives", "days"): f"days, more than 0 and at most {_MAX_DAYS:,.0f}",
    ("receives", "budget"): "bytes for each contact, a whole number, 1 or more",
    ("labels",): "a table with `format`, `path` and `classes`",
    ("labels", "format"): '"coco", "yolo" or "voc"',
    ("labels", "path"): "text: a path within the device's storage",
    ("labels", "classes"): "text: the name of a file, or a list of names",
}

_EXPECTED_OF_FOG: dict[tuple[str, ...], str] = {
    ("keyring",): "text: a local folder",
    ("signing_key",): '{ env = "NAME" } or { block = "name" }',
}

_NESTED: dict[int | str, type[BaseModel]] = {"labels": LabelsPlace, "receives": Receives}
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
        more = f"\n  and {len(told) - _MAX_LISTED:,} more" if len(told) > _MAX_LISTED else ""
        listed = "".join(f"\n  {line}" for line in told[:_MAX_LISTED])
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
    known = _EXPECTED_OF_FOG if of_fog else _EXPECTED
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
    places = {name: getattr(device, name) for name in _FOLDERS}
    own = {
        name: os.path.normpath(base / value)
        for name, value in places.items()
        if "://" not in value and not os.path.isabs(value)  # noqa: PTH117
    }
    return device.model_copy(update=own) if own else device


def _check_distinct(devices: Mapping[int, Device], faults: _Faults) -> None:
    for name in _MUST_DIFFER:
        seen: dict[str, int] = {}
        for index, device in devices.items():
            value = getattr(device, name)
            first = seen.setdefault(value.rstrip("/"), index)
            # Where two inboxes are one, so are the outboxes in them: that is one fault.
            if first != index and not (name == "outbox" and all(map(_has_outbox_inside, (device, devices[first])))):
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


def _outbox_in(inbox: str) -> str:
    return f"{inbox.rstrip('/')}/outbox"


def _options_of_outbox(checked: Mapping[str, Any]) -> dict[str, Any]:
    inside = checked.get("outbox") == _outbox_in(checked.get("inbox", ""))
    return dict(checked.get("inbox_options", {})) if inside else {}


def _has_outbox_inside(device: Device) -> bool:
    return device.outbox.rstrip("/") == _outbox_in(device.inbox)


def _is_label(name: str) -> bool:
    return 0 < len(name) <= 100 and name.isprintable() and len(name.encode(errors="replace")) <= 100


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
