"""A folder of keys: one's own that sign, and those of others that are trusted.

``keyring.json`` holds the public part; ``<key id>.pem`` the private half of an own key, for its owner's eyes alone.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from storage.shards.faults import Fault, KeyringError, ShardError
from storage.shards.signing import KEY_ID, PublicKey, SigningKey

MAX_KEYS = 10_000
MAX_LABEL = 100

_VERSION = 1
_FILE = "keyring.json"
_MAX_FILE_BYTES = 8 * 1024 * 1024
_MAX_PEM_BYTES = 10_000


class Status(StrEnum):
    """What a key is for."""

    ACTIVE = "active"
    """One's own, and it signs; there is one at most."""
    STANDBY = "standby"
    """One's own, not yet signing: others may be told of it ahead of time."""
    RETIRED = "retired"
    """One's own, no longer signing; what it signed is still trusted."""
    TRUSTED = "trusted"
    """Another's."""
    REVOKED = "revoked"
    """Anyone's; nothing that it signed is trusted any more."""


_OWN = (Status.ACTIVE, Status.STANDBY, Status.RETIRED)


@dataclass(frozen=True)
class Entry:
    """One key of a keyring.

    Attributes:
        key: its public half.
        status: what it is for.
        label: what people call it, at most ``MAX_LABEL`` printable characters.
        added_at: when it was made, or when the keyring was told of it.
    """

    key: PublicKey
    status: Status
    label: str
    added_at: datetime

    @property
    def id(self) -> str:
        """The key's."""
        return self.key.id


class Keyring:
    """The keys in a folder. What changes it is atomic: a kill leaves it as it was, or changed.

    Args:
        folder: made by the first key, with mode 0700.

    Example::

        fog, device = Keyring(Path("keys")), Keyring(Path("home/keys"))
        device.trust(fog.new().text, label="fog")
        write_manifest(manifest, fog.signer())
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[Entry]:
        """All keys, oldest first; none without a folder.

        Raises:
            KeyringError: the keyring cannot be read, or others may write it.
        """
        file = self.folder / _FILE
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                data = opened.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeyringError(f"{file} cannot be read: {error.strerror}; check --keys and who owns it") from None
        for path, found, right in ((file, mode, 600), (self.folder, self.folder.stat().st_mode, 700)):
            if found & (stat.S_IWGRP | stat.S_IWOTH):
                raise KeyringError(f"{path} may be written by others, who could add keys; run: chmod {right} {path}")
        return _parsed(data, file)

    def signer(self) -> SigningKey:
        """The active key.

        Raises:
            KeyringError: there is none, or its file cannot be read or is readable by others.
        """
        for entry in self.entries():
            if entry.status is Status.ACTIVE:
                return self._private(entry.id)
        raise KeyringError(f"{self.folder} holds no key that signs; make one with: rinr keys new --keys {self.folder}")

    def new(self, label: str = "") -> PublicKey:
        """Make a key of one's own: active where there is none yet, standby otherwise."""
        with self._changing() as entries:
            return self._make(entries, label).key

    def rotate(self) -> PublicKey:
        """Let the newest standby key sign, or a new one where there is none; the one that signed is retired."""
        with self._changing() as entries:
            return self._rotate(entries)

    def trust(self, text: str, label: str = "") -> PublicKey:
        """Trust another's key; one that is known already stays as it is.

        Args:
            text: the public key, as :attr:`PublicKey.text`.
            label: what people call it.

        Raises:
            KeyringError: it is no key, or it was revoked.
        """
        key = PublicKey.from_text(text)
        with self._changing() as entries:
            found = _find(entries, key.id)
            if found is None:
                entries.append(Entry(key, Status.TRUSTED, _checked_label(label), datetime.now(UTC)))
            elif found.key != key:
                raise KeyringError(f"another key of the id {key.id} is in {self.folder}; have a new key made")
            elif found.status is Status.REVOKED:
                raise KeyringError(f"the key {key.id} was revoked, which is final; have a new key made")
        return key

    def revoke(self, key_id: str, *, force: bool = False) -> None:
        """Trust nothing any more that a key signed; of one's own key the private half is deleted.

        Args:
            key_id: 16 hexadecimal digits.
            force: revoke the active key as well, once another was made active.

        Raises:
            KeyringError: there is no such key, or it is the active one and ``force`` is not given.
        """
        with self._changing() as entries:
            found = _find(entries, key_id)
            if found is None:
                known = ", ".join(entry.id for entry in entries[:20]) or "none"
                raise KeyringError(f"no key {key_id[:40]!r} in {self.folder}; there are: {known}")
            if found.status is Status.ACTIVE:
                if not force:
                    raise KeyringError(
                        f"{key_id} is the key that signs; let another sign first (rinr keys rotate) and tell the "
                        "devices of it, or do both at once with --force"
                    )
                self._rotate(entries)
            _change(entries, key_id, Status.REVOKED)

    def public_key(self, key_id: str) -> PublicKey:
        """The key of an id, if what it signs is trusted.

        Raises:
            ShardError: ``UNKNOWN_KEY`` or ``REVOKED_KEY``.
            KeyringError: the keyring cannot be read.
        """
        found = _find(self.entries(), key_id)
        if found is None:
            raise ShardError(
                Fault.UNKNOWN_KEY,
                f"signed by the key {key_id}, which {self.folder} does not know; if it is the fog's, run: "
                f"rinr keys trust KEY --keys {self.folder}",
            )
        if found.status is Status.REVOKED:
            raise ShardError(Fault.REVOKED_KEY, f"signed by the key {key_id}, which was revoked; have it sent again")
        return found.key

    def _make(self, entries: list[Entry], label: str) -> Entry:
        key = SigningKey.new()
        has_active = any(entry.status is Status.ACTIVE for entry in entries)
        entry = Entry(
            key.public, Status.STANDBY if has_active else Status.ACTIVE, _checked_label(label), datetime.now(UTC)
        )
        # Before the keyring names it: a kill leaves a file that nothing refers to rather than a key without its half.
        self._write(f"{entry.id}.pem", key.pem().encode())
        entries.append(entry)
        return entry

    def _rotate(self, entries: list[Entry]) -> PublicKey:
        standby = [entry for entry in entries if entry.status is Status.STANDBY]
        active = [entry for entry in entries if entry.status is Status.ACTIVE]
        chosen = standby[-1] if standby else self._make(entries, active[0].label if active else "")
        self._private(chosen.id)  # a key that cannot sign must not become the one that has to
        for entry in active:
            _change(entries, entry.id, Status.RETIRED)
        _change(entries, chosen.id, Status.ACTIVE)
        return chosen.key

    def _private(self, key_id: str) -> SigningKey:
        file = self.folder / f"{key_id}.pem"
        try:
            with file.open("rb") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                text = opened.read(_MAX_PEM_BYTES)
        except OSError as error:
            raise KeyringError(f"the private key {file} cannot be read: {error.strerror}") from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyringError(
                f"the private key {file} may be read by others; if nobody did, run: chmod 600 {file}; if somebody may "
                f"have, run: rinr keys revoke {key_id} --force --keys {self.folder}"
            )
        try:
            key = SigningKey.from_pem(text.decode(errors="replace"))
        except KeyringError as error:
            raise KeyringError(f"{file}: {error}") from None
        if key.public.id != key_id:
            raise KeyringError(f"{file} is the private half of {key.public.id}; expected that of {key_id}")
        return key

    @contextmanager
    def _changing(self) -> Iterator[list[Entry]]:
        """Entries to change, written when the block ends well; one process at a time."""
        try:
            if not self.folder.exists():
                self.folder.mkdir(parents=True, exist_ok=True)
                self.folder.chmod(0o700)
            with (self.folder / ".lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = self.entries()
                entries = list(before)
                yield entries
                if len(entries) > MAX_KEYS:
                    raise KeyringError(f"{self.folder} would hold {len(entries):,} keys; at most {MAX_KEYS:,} fit")
                if entries != before:
                    self._write(_FILE, _written(entries))
                for entry in entries:
                    if entry.status is Status.REVOKED:
                        (self.folder / f"{entry.id}.pem").unlink(missing_ok=True)
        except OSError as error:
            raise KeyringError(
                f"{self.folder} cannot be written: {error.strerror or error}; check --keys and who owns it"
            ) from None

    def _write(self, name: str, data: bytes) -> None:
        part = self.folder / f".{name}.part"
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.folder / name)


def _find(entries: Sequence[Entry], key_id: str) -> Entry | None:
    return next((entry for entry in entries if entry.id == key_id), None)


def _change(entries: list[Entry], key_id: str, status: Status) -> None:
    entries[:] = [replace(entry, status=status) if entry.id == key_id else entry for entry in entries]


def _checked_label(label: str) -> str:
    if len(label) > MAX_LABEL or not label.isprintable():
        raise KeyringError(f"the label {label[:40]!r} is none: expected at most {MAX_LABEL} printable characters")
    return label


def _written(entries: Sequence[Entry]) -> bytes:
    keys = [
        {
            "id": entry.id,
            "key": entry.key.text,
            "status": entry.status.value,
            "label": entry.label,
            "added_at": entry.added_at.isoformat(),
        }
        for entry in entries
    ]
    return json.dumps({"version": _VERSION, "keys": keys}, indent=1).encode() + b"\n"


def _parsed(data: bytes, file: Path) -> list[Entry]:
    try:
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError(f"more than {_MAX_FILE_BYTES:,} bytes")
        document = json.loads(data.decode())
        version = document["version"]
        if version != _VERSION:
            raise ValueError(f"version {str(version)[:20]!r}, this reads {_VERSION}")
        entries = [_entry(item) for item in document["keys"]]
        if len({entry.id for entry in entries}) != len(entries):
            raise ValueError("a key stands twice")
        if sum(entry.status is Status.ACTIVE for entry in entries) > 1:
            raise ValueError("two keys are active")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, KeyringError) as error:
        raise KeyringError(f"{file} is no keyring: {str(error)[:200]}; restore it from a copy") from None
    return entries


def _entry(item: dict[str, Any]) -> Entry:
    key = PublicKey.from_text(item["key"])
    if item["id"] != key.id or not KEY_ID.fullmatch(key.id):
        raise ValueError(f"the key {key.id} has another id")
    added_at = datetime.fromisoformat(item["added_at"])
    if added_at.tzinfo is None:
        raise ValueError(f"added_at of {key.id} has no time zone")
    return Entry(key, Status(item["status"]), _checked_label(item["label"]), added_at.astimezone(UTC))
