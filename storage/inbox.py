"""A device's inbox: shards of encoded frames, each with a manifest that says what it is.

A *shard* is one Parquet file with the columns of :data:`rinr.shard.SHARD`. Its *manifest*, a JSON file
beside it, is written last: a shard without one is not there, and a shard is only what its manifest says.
Neither is trusted by who reads it: sizes, counts and names are bounded, and the bytes must have the hash
that the manifest names.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rinr.codec.bytestream import PayloadError
from rinr.shard import SHARD, ShardRow, from_table, to_table
from storage.credentials import Secrets, environment
from storage.folder import Folder
from storage.places.device_paths import safe_spelling
from storage.tables import now

VERSION = 1
MAX_ROWS = 50_000
MAX_SHARD_BYTES = 1024 * 1024 * 1024
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

_ROW_GROUP = 512
_SHARD = re.compile(r"shard-[0-9a-f]{32}")
_DEVICE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HASH = re.compile(r"[0-9a-f]{64}")
_ENCODING = re.compile(r"[A-Za-z0-9._-]{1,100}")

Key = tuple[str, str, str]
"""``(image_id, labels_id, encoding_id)``."""


class InboxError(RuntimeError):
    """An inbox that cannot be read or written; the message names its URL and says what to do."""


class ShardError(ValueError):
    """A shard or manifest that is refused; the message names the file and what was expected."""


@dataclass(frozen=True)
class Manifest:
    """What a shard is.

    Attributes:
        device: the one it is addressed to.
        shard: its name; the files are ``<shard>.parquet`` and ``<shard>.json``.
        sha256: of the shard file.
        bytes: of the shard file.
        payload_bytes: sum of the frames' payloads, as each would travel by itself.
        keys: of the rows, in their order.
        sequence: counts the shards of an inbox, from 1.
        created_at: when it was put there.
    """

    device: str
    shard: str
    sha256: str
    bytes: int
    payload_bytes: int
    keys: tuple[Key, ...]
    sequence: int
    created_at: datetime

    @property
    def rows(self) -> int:
        """Images in the shard."""
        return len(self.keys)


class Inbox:
    """The inbox at an fsspec URL or a plain folder.

    Args:
        url: where it is.
        options: for its file system, with references to secrets.
        secrets: gives the secrets.

    Example::

        inbox = Inbox("/srv/inboxes/bridge-cam")
        for manifest in inbox.manifests():
            rows = inbox.read(manifest, device="bridge-cam")
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, secrets: Secrets = environment) -> None:
        self.url = url
        self._folder = Folder(url, options or {}, secrets)

    def put(self, rows: Sequence[ShardRow], device: str) -> Manifest:
        """Put rows there as one shard; of rows that are there already as a shard, its manifest is given back.

        The name is derived from the rows' keys, so that a put that was cut off is finished by the next one.

        Args:
            rows: at most ``MAX_ROWS``, of distinct keys.
            device: the name of the device they are for.

        Raises:
            InboxError: the inbox cannot be written.
            ShardError: the inbox holds a manifest that cannot be read.
            ValueError: no rows, or too many.
        """
        if not 0 < len(rows) <= MAX_ROWS:
            raise ValueError(f"a shard of {len(rows):,} rows: must have 1 to {MAX_ROWS:,}")
        manifests = self.manifests()
        keys = tuple((row.image_id, row.labels_id, row.encoding_id) for row in rows)
        shard = shard_name(keys)
        for present in manifests:
            if present.shard == shard:
                return present
        data = _parquet(rows)
        manifest = Manifest(
            device=device,
            shard=shard,
            sha256=hashlib.sha256(data).hexdigest(),
            bytes=len(data),
            payload_bytes=sum(row.frame.bytes_total for row in rows),
            keys=keys,
            sequence=1 + max((present.sequence for present in manifests), default=0),
            created_at=now(),
        )
        spelled = write_manifest(manifest)
        if parse_manifest(spelled, f"{shard}.json") != manifest:
            raise ValueError(f"the manifest of {shard} does not read back as it was written")
        with self._errors("written"):
            self._folder.write(f"{shard}.parquet", data)
            self._folder.write(f"{shard}.json", spelled)
        return manifest

    def manifests(self) -> list[Manifest]:
        """All manifests, in the order in which their shards were put; none where there is no inbox yet.

        Raises:
            InboxError: the inbox cannot be read.
            ShardError: a manifest is malformed.
        """
        manifests = [self.manifest(shard) for shard in self.shards()]
        return sorted(manifests, key=lambda manifest: (manifest.sequence, manifest.shard))

    def shards(self) -> list[str]:
        """Names of the shards that have a manifest, sorted; files of other names are passed over."""
        with self._errors("read"):
            names = self._folder.names()
        stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
        return [stem for stem in stems if _SHARD.fullmatch(stem)]

    def manifest(self, shard: str) -> Manifest:
        """The manifest of one shard.

        Raises:
            InboxError: the inbox cannot be read.
            ShardError: there is no such shard, or its manifest is malformed.
        """
        name = f"{_checked(shard)}.json"
        data = self._bytes(name, MAX_MANIFEST_BYTES)
        return parse_manifest(data, name)

    def read(self, manifest: Manifest, *, device: str | None = None) -> list[ShardRow]:
        """The rows of a shard, after its bytes, its hash, its rows and each of its frames were checked.

        Args:
            manifest: from :meth:`manifests`.
            device: where given, the shard must be addressed to this device.

        Raises:
            InboxError: the inbox cannot be read.
            ShardError: the shard is not what its manifest says, or is addressed to another device.
        """
        name = f"{_checked(manifest.shard)}.parquet"
        if device is not None and manifest.device != device:
            raise ShardError(f"{name} is addressed to {manifest.device}, not to {device}; remove it from this inbox")
        data = self._bytes(name, manifest.bytes)
        if len(data) != manifest.bytes:
            than = "more" if len(data) > manifest.bytes else f"{len(data):,}"
            raise ShardError(f"{name} has {than} bytes, its manifest says {manifest.bytes:,}; have it sent again")
        found = hashlib.sha256(data).hexdigest()
        if found != manifest.sha256:
            raise ShardError(f"{name} has the SHA-256 {found}, its manifest says {manifest.sha256}; have it sent again")
        return _rows(data, name, manifest)

    def _bytes(self, name: str, limit: int) -> bytes:
        with self._errors("read"):
            try:
                data = self._folder.read(name, limit)
            except FileNotFoundError:
                raise ShardError(f"{name} is not in the inbox {self.url}; have it sent again") from None
        return data

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except ShardError:
            raise
        except Exception as error:  # clients of remote stores raise what they like: aiohttp's, botocore's, asyncssh's
            told = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
            reason = safe_spelling(told)  # a server may say anything
            raise InboxError(
                f"the inbox {self.url} cannot be {done}: {reason}; check `inbox` of the device in the fleet file"
            ) from error


def shard_name(keys: Sequence[Key]) -> str:
    """The name of a shard of these rows: equal rows, in whatever order, make equal names."""
    text = "\n".join(" ".join(key) for key in sorted(keys))
    return f"shard-{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def write_manifest(manifest: Manifest) -> bytes:
    """A manifest as JSON. The inverse of :func:`parse_manifest`."""
    document = {
        "version": VERSION,
        "device": manifest.device,
        "shard": manifest.shard,
        "sha256": manifest.sha256,
        "bytes": manifest.bytes,
        "payload_bytes": manifest.payload_bytes,
        "rows": manifest.rows,
        "sequence": manifest.sequence,
        "created_at": manifest.created_at.isoformat(),
        "keys": [list(key) for key in manifest.keys],
    }
    return json.dumps(document, indent=1).encode()


def parse_manifest(data: bytes, name: str) -> Manifest:
    """Read a manifest with bounds.

    Args:
        data: the JSON file's bytes.
        name: of the file, for messages; it must be the shard's.

    Raises:
        ShardError: malformed, of another version, or over a limit; the message names the field.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ShardError(f"{name} has more than {MAX_MANIFEST_BYTES:,} bytes, which no manifest has")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{name} is not JSON: {str(error)[:100]}") from None
    if not isinstance(document, dict):
        raise ShardError(f"{name} is not a JSON object")
    version = document.get("version")
    if version != VERSION:
        raise ShardError(f"{name}: version is {str(version)[:20]!r}, this reads {VERSION}")
    keys = document.get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_ROWS:
        raise ShardError(f"{name}: keys is no list of at most {MAX_ROWS:,}")
    manifest = Manifest(
        device=_text(document, "device", _DEVICE, name),
        shard=_text(document, "shard", _SHARD, name),
        sha256=_text(document, "sha256", _HASH, name),
        bytes=_number(document, "bytes", MAX_SHARD_BYTES, name),
        payload_bytes=_number(document, "payload_bytes", 2**53, name),
        keys=tuple(_key(key, f"{name}: keys[{index}]") for index, key in enumerate(keys)),
        sequence=_number(document, "sequence", 2**53, name),
        created_at=_date(document, name),
    )
    if len(set(manifest.keys)) != len(manifest.keys):
        raise ShardError(f"{name}: a key stands twice")
    rows = _number(document, "rows", MAX_ROWS, name)
    if rows != len(keys):
        raise ShardError(f"{name}: rows is {rows}, but there are {len(keys)} keys")
    if f"{manifest.shard}.json" != name:
        raise ShardError(f"{name}: shard is {manifest.shard!r}, expected the file's own name")
    return manifest


def _parquet(rows: Sequence[ShardRow]) -> bytes:
    sink = io.BytesIO()
    # Statistics and dictionaries would only cost bytes beside compressed weights, and a shard is read as a
    # whole.
    pq.write_table(
        to_table(rows),
        sink,
        row_group_size=_ROW_GROUP,
        compression="zstd",
        compression_level=1,
        use_dictionary=["labels_id", "encoding_id"],
        write_statistics=False,
        store_schema=False,
    )
    return sink.getvalue()


def _rows(data: bytes, name: str, manifest: Manifest) -> list[ShardRow]:
    try:
        file = pq.ParquetFile(io.BytesIO(data))
        metadata = file.metadata
        if metadata.num_rows != manifest.rows:
            raise ShardError(f"{name} has {metadata.num_rows:,} rows, its manifest says {manifest.rows:,}")
        unpacked = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
        if unpacked > MAX_SHARD_BYTES:
            raise ShardError(f"{name} unpacks to {unpacked:,} bytes; at most {MAX_SHARD_BYTES:,} are taken")
        if file.schema_arrow.names != SHARD.names:
            raise ShardError(f"{name} has the columns {', '.join(file.schema_arrow.names)[:200]}, not those of a shard")
        table = file.read(use_threads=False).cast(SHARD)
    except (pa.ArrowException, OSError) as error:
        raise ShardError(f"{name} is not a Parquet file of a shard: {str(error)[:200]}") from None
    if any(column.null_count for column in table.columns):
        raise ShardError(f"{name} has an empty field; every field of a shard must be set")
    try:
        rows = from_table(table)
    except PayloadError as error:
        raise ShardError(f"{name}: malformed: {error}") from None
    for row, key in zip(rows, manifest.keys, strict=True):
        if (row.image_id, row.labels_id, row.encoding_id) != key:
            raise ShardError(f"{name}: the row of image {key[0]} is not where its manifest says")
    return rows


def _checked(shard: str) -> str:
    if not _SHARD.fullmatch(shard):
        raise ShardError(f"{shard[:80]!r} is no name of a shard")
    return shard


def _text(document: dict[str, Any], field: str, form: re.Pattern[str], name: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ShardError(f"{name}: {field} is {str(value)[:80]!r}, expected {form.pattern}")
    return value


def _number(document: dict[str, Any], field: str, high: int, name: str) -> int:
    value = document.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise ShardError(f"{name}: {field} is {str(value)[:40]!r}, expected a number from 1 to {high:,}")
    return value


def _date(document: dict[str, Any], name: str) -> datetime:
    value = document.get("created_at")
    try:
        date = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        date = None
    if date is None or date.tzinfo is None:
        raise ShardError(f"{name}: created_at is {str(value)[:40]!r}, expected a date with its time zone")
    return date.astimezone(UTC)


def _key(value: Any, where: str) -> Key:
    forms = (_HASH, _HASH, _ENCODING)
    if (
        not isinstance(value, list)
        or len(value) != len(forms)
        or not all(isinstance(part, str) and form.fullmatch(part) for part, form in zip(value, forms, strict=True))
    ):
        raise ShardError(f"{where} is {str(value)[:80]!r}, expected [image_id, labels_id, encoding_id]")
    return value[0], value[1], value[2]
