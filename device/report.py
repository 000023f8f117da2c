"""What a device job reports, as a value and as the JSON file of it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from rinr.training.evaluate import Precision


@dataclass(frozen=True)
class Refused:
    """A shard that was not taken.

    Attributes:
        shard: its name.
        reason: in words.
    """

    shard: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """The untrained and the trained detector on the same pictures.

    Attributes:
        frames: pictures that were tested.
        objects: labelled objects in them.
        before: of the untrained detector.
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
        torch_device: where it decoded and trained.
        epochs: passes over the received frames.
        seed: of the weights, the order and the augmentation.
        frames: received and trained on.
        objects: labelled objects in them.
        shard_bytes: bytes of the shard files they came in.
        payload_bytes: sum of the frames' own payloads.
        training_size: ``(width, height)`` in pixels of the pictures that were trained on.
        load_seconds: entropy decoding, once.
        decode_seconds: decoding and augmenting pictures in the loop, all epochs.
        train_seconds: forward, backward and update, all epochs.
        evaluate_seconds: detecting and measuring, before and after.
        losses: mean loss of each epoch.
        decoded: detection on the received frames as decoded.
        own: detection on the device's own labelled JPEGs, which were not trained on; ``None`` without any.
        notes: what a reader has to know besides, in sentences.
        refused: shards that were not taken.
        model_sha256: of ``model.safetensors``.
    """

    key: str
    device: str
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
    refused: tuple[Refused, ...]
    model_sha256: str

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
    return json.dumps(asdict(report), indent=1, allow_nan=False).encode()


def parse_report(data: bytes) -> DeviceReport:
    """Read a report that this version wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        fields: dict[str, Any] = json.loads(data)
        own = fields["own"]
        return DeviceReport(
            **fields
            | {
                "training_size": tuple(fields["training_size"]),
                "losses": tuple(map(float, fields["losses"])),
                "decoded": _comparison(fields["decoded"]),
                "own": _comparison(own) if own is not None else None,
                "notes": tuple(fields["notes"]),
                "refused": tuple(Refused(**item) for item in fields["refused"]),
            }
        )
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"not a device report of this version: {error!r}") from None


def _comparison(fields: dict[str, Any]) -> Comparison:
    return Comparison(**fields | {"before": Precision(**fields["before"]), "after": Precision(**fields["after"])})
