"""Ed25519 signatures below documents: nothing of a document is parsed before its signature was verified.

A signed document is its bytes, a newline, and one more line::

    Ed25519 <key id> <signature in base64>

The signature is over the document's purpose, a newline and the document, so that a document signed for one purpose is
none for another.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from storage.shards.faults import Fault, KeyringError, ShardError

KEY_ID = re.compile(r"[0-9a-f]{16}")

_MAX_KEY_TEXT = 2_000
_LINE = re.compile(rb"Ed25519 ([0-9a-f]{16}) ([A-Za-z0-9+/]{86}==)")
_LONGEST_LINE = 200


@dataclass(frozen=True)
class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        raw: its 32 bytes.
    """

    raw: bytes

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the raw bytes."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """One line for a fleet file or ``rinr keys trust``: base64 of its SubjectPublicKeyInfo in DER."""
        der = Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(der).decode()

    @classmethod
    def from_text(cls, text: str) -> "PublicKey":
        """The inverse of :attr:`text`.

        Raises:
            KeyringError: it is no Ed25519 public key.
        """
        expected = "expected an Ed25519 public key as `rinr keys list` shows it: one line of base64, 60 characters"
        if len(text) > _MAX_KEY_TEXT:
            raise KeyringError(f"the public key has {len(text):,} characters; {expected}")
        try:
            key = load_der_public_key(base64.b64decode(text.strip(), validate=True))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyringError(f"the public key cannot be read; {expected}")
        return cls(key.public_bytes(Encoding.Raw, PublicFormat.Raw))

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether a signature of 64 bytes is this key's over the data."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key. Neither printed nor pickled: what is shown is the id of its public key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = PublicKey(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    @classmethod
    def new(cls) -> "SigningKey":
        """A fresh key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, text: str) -> "SigningKey":
        """A key in PKCS8, unencrypted, as a keyring's ``.pem`` files hold it.

        Raises:
            KeyringError: it is none.
        """
        try:
            private = load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise KeyringError(
                "the signing key cannot be read; expected an unencrypted Ed25519 key in PKCS8 PEM, as `rinr keys new` "
                "writes it"
            )
        return cls(private)

    def pem(self) -> str:
        """PKCS8, unencrypted: a secret."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    def sign(self, data: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"

    def __reduce__(self) -> str:
        raise TypeError("a signing key is not pickled")


Trusted = Callable[[str], PublicKey]
"""Gives the trusted key of an id, or raises :class:`ShardError` with ``UNKNOWN_KEY`` or ``REVOKED_KEY``.

Its message goes on after "<file> is ": "signed by the key ..., which was revoked"."""


def signed(document: bytes, purpose: str, key: SigningKey) -> bytes:
    """A document with its signature below it. The inverse of :func:`opened`.

    Args:
        document: any bytes.
        purpose: what kind of document it is, one line.
        key: signs it.
    """
    signature = base64.b64encode(key.sign(_signed_bytes(document, purpose))).decode()
    return document + f"\nEd25519 {key.public.id} {signature}\n".encode()


def opened(data: bytes, purpose: str, trusted: Trusted, name: str) -> bytes:
    """A signed document's bytes, once its signature was verified.

    Args:
        data: the file.
        purpose: as it was signed.
        trusted: gives the key of an id.
        name: of the file, for messages.

    Raises:
        ShardError: ``UNSIGNED``, ``UNKNOWN_KEY``, ``REVOKED_KEY`` or ``EDITED``.
    """
    document, key_id, signature = _parts(data, name)
    try:
        key = trusted(key_id)
    except ShardError as error:
        raise ShardError(error.fault, f"{name} is {error}") from None
    if not key.verifies(signature, _signed_bytes(document, purpose)):
        raise ShardError(
            Fault.EDITED, f"{name} is not as the key {key_id} signed it: it was edited or damaged; have it sent again"
        )
    return document


def signer_of(data: bytes, name: str) -> str:
    """The id of the key that a file says it is signed by. Nothing is verified.

    Raises:
        ShardError: ``UNSIGNED``.
    """
    return _parts(data, name)[1]


def _parts(data: bytes, name: str) -> tuple[bytes, str, bytes]:
    """Document, key id, signature."""
    end = len(data) - 1
    start = data.rfind(b"\n", max(0, end - _LONGEST_LINE), max(0, end))
    line = _LINE.fullmatch(data[start + 1 : end]) if start >= 0 and data.endswith(b"\n") else None
    signature = _canonical_base64(line[2]) if line else None
    if not line or signature is None:
        raise ShardError(Fault.UNSIGNED, f"{name} has no signature at its end; have it sent again")
    return data[:start], line[1].decode(), signature


def _canonical_base64(text: bytes) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
    return data if base64.b64encode(data) == text else None


def _signed_bytes(document: bytes, purpose: str) -> bytes:
    return purpose.encode() + b"\n" + document
