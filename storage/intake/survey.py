"""A survey of a device: its storage as listed, beside what the store knows of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from storage.devices import DeviceFile, DeviceStorage, Listing
from storage.fleet import Device
from storage.intake.device_labels import CocoLabels, PictureLabels, labels_of
from storage.intake.known_files import NONE, Flags, KnownFiles, Rows, load_known
from storage.quarantine import Refused
from storage.store import Store


@dataclass(frozen=True)
class Survey:
    """What a run of ingestion finds before it does anything.

    Attributes:
        storage: of the device.
        listing: what lies there.
        labels: of which nothing is read yet.
        known: what the store knows of the device's files.
        refused: what the quarantine says of them.
        rows: of the listed pictures in ``known``: ``[files]``.
        same: which of them are as they were taken: ``[files]``.
        fresh: the pictures to take, the oldest first: neither taken nor refused as they are now.
    """

    storage: DeviceStorage
    listing: Listing
    labels: CocoLabels | PictureLabels
    known: KnownFiles
    refused: Refused
    rows: Rows
    same: Flags
    fresh: tuple[DeviceFile, ...]

    @property
    def device(self) -> Device:
        """Whose storage it is."""
        return self.storage.device

    @property
    def files(self) -> Iterator[DeviceFile]:
        """All that is listed."""
        yield from self.listing.pictures
        yield from self.listing.others.values()

    @property
    def rows_as_taken(self) -> Rows:
        """Known rows whose file is as it was taken, or is gone; a file that has changed is looked at anew."""
        there = np.ones(len(self.known), dtype=bool)
        there[self.rows[~self.same & (self.rows != NONE)]] = False
        return np.flatnonzero(there)


def survey(storage: DeviceStorage, listing: Listing, store: Store) -> Survey:
    """Compare a device's listing with the store.

    Raises:
        StoreError: the store cannot be read.
    """
    refused = Refused(store, storage.device.name)
    known = load_known(store, storage.device.name)
    rows = known.rows_of([file.path for file in listing.pictures])
    same = known.unchanged(listing.pictures, rows)
    others = (listing.pictures[place] for place in np.flatnonzero(~same).tolist())
    fresh = tuple(file for file in others if not refused.holds(file))
    return Survey(storage, listing, labels_of(storage, listing), known, refused, rows, same, fresh)
