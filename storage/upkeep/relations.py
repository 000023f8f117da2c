"""Relations between tables: rows that speak of rows which are not there, and those of them that are awaited.

An image speaks of its source and of the part that it shares with others, a delivery of its images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from storage.folder import Folder
from storage.upkeep.row_prints import RowPrints, as_prints

DAMAGED = "damaged"
"""The folder of a store in which a repair keeps what it takes out of the tables."""

AWAITED = "awaited.bin"
"""The file in it that holds fingerprint after fingerprint of what waits for an ingestion or an encoding."""

_MAX_AWAITED = 256 * 1024 * 1024  # bytes: sixteen million relations


@dataclass(frozen=True)
class Loose:
    """A row that speaks of what is not there.

    Attributes:
        row: its number in its table.
        prints: fingerprints of what is not there.
        what: the same in words.
    """

    row: int
    prints: tuple[bytes, ...]
    what: str


def loose_images(images: RowPrints, sources: RowPrints) -> Iterator[Loose]:
    """Images without a source."""
    what = "its image has no row in sources; the next ingestion of its device writes one"
    for row in np.flatnonzero(~np.isin(images.images, sources.images)).tolist():
        yield Loose(row, (images.image(row),), what)


def frames_without_part(images: RowPrints, parts: RowPrints) -> list[int]:
    """Numbers of the images' rows whose shared part is not there, or damaged: nobody can decode them."""
    rows, needed = images.needing
    return [int(row) for row in rows[~np.isin(needed, parts.sound)]]


def loose_deliveries(deliveries: RowPrints, images: RowPrints) -> Iterator[Loose]:
    """Deliveries of images that are not there."""
    absent = ~np.isin(as_prints(b"".join(keys for _, keys in deliveries.deliveries)), images.identities)
    start = 0
    for row, keys in deliveries.deliveries:
        count = len(keys) // 16
        here = np.flatnonzero(absent[start : start + count]).tolist()
        start += count
        if here:
            prints = tuple(keys[16 * place : 16 * place + 16] for place in here)
            yield Loose(row, prints, f"{len(here)} of its {count} images have no row in images")


def awaited_fingerprints(url: str) -> set[bytes]:
    """Relations that the last repair left open: fingerprints of images without a source and of delivered keys."""
    folder = Folder(f"{url}/{DAMAGED}")
    if not folder.exists(AWAITED):
        return set()
    data = folder.read(AWAITED, _MAX_AWAITED)
    return {data[start : start + 16] for start in range(0, len(data) - 15, 16)}
