"""Stores whose rows agree with each other, and ways to damage them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from rinr.boxes import Annotation
from rinr.codec.encoded import EncodedImage
from rinr.labels import canonical_labels, labels_id
from storage.store import Store
from storage.tables import Delivery, Refusal, Source, image_row, now
from tests.storage.examples import ENCODING, digest, encoded_image, source

BOXES = (Annotation(1.0, 2.0, 3.0, 4.0, "boat"),)


def sound_image(number: int, **changes: Any) -> EncodedImage:
    return encoded_image(number, **({"labels_id": labels_id(BOXES)} | changes))


def sound_row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of ``images``, with columns as one likes."""
    return image_row(sound_image(number), now()) | changes


def sound_source(number: int, **changes: Any) -> Source:
    own = {"image_id": digest(f"image {number}"), "path": f"{number:04}.jpg", "size": 1000 + number}
    labels = {"labels": canonical_labels(BOXES).decode(), "labels_id": labels_id(BOXES)}
    return source(number % 60, **(own | labels | changes))


def key(number: int) -> tuple[str, str, str]:
    return digest(f"image {number}"), labels_id(BOXES), ENCODING


def delivery(sequence: int, numbers: Iterable[int], **changes: Any) -> Delivery:
    """A planned shard of some images."""
    images, labels, _ = zip(*map(key, numbers), strict=True)
    values = {"encoding_id": ENCODING, "sha256": digest(f"shard {sequence}"), "bytes": 5000, "payload_bytes": 4000}
    lists = {"rows": len(images), "image_ids": images, "labels_ids": labels}
    return Delivery("cam-b", 1, sequence, "planned", **(values | lists | changes))


def fill(store: Store, batches: int = 3, size: int = 4) -> None:
    """Batches of images, one file each; a source of each, one refusal, and a delivery of the first two images."""
    store.create()
    numbers = range(batches * size)
    store.append([sound_source(number) for number in numbers])
    for start in range(0, len(numbers), size):
        store.append([sound_image(number) for number in numbers[start : start + size]])
    store.append([Refusal("cam-a", "broken.jpg", 10, None, "broken.jpg: it is no JPEG; replace it")])
    store.append([delivery(1, range(2))])


def files(store: Store, table: str = "images") -> list[Path]:
    """The files of a table's snapshot, oldest first."""
    uris = DeltaTable(store.table_url(table)).file_uris()
    found = [Path(unquote(urlparse(uri).path)) for uri in uris]
    return sorted(found, key=lambda path: path.stat().st_mtime_ns if path.exists() else 0)


def append_raw(store: Store, table: str, rows: list[dict[str, Any]]) -> None:
    """Rows written past the store, whatever they say."""
    opened = DeltaTable(store.table_url(table))
    schema = pa.schema(opened.schema().to_arrow())
    write_deltalake(opened, pa.Table.from_pylist(rows, schema=schema), mode="append")


def read_raw(store: Store, table: str, where: pc.Expression | None = None) -> list[dict[str, Any]]:
    """Rows of a snapshot, read without the store: with a filter, as anybody's pyarrow has it."""
    opened = DeltaTable(store.table_url(table)).to_pyarrow_dataset()
    return opened.to_table(filter=where, use_threads=False).to_pylist()


def image_file(store: Store, number: int) -> Path:
    """The file that holds an image."""
    import pyarrow.parquet as pq

    wanted = digest(f"image {number}")
    return next(path for path in files(store) if wanted in pq.read_table(path)["image_id"].to_pylist())
