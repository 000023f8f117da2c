"""Fingerprints of a table's rows: 16 bytes a row say which stand twice, and which rows others speak of.

Two rows have the same identity where they are equal in :func:`identity_columns`.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.tables import DELIVERIES, IMAGES, SOURCES, Layout

Prints = npt.NDArray[np.bytes_]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Place:
    """Where a row stands.

    Attributes:
        path: of its file, within the table's folder.
        group: number of its row group within the file, from 0.
        row: number within the row group, from 0.
    """

    path: str
    group: int
    row: int


class RowPrints:
    """Fingerprints of all rows of one table, which are numbered as they are added."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._identities = bytearray()
        self._images = bytearray()  # of images and sources: of each row its image
        self._starts: list[tuple[int, str, int]] = []  # number of the first row of each file and row group
        self.deliveries: list[tuple[int, bytes]] = []
        """Of deliveries: each row's number, and the fingerprints of the keys that it lists."""
        self._needing = bytearray()  # of images: the shared part of each row that needs one
        self._needing_rows: list[int] = []
        self._damaged: set[int] = set()

    def add(self, place: Place, values: Mapping[str, Any] | None) -> None:
        """Keep the fingerprints of the next row.

        Args:
            place: of the row; of a row group the rows come one after another.
            values: by column; without them the row cannot be read, and equals no other.
        """
        number = len(self._identities) // 16
        if not self._starts or self._starts[-1][1:] != (place.path, place.group):
            self._starts.append((number - place.row, place.path, place.group))
        unlike = fingerprint((place.path, place.group, place.row, "unreadable")) if values is None else None
        self._identities += unlike or identity(self._layout, values or {})
        if self._layout in (IMAGES, SOURCES):
            self._images += unlike or fingerprint([(values or {}).get("image_id")])
            if values is not None and self._layout is IMAGES and values.get("part_id") is not None:
                self._needing += fingerprint([values["part_id"]])
                self._needing_rows.append(number)
        elif self._layout is DELIVERIES and values is not None:
            self.deliveries.append((number, b"".join(map(fingerprint, delivered_keys(values)))))

    def mark_damaged(self) -> None:
        """Say of the row added last that nothing is to be expected of it."""
        self._damaged.add(len(self._identities) // 16 - 1)

    @property
    def sound(self) -> Prints:
        """Identities of the rows that are not damaged, ``[rows]``."""
        return np.delete(self.identities, sorted(self._damaged))

    @property
    def needing(self) -> tuple[npt.NDArray[np.int64], Prints]:
        """Of images: numbers of the rows that need a shared part, and the identities of those parts."""
        return np.array(self._needing_rows, np.int64), as_prints(self._needing)

    @property
    def identities(self) -> Prints:
        """Of all rows, ``[rows]``."""
        return as_prints(self._identities)

    @property
    def images(self) -> Prints:
        """Of all rows of images or sources: their images, ``[rows]``."""
        return as_prints(self._images)

    def image(self, number: int) -> bytes:
        """The whole fingerprint of a row's image."""
        return bytes(self._images[16 * number : 16 * number + 16])

    def repeated(self) -> npt.NDArray[np.int64]:
        """Numbers of the rows whose identity stands in a row before them."""
        _, first = np.unique(self.identities, return_index=True)
        again = np.ones(len(self._identities) // 16, bool)
        again[first] = False
        return np.flatnonzero(again)

    def place(self, number: int) -> Place:
        """Where the row of a number stands."""
        start, path, group = self._starts[bisect_right(self._starts, number, key=lambda item: item[0]) - 1]
        return Place(path, group, number - start)


def identity_columns(layout: Layout) -> tuple[str, ...]:
    """The columns in which no two rows of a table are equal.

    Where a row counts only while it is the newest of its subject, the same key may come back later.
    """
    return (*layout.key, layout.order) if layout.subject else layout.key


def identity(layout: Layout, row: Mapping[str, Any]) -> bytes:
    """The fingerprint of what no other row of a table may be equal in."""
    return fingerprint([row.get(name) for name in identity_columns(layout)])


def fingerprint(values: Sequence[Any]) -> bytes:
    """128 bits of a hash of values: equal for equal ones, and for no others that anybody will ever see.

    Texts are preceded by their lengths, so that ``("ab", "c")`` is not ``("a", "bc")``.
    """
    texts = [b"-" if value is None else str(value).encode("utf-8", "surrogatepass") for value in values]
    joined = b"".join(b"%d:%s" % (len(text), text) for text in texts)
    return hashlib.blake2b(joined, digest_size=16).digest()


def delivered_keys(row: Mapping[str, Any]) -> list[Key]:
    """The keys in ``images`` that a row of ``deliveries`` lists; none where its lists are unlike.

    Before version 3 each image came with its encoding; since, a shard has one.
    """
    images, labels = row.get("image_ids") or [], row.get("labels_ids") or []
    encodings = row.get("encoding_ids") or [row.get("encoding_id")] * len(images)
    if not len(images) == len(labels) == len(encodings):
        return []
    return list(zip(images, labels, encodings, strict=True))


def as_prints(prints: bytes | bytearray) -> Prints:
    """Fingerprints as an array. NumPy drops zeros at the end of each, which changes nothing between whole hashes."""
    return np.frombuffer(prints, "S16")
