"""The manifest of a shard: what it is, for whom, the how-manieth, signed by the fog.

A shard ``shard-0001-00000042`` is two files: ``.parquet`` holds the rows, ``.manifest`` says what they are and is
written last. A reader believes neither its folder nor its file names: all follows from the signed manifest.
"""

import base64
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from storage.places.device_paths import safe_spelling
from storage.shards.faults import Fault, ShardError
from storage.shards.fields import date, number, shown
from storage.shards.signing import SigningKey, Trusted, opened, signed, signer_of

VERSION = 2
PURPOSE = "residual-inr shard manifest"
MAX_ROWS = 20_000
MAX_SHARD_BYTES = 128 * 1024 * 1024
MAX_MANIFEST_BYTES = 1024 * 1024  # so that one that breaks off costs no more than a block of a shard
MAX_GENERATION = 9_999
MAX_SEQUENCE = 99_999_999
DATA, MANIFEST = ".parquet", ".manifest"
"""Endings of a shard's two files."""

DEVICE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

_SHARD_NAME = re.compile(r"shard-([0-9]{4})-([0-9]{8})")
_HASH = re.compile(r"[0-9a-f]{64}")
_ENCODING = re.compile(r"[A-Za-z0-9._-]{1,100}")
_FIELDS = (
    "version",
    "device",
    "generation",
    "sequence",
    "encoding_id",
    "rows",
    "bytes",
    "payload_bytes",
    "sha256",
    "created_at",
    "image_ids",
)


@dataclass(frozen=True)
class Manifest:
    """What a shard is.

    Attributes:
        device: the one it is meant for.
        generation: counts the times that the device was filled from nothing, from 1.
        sequence: counts the shards of a generation, from 1, without a gap.
        encoding_id: of all its rows.
        image_ids: of the images, in the order of their rows, 64 hexadecimal digits each; none stands twice. What frames
            of clips share is not listed: its hash is its id.
        sha256: of the shard file.
        bytes: of the shard file.
        payload_bytes: sum of all rows' payloads, those of shared parts included.
        created_at: when it was made.
        creator: id of the key that signed it; known once it was opened.
    """

    device: str
    generation: int
    sequence: int
    encoding_id: str
    image_ids: tuple[str, ...]
    sha256: str
    bytes: int
    payload_bytes: int
    created_at: datetime
    creator: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """The shard's name; its files' names are this with ``.parquet`` and ``.manifest``."""
        return shard_name(self.generation, self.sequence)

    @property
    def rows(self) -> int:
        """Images in the shard."""
        return len(self.image_ids)


def shard_name(generation: int, sequence: int) -> str:
    """The name of a shard.

    Raises:
        ValueError: a number that no shard has.
    """
    if not 1 <= generation <= MAX_GENERATION or not 1 <= sequence <= MAX_SEQUENCE:
        raise ValueError(f"no shard has the generation {generation} and the sequence {sequence}")
    return f"shard-{generation:04d}-{sequence:08d}"


def shard_place(name: str) -> tuple[int, int] | None:
    """``(generation, sequence)`` of a shard's name; ``None`` of any other text."""
    found = _SHARD_NAME.fullmatch(name)
    place = (int(found[1]), int(found[2])) if found else (0, 0)
    return place if min(place) >= 1 else None


def write_manifest(manifest: Manifest, key: SigningKey) -> bytes:
    """A signed manifest. The inverse of :func:`open_manifest`.

    Raises:
        ShardError: ``MALFORMED``: the manifest is beyond what one may say.
    """
    document = {
        "version": VERSION,
        "device": manifest.device,
        "generation": manifest.generation,
        "sequence": manifest.sequence,
        "encoding_id": manifest.encoding_id,
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "payload_bytes": manifest.payload_bytes,
        "sha256": manifest.sha256,
        "created_at": manifest.created_at.astimezone(UTC).isoformat(),
        "image_ids": base64.b64encode(bytes.fromhex("".join(manifest.image_ids))).decode(),
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    if _parsed(text, "the manifest") != manifest:
        raise ShardError(Fault.MALFORMED, f"the manifest of {manifest.name} does not read back as it was written")
    return signed(text, PURPOSE, key)


def open_manifest(data: bytes, name: str, trusted: Trusted) -> Manifest:
    """Verify a manifest, then read it with bounds.

    Args:
        data: the file's bytes.
        name: of the file, which has to be the shard's own.
        trusted: gives the key of an id, as :meth:`storage.shards.keyring.Keyring.public_key` does.

    Raises:
        ShardError: ``UNSIGNED``, ``UNKNOWN_KEY``, ``REVOKED_KEY``, ``EDITED``; ``MALFORMED`` of a field, which the
            message names; ``REPLAYED`` or ``OUT_OF_ORDER`` where it is that of an earlier or later shard.
    """
    name = safe_spelling(name)
    if len(data) > MAX_MANIFEST_BYTES:
        raise ShardError(Fault.MALFORMED, f"{name} has more than {MAX_MANIFEST_BYTES:,} bytes, which no manifest has")
    creator = signer_of(data, name)
    manifest = _parsed(opened(data, PURPOSE, trusted, name), name, creator)
    if f"{manifest.name}{MANIFEST}" != name:
        place = shard_place(name.removesuffix(MANIFEST))
        earlier = place is not None and (manifest.generation, manifest.sequence) < place
        fault = Fault.REPLAYED if earlier else Fault.OUT_OF_ORDER
        raise ShardError(fault, f"{name} is the manifest of {manifest.name}, under another name; have it sent again")
    return manifest


def _parsed(data: bytes, name: str, creator: str = "") -> Manifest:
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise _malformed(name, f"it is not JSON: {safe_spelling(str(error)[:100])}") from None
    if not isinstance(document, dict):
        raise _malformed(name, "it is not a JSON object")
    version = document.get("version")
    if version != VERSION:
        raise _malformed(name, f"version is {shown(version)}, this reads {VERSION}")
    if set(document) != set(_FIELDS):
        raise _malformed(name, f"its fields are {shown(list(document))}, expected {', '.join(_FIELDS)}")
    try:
        return _manifest(document, creator)
    except ValueError as error:
        raise _malformed(name, str(error)) from None


def _manifest(document: dict[str, Any], creator: str) -> Manifest:
    manifest = Manifest(
        device=_text(document, "device", DEVICE_NAME),
        generation=number(document["generation"], "generation", 1, MAX_GENERATION),
        sequence=number(document["sequence"], "sequence", 1, MAX_SEQUENCE),
        encoding_id=_text(document, "encoding_id", _ENCODING),
        image_ids=_image_ids(document["image_ids"]),
        sha256=_text(document, "sha256", _HASH),
        bytes=number(document["bytes"], "bytes", 1, MAX_SHARD_BYTES),
        payload_bytes=number(document["payload_bytes"], "payload_bytes", 1, MAX_SHARD_BYTES),
        created_at=date(document["created_at"], "created_at"),
        creator=creator,
    )
    rows = number(document["rows"], "rows", 1, MAX_ROWS)
    if rows != manifest.rows:
        raise ValueError(f"rows is {rows}, but there are {manifest.rows} image ids")
    return manifest


def _malformed(name: str, what: str) -> ShardError:
    return ShardError(Fault.MALFORMED, f"{name}: {what}")


def _text(document: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = document[name]
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{name} is {shown(value)}, expected {form.pattern}")
    return value


def _image_ids(value: Any) -> tuple[str, ...]:
    try:
        raw = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except ValueError:
        raw = b""
    if not raw or len(raw) % 32 or len(raw) > 32 * MAX_ROWS:
        raise ValueError(f"image_ids is {shown(value)}, expected base64 of 1 to {MAX_ROWS:,} ids of 32 bytes")
    digits = raw.hex()
    ids = tuple(digits[start : start + 64] for start in range(0, len(digits), 64))
    if len(set(ids)) != len(ids):
        raise ValueError("an image id stands twice")
    return ids
