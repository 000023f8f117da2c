"""What a device sends up: which shards it has verified and stored, which it wants again, which it refused, its report.

One file in its outbox that is replaced as a whole: state, not events. It comes from a device, which may send anything:
it is read with bounds, and says something of that device alone.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from storage.places.device_paths import safe_spelling
from storage.shards.faults import Fault, ShardError
from storage.shards.fields import date, number, shown
from storage.shards.manifest import DEVICE_NAME, MAX_GENERATION, MAX_SEQUENCE, shard_place
from storage.shards.signing import PublicKey, SigningKey, opened, signed

if TYPE_CHECKING:
    from storage.fleet import Device

VERSION = 1
PURPOSE = "residual-inr acknowledgement"
MAX_ACKNOWLEDGEMENT_BYTES = 2 * 1024 * 1024
MAX_WANTED = 1_000
MAX_REFUSED = 1_000
MAX_REASON = 300
MAX_REPORT_BYTES = 256 * 1024
MAX_NUMBER = 2**63 - 1

_UNSIGNED = b"\nUnsigned\n"
_FIELDS = ("version", "device", "number", "generation", "taken", "wanted", "refused", "created_at", "report")
_SIGNATURE = re.compile(rb"\nEd25519 [0-9a-f]{16} [A-Za-z0-9+/]{86}==\n\Z")


class AcknowledgementError(ValueError):
    """An acknowledgement that is refused; the message names the device, what was expected, and what to do."""


@dataclass(frozen=True)
class RefusedShard:
    """A shard that a device refused.

    Attributes:
        name: the shard's, without an ending.
        fault: why.
        reason: the same in words, at most ``MAX_REASON`` printable characters.
    """

    name: str
    fault: Fault
    reason: str


@dataclass(frozen=True)
class Acknowledgement:
    """How far a device is.

    Attributes:
        device: whose.
        number: grows with every one that the device writes.
        generation: of the shards; 0 before the first one came.
        taken: all shards of the generation from 1 to this are verified and stored.
        wanted: sequences after ``taken`` that are to be sent again, rising, at most ``MAX_WANTED``.
        refused: shards that were refused since the last shard was taken, at most ``MAX_REFUSED``.
        created_at: when it was written.
        report: the device report's JSON, at most ``MAX_REPORT_BYTES``.
    """

    device: str
    number: int
    generation: int
    taken: int
    wanted: tuple[int, ...]
    refused: tuple[RefusedShard, ...]
    created_at: datetime
    report: bytes | None = None


def next_number(last: int) -> int:
    """The number of the next acknowledgement, which is greater than the last one's even on a device that was wiped."""
    return max(last + 1, int(datetime.now(UTC).timestamp() * 1_000_000))


def write_acknowledgement(acknowledgement: Acknowledgement, key: SigningKey | None) -> bytes:
    """An acknowledgement, signed where there is a key. The inverse of :func:`open_acknowledgement`.

    Raises:
        AcknowledgementError: it is beyond what one may say.
    """
    report = acknowledgement.report
    try:
        text = None if report is None else report.decode()
    except UnicodeDecodeError:
        raise AcknowledgementError("the report is not UTF-8") from None
    document = {
        "version": VERSION,
        "device": acknowledgement.device,
        "number": acknowledgement.number,
        "generation": acknowledgement.generation,
        "taken": acknowledgement.taken,
        "wanted": list(acknowledgement.wanted),
        "refused": [
            {"name": one.name, "fault": one.fault.value, "reason": one.reason} for one in acknowledgement.refused
        ],
        "created_at": acknowledgement.created_at.astimezone(UTC).isoformat(),
        "report": text,
    }
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    if _parsed(data, acknowledgement.device) != acknowledgement:
        raise AcknowledgementError(f"the acknowledgement of {acknowledgement.device} does not read back as written")
    written = signed(data, PURPOSE, key) if key else data + _UNSIGNED
    if len(written) > MAX_ACKNOWLEDGEMENT_BYTES:
        raise AcknowledgementError(
            f"the acknowledgement of {acknowledgement.device} has {len(written):,} bytes; "
            f"at most {MAX_ACKNOWLEDGEMENT_BYTES:,} are sent"
        )
    return written


def open_acknowledgement(data: bytes, device: "Device") -> Acknowledgement:
    """Read an acknowledgement with bounds; where the fleet file has the device's key, it has to be signed by it.

    Args:
        data: the file's bytes.
        device: in whose outbox it was.

    Raises:
        AcknowledgementError: it is not signed as it has to be, malformed, or another device's.
        storage.shards.faults.KeyringError: the fleet file's ``public_key`` is none.
    """
    name = f"the acknowledgement of {device.name}"
    if len(data) > MAX_ACKNOWLEDGEMENT_BYTES:
        raise AcknowledgementError(f"{name} has more than {MAX_ACKNOWLEDGEMENT_BYTES:,} bytes, which none has")
    if device.public_key is None:
        document = _unverified(data, name)
    else:
        document = _verified(data, PublicKey.from_text(device.public_key), name)
    acknowledgement = _parsed(document, device.name)
    if acknowledgement.device != device.name:
        raise AcknowledgementError(
            f"{name} is one of {acknowledgement.device}; check `outbox` of both devices in the fleet file"
        )
    return acknowledgement


def _unverified(data: bytes, name: str) -> bytes:
    signature = _SIGNATURE.search(data)
    if signature:
        return data[: signature.start()]
    if not data.endswith(_UNSIGNED):
        raise AcknowledgementError(f"{name} is malformed: it ends with neither a signature nor `Unsigned`")
    return data.removesuffix(_UNSIGNED)


def _verified(data: bytes, key: PublicKey, name: str) -> bytes:
    def trusted(key_id: str) -> PublicKey:
        if key_id != key.id:
            raise AcknowledgementError(
                f"{name} is signed by the key {key_id}; `public_key` in the fleet file is {key.id}; correct it if the "
                "device has a new key"
            )
        return key

    try:
        return opened(data, PURPOSE, trusted, name)
    except ShardError as error:
        raise AcknowledgementError(f"{error} (by the device's key {key.id})") from None


def _parsed(data: bytes, device: str) -> Acknowledgement:
    try:
        document = json.loads(data.decode())  # bytes could be of other encodings, or have a mark before them
        return _acknowledgement(document)
    except (ValueError, RecursionError, OverflowError) as error:
        reason = safe_spelling(str(error)[:200])
        raise AcknowledgementError(f"the acknowledgement of {device} is malformed: {reason}") from None


def _acknowledgement(document: Any) -> Acknowledgement:
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if document.get("version") != VERSION:
        raise ValueError(f"version is {shown(document.get('version'))}, this reads {VERSION}")
    if set(document) != set(_FIELDS):
        raise ValueError(f"its fields are {shown(list(document))}, expected {', '.join(_FIELDS)}")
    device = document["device"]
    if not isinstance(device, str) or not DEVICE_NAME.fullmatch(device):
        raise ValueError(f"device is {shown(device)}, expected {DEVICE_NAME.pattern}")
    taken = number(document["taken"], "taken", 0, MAX_SEQUENCE)
    return Acknowledgement(
        device=device,
        number=number(document["number"], "number", 1, MAX_NUMBER),
        generation=number(document["generation"], "generation", 0, MAX_GENERATION),
        taken=taken,
        wanted=_wanted(document["wanted"], taken),
        refused=tuple(_refused(one) for one in _list(document["refused"], "refused", MAX_REFUSED)),
        created_at=date(document["created_at"], "created_at"),
        report=_report(document["report"]),
    )


def _list(value: Any, name: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"{name} is {shown(value)}, expected a list of at most {most:,}")
    return value


def _wanted(value: Any, taken: int) -> tuple[int, ...]:
    wanted = tuple(number(one, "wanted", taken + 1, MAX_SEQUENCE) for one in _list(value, "wanted", MAX_WANTED))
    if any(later <= earlier for earlier, later in pairwise(wanted)):
        raise ValueError("wanted does not rise")
    return wanted


def _refused(value: Any) -> RefusedShard:
    if not isinstance(value, dict) or set(value) != {"name", "fault", "reason"}:
        raise ValueError(f"refused holds {shown(value)}, expected name, fault and reason")
    name, fault, reason = value["name"], value["fault"], value["reason"]
    if not isinstance(name, str) or not shard_place(name):
        raise ValueError(f"refused names {shown(name)}, expected a shard")
    if not isinstance(fault, str) or fault not in {known.value for known in Fault}:
        raise ValueError(f"the fault of {name} is {shown(fault)}, which is none")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise ValueError(f"the reason of {name} is no text of at most {MAX_REASON} printable characters")
    return RefusedShard(name, Fault(fault), reason)


def _report(value: Any) -> bytes | None:
    if value is None:
        return None
    data = value.encode() if isinstance(value, str) and len(value) <= MAX_REPORT_BYTES else None
    if data is None or len(data) > MAX_REPORT_BYTES:
        raise ValueError(f"report is no text of at most {MAX_REPORT_BYTES:,} bytes")
    return data
