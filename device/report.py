"""What a device job reports, as a value and as the JSON file of it."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from device.exercise import Examined
from rinr.training.evaluate import Precision
from rinr.training.sizes import SIZES, SizeRow
from storage.places.device_paths import safe_spelling
from storage.shards.acknowledgement import MAX_REASON, MAX_REPORT_BYTES, RefusedShard
from storage.shards.faults import Fault
from storage.shards.manifest import shard_place

MAX_EPOCHS = 5_000
MAX_EXAMINED = 20
MAX_NOTES = MAX_REFUSED = 50
MAX_NOTE = 300
"""Characters. A report of all that these bounds allow fits into an acknowledgement."""

_MAX_TEXT = 200
_REFERENCE = "reference"


@dataclass(frozen=True)
class Comparison:
    """The detector before and after its training, on the same pictures.

    Attributes:
        frames: pictures that were tested.
        objects: labelled objects in them.
        before: of the model that the training started from, or of the untrained detector; zero where the trainer
            names none.
        after: of the trained one.
    """

    frames: int
    objects: int
    before: Precision
    after: Precision


@dataclass(frozen=True)
class DeviceReport:
    """What one device job received, did and learned.

    Attributes:
        key: SHA-256 of all that the result follows from; equal keys, equal jobs.
        device: the device's name.
        generation: of the shards that it had received.
        taken: it was trained on the shards of that generation from 1 to this, those that were refused aside.
        torch_device: where it decoded and trained.
        epochs: passes over the pictures.
        seed: of the weights, the order and the augmentation.
        frames: received and trained on.
        objects: labelled objects in them.
        shard_bytes: bytes of the shard files they came in.
        payload_bytes: sum of the frames' payloads, and of what frames of clips share.
        training_size: ``(width, height)`` in pixels of the pictures that were trained on.
        load_seconds: entropy decoding, once.
        decode_seconds: decoding and augmenting pictures in the loop, all epochs.
        train_seconds: forward, backward and update, all epochs.
        evaluate_seconds: detecting and measuring, before and after.
        losses: mean loss of each epoch.
        decoded: detection on the received frames as decoded.
        own: detection on the device's own labelled JPEGs that are held out; ``None`` without any.
        notes: what a reader has to know besides, in sentences; at most ``MAX_NOTES`` of ``MAX_NOTE`` characters.
        refused: shards that were not taken, the first ``MAX_REFUSED``.
        model_sha256: of the model that was trained.
        trainer: ``reference``, or as the fleet file names it.
        own_frames: own labelled JPEGs that were trained on besides.
        started_from: SHA-256 of the model that was in use and was started from; ``None`` where it began anew.
        resumed_at: the step at which the training went on from a checkpoint; 0 where it was not cut off.
        promoted: whether the model that was trained is in use now; otherwise it is the candidate.
        verdict: why, in a sentence; empty in a report of an earlier version.
        compared: precision of the model that was in use, on the pictures that decided; ``None`` without one.
        in_use_sha256: of ``model.safetensors``.
        examined: precision on held-out pictures on the way.
        sizes: what was found, missed and imagined by size of the objects, on the pictures that decided.
    """

    key: str
    device: str
    generation: int
    taken: int
    torch_device: str
    epochs: int
    seed: int
    frames: int
    objects: int
    shard_bytes: int
    payload_bytes: int
    training_size: tuple[int, int]
    load_seconds: float
    decode_seconds: float
    train_seconds: float
    evaluate_seconds: float
    losses: tuple[float, ...]
    decoded: Comparison
    own: Comparison | None
    notes: tuple[str, ...]
    refused: tuple[RefusedShard, ...]
    model_sha256: str
    trainer: str = _REFERENCE
    own_frames: int = 0
    started_from: str | None = None
    resumed_at: int = 0
    promoted: bool = True
    verdict: str = ""
    compared: Precision | None = None
    in_use_sha256: str = ""
    examined: tuple[Examined, ...] = ()
    sizes: tuple[SizeRow, ...] = ()

    def __post_init__(self) -> None:
        if not self.in_use_sha256:  # a report of an earlier version: every model was put in use then
            object.__setattr__(self, "in_use_sha256", self.model_sha256)

    @property
    def loss_first(self) -> float:
        """Mean loss of the first epoch."""
        return self.losses[0]

    @property
    def loss_last(self) -> float:
        """Mean loss of the last epoch."""
        return self.losses[-1]


def write_report(report: DeviceReport) -> bytes:
    """A report as JSON. The inverse of :func:`parse_report`."""
    return json.dumps(asdict(report), indent=1, allow_nan=False, ensure_ascii=False).encode()


def parse_report(data: bytes) -> DeviceReport:
    """Read a report with bounds, of this version or of one in which models were not compared yet.

    Raises:
        ValueError: it is none.
    """
    try:
        if len(data) > MAX_REPORT_BYTES:
            raise ValueError(f"more than {MAX_REPORT_BYTES:,} bytes")
        fields = json.loads(data)
        names = {field.name for field in dataclass_fields(DeviceReport)}
        if not isinstance(fields, dict) or not names - _LATER <= set(fields) <= names:
            raise ValueError(f"expected an object with {', '.join(sorted(names))}")
        return DeviceReport(**{name: _READ[name](value) for name, value in fields.items()})
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(f"not a device report of this version: {safe_spelling(repr(error))}") from None


def _text(value: Any, most: int = _MAX_TEXT) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise ValueError(f"expected a line of at most {most} characters")
    return value


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected true or false")
    return value


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("expected a count")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("expected a finite number")
    return float(value)


def _items(value: Any, most: int, read: Callable[[Any], Any], least: int = 0) -> tuple[Any, ...]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise ValueError(f"expected a list of {least} to {most:,}")
    return tuple(map(read, value))


def _size(value: Any) -> tuple[int, int]:
    width, height = _items(value, 2, _count, 2)
    return width, height


def _refused(value: Any) -> RefusedShard:
    name = _text(value["name"])
    if set(value) != {"name", "fault", "reason"} or not shard_place(name):
        raise ValueError("expected a shard's name, fault and reason")
    return RefusedShard(name, Fault(value["fault"]), _text(value["reason"], MAX_REASON))


def _precision(value: Any) -> Precision:
    return Precision(**{name: _number(figure) for name, figure in value.items()})


def _comparison(value: Any) -> Comparison:
    frames, objects = _count(value["frames"]), _count(value["objects"])
    if set(value) != {"frames", "objects", "before", "after"}:
        raise ValueError("expected frames, objects, before and after")
    return Comparison(frames, objects, _precision(value["before"]), _precision(value["after"]))


def _examined(value: Any) -> Examined:
    if set(value) != {"epoch", "precision"}:
        raise ValueError("expected epoch and precision")
    return Examined(_count(value["epoch"]), _precision(value["precision"]))


def _size_row(value: Any) -> SizeRow:
    if set(value) != {"size", "objects", "found_as", "missed", "imagined"} or value["size"] not in SIZES:
        raise ValueError(f"expected counts of {', '.join(SIZES)}")
    small, medium, large = _items(value["found_as"], 3, _count, 3)
    counts = (_count(value[name]) for name in ("missed", "imagined"))
    return SizeRow(value["size"], _count(value["objects"]), (small, medium, large), *counts)


_LATER = {
    *("trainer", "own_frames", "started_from", "resumed_at", "promoted", "verdict", "compared", "in_use_sha256"),
    *("examined", "sizes"),
}
"""Fields that reports of earlier versions do not have."""

_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("key", "device", "torch_device", "model_sha256", "in_use_sha256", "trainer"), _text),
    **dict.fromkeys(("generation", "taken", "epochs", "seed", "frames", "objects"), _count),
    **dict.fromkeys(("own_frames", "resumed_at"), _count),
    "started_from": _optional(_text),
    "promoted": _bool,
    "verdict": lambda value: _text(value, MAX_NOTE),
    "compared": _optional(_precision),
    "examined": lambda value: _items(value, MAX_EXAMINED, _examined),
    "sizes": lambda value: _items(value, len(SIZES), _size_row),
    **dict.fromkeys(("shard_bytes", "payload_bytes"), _count),
    **dict.fromkeys(("load_seconds", "decode_seconds", "train_seconds", "evaluate_seconds"), _number),
    "training_size": _size,
    "losses": lambda value: _items(value, MAX_EPOCHS, _number, 1),
    "decoded": _comparison,
    "own": _optional(_comparison),
    "notes": lambda value: _items(value, MAX_NOTES, lambda note: _text(note, MAX_NOTE)),
    "refused": lambda value: _items(value, MAX_REFUSED, _refused),
}
