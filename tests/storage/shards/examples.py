"""A shard with its manifest, keys, and another reader of signed documents, written from docs/shard.md."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from rinr.shard import ShardRow
from storage.shards.faults import Fault, ShardError
from storage.shards.manifest import Manifest, write_manifest
from storage.shards.shard_file import write_shard
from storage.shards.signing import PublicKey, SigningKey, signed
from tests.storage.examples import ENCODING, encoded_image

TIME = datetime(2026, 5, 2, 3, 4, 5, tzinfo=UTC)


def seeded_key(seed: int) -> SigningKey:
    """A key of 32 equal bytes: the PKCS8 of RFC 8410 around them."""
    der = bytes.fromhex("302e020100300506032b657004220420") + bytes([seed]) * 32
    body = base64.b64encode(der).decode()
    return SigningKey.from_pem(f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n")


FOG, OTHER, REVOKED = seeded_key(1), seeded_key(2), seeded_key(3)


def trusted(key_id: str) -> PublicKey:
    """What a device says that was told of the fog's key, and of one that was revoked since."""
    if key_id == REVOKED.public.id:
        raise ShardError(Fault.REVOKED_KEY, f"signed by the key {key_id}, which was revoked")
    if key_id != FOG.public.id:
        raise ShardError(Fault.UNKNOWN_KEY, f"signed by the key {key_id}, which is not known")
    return FOG.public


def row(number: int) -> ShardRow:
    image = encoded_image(number)
    return ShardRow(image.image_id, image.frame)


ROWS = [row(number) for number in range(3)]
DATA = write_shard(ROWS)


def manifest_of(rows: Sequence[ShardRow], data: bytes, **changes: Any) -> Manifest:
    made = Manifest(
        device="cam-b",
        generation=1,
        sequence=2,
        encoding_id=ENCODING,
        image_ids=tuple(one.image_id for one in rows),
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        payload_bytes=sum(one.frame.bytes_total for one in rows),
        created_at=TIME,
    )
    return replace(made, **changes)


MANIFEST = manifest_of(ROWS, DATA)
NAME = "shard-0001-00000002.manifest"
SIGNED = write_manifest(MANIFEST, FOG)


def signed_document(changes: dict[str, Any], key: SigningKey = FOG) -> bytes:
    """The manifest with other fields, and a signature that is right; a field of ``None`` is left out."""
    document = json.loads(SIGNED.split(b"\n")[0]) | changes
    text = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
    return signed(text, "residual-inr shard manifest", key)


def read_independently(data: bytes, purpose: bytes, key: str) -> dict[str, Any]:
    """What a signed JSON document says, by docs/shard.md alone."""
    lines = data.split(b"\n")
    assert lines.pop() == b""
    scheme, key_id, signature = lines.pop().split(b" ")
    der = base64.b64decode(key)
    assert scheme == b"Ed25519"
    assert key_id.decode() == hashlib.sha256(der[-32:]).hexdigest()[:16]
    public = load_der_public_key(der)
    assert isinstance(public, Ed25519PublicKey)
    document = b"\n".join(lines)
    public.verify(base64.b64decode(signature), purpose + b"\n" + document)
    return json.loads(document)
