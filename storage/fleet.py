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

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from rinr.folders import LABELS_FILE
from rinr.presets import find_preset
from storage.credentials import Reference, reference_of
from storage.places.device_paths import path_fault
from storage.shards.faults import KeyringError

MAX_DEVICES = 10_000
MAX_LISTED = 40  # errors, or names, in one message

_MAX_TEXT = 2_000
_MAX_OPTIONS = 200
_MAX_SETTLE = 86_400.0  # seconds
_MAX_CLASSES = 10_000
_MAX_RECEIVED_LABELS = 1_000
_MAX_DAYS = 36_500.0
_MAX_SILENCE = 87_600.0  # hours
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_TRAINER = re.compile(r"[A-Za-z_][\w.-]*|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_SECRET_KEY = re.compile(
    r"secret|passw(or)?d|passphrase|token|credential|authorization|cookie|(^|[_-])key$|access_key|(^|[_-])sas($|[_-])",
    re.IGNORECASE,
)


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
    expected = EXPECTED_OF_FOG["signing_key",]
    if not isinstance(value, Mapping | Reference):
        raise PydanticCustomError("secret", "{expected}", {"expected": expected})
    try:
        return reference_of(value) or value
    except ValueError:
        raise _wrong(expected) from None


def _checked_trainer(value: str) -> str:
    if not _TRAINER.fullmatch(value):
        raise _wrong(EXPECTED["trainer",])
    return value


def _checked_preset(value: str) -> str:
    try:
        find_preset(value)
    except ValueError:
        raise _wrong(EXPECTED_OF_FOG["preset",]) from None
    return value


def _checked_key(value: str) -> str:
    from storage.shards.signing import PublicKey  # needs a package that a fleet without keys can do without

    try:
        PublicKey.from_text(value)
    except KeyringError:
        raise _wrong(EXPECTED["public_key",]) from None
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


class Uploads(_Table):
    """How a device shrinks what it captured before it uploads it.

    Attributes:
        codec: ``webp`` or ``avif``.
        quality: the codec's own, 1 to 100.
    """

    # What costs at most 0.3 dB of the objects' PSNR (`benchmarks.uploads`): WebP, whose colours are halved, does not.
    codec: Literal["webp", "avif"] = "avif"
    quality: Annotated[int, Field(ge=1, le=100)] = 90


class Fog(_Table):
    """What the fog node needs for itself.

    Attributes:
        keyring: local folder of the keyring with which it signs (:mod:`storage.shards.keyring`).
        signing_key: where the private key that signs stands instead, as PEM; the keyring's active one without it.
        preset: how images are encoded, as :func:`rinr.presets.find_preset` takes it; an image codec's name, too.
    """

    keyring: LocalFolder = "keys"  # no model has a field `keys`: dict() takes whatever has one for a mapping
    signing_key: Annotated[Reference, BeforeValidator(_as_reference)] | None = None
    preset: Annotated[Line, AfterValidator(_checked_preset)] = "balanced"


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
        captures: local folder on the device with its captures, where ``storage`` is the local folder of what is
            uploaded of them, shrunk. Only what stands in the device's own file counts.
        uploads: how they are shrunk.
        trainer: who trains on the device, as ``module:function`` or the name of an entry point; the project's own
            without it. Only what stands in the device's own file counts.
        share_pictures: whether own pictures of the device, with detections drawn on them, are shown on the pages of the
            Prefect server. Only what stands in the device's own file counts.
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
    captures: LocalFolder | None = None
    uploads: Uploads = Uploads()
    trainer: Annotated[Line, AfterValidator(_checked_trainer)] | None = None
    share_pictures: bool = False

    @property
    def keyring(self) -> str:
        """The folder of its keyring, on the device itself."""
        return f"{self.home.rstrip('/')}/keys"

    @property
    def has_outbox_inside(self) -> bool:
        """Whether its outbox lies in its inbox."""
        return self.outbox.rstrip("/") == _outbox_in(self.inbox)

    @model_validator(mode="after")
    def _uploads_are_local(self) -> "Device":
        if self.captures is not None and (
            "://" in self.storage or self.captures.rstrip("/") == self.storage.rstrip("/")
        ):
            expected = "a local folder for the uploads, other than `captures`; bring them elsewhere from there"
            raise PydanticCustomError("wrong", "{expected}", {"expected": expected, "at": ("storage",)})
        return self

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
        names = ", ".join(device.name for device in self.devices[:MAX_LISTED])
        raise FleetError(f"no device {name[:80]!r} in the fleet; there are: {names}")


EXPECTED: dict[tuple[str, ...], str] = {
    ("name",): "text: lower-case letters, digits and hyphens",
    ("storage",): "text: an fsspec URL or a folder",
    ("inbox",): "text: an fsspec URL or a folder",
    ("home",): "text: a local folder",
    ("work_queue",): "text: the name of a work queue",
    ("public_key",): "text: the device's public key, as `rinr keys list` on the device shows it",
    ("after",): '"keep", "move" or "delete"',
    ("limit",): "a whole number, 1 or more",
    ("captures",): "text: a local folder",
    ("uploads",): "a table with `codec` and `quality`",
    ("uploads", "codec"): '"webp" or "avif"',
    ("uploads", "quality"): "a whole number, 1 to 100",
    ("settle",): f"seconds, 0 to {_MAX_SETTLE:,.0f}",
    ("trainer",): 'text: "module:function", or the name of an entry point of the group rinr.trainers',
    ("share_pictures",): "true or false",
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
"""What each field of a device is to be, for messages; by its path."""

EXPECTED_OF_FOG: dict[tuple[str, ...], str] = {
    ("keyring",): "text: a local folder",
    ("signing_key",): '{ env = "NAME" } or { block = "name" }',
    ("preset",): "text: the name of a preset, such as balanced, cheapest:33/26 or webp:10/4+80",
}
"""Likewise of the fog node's fields."""


def _outbox_in(inbox: str) -> str:
    return f"{inbox.rstrip('/')}/outbox"


def _options_of_outbox(checked: Mapping[str, Any]) -> dict[str, Any]:
    inside = checked.get("outbox") == _outbox_in(checked.get("inbox", ""))
    return dict(checked.get("inbox_options", {})) if inside else {}


def _is_label(name: str) -> bool:
    return 0 < len(name) <= 100 and name.isprintable() and len(name.encode(errors="replace")) <= 100
