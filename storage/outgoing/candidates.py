"""Candidates: what of the store may be sent to devices at all, read once for however many devices there are."""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.store import Store
from storage.tables import IMAGES, PARTS, SOURCES, among

ROW_BYTES = 80
"""What a row costs beside its payload, in the shard file and its manifest together."""

LEAST_OBJECTS = 0.25
"""What a picture without a wanted object counts for, in objects: less than any with one, and not nothing."""

Places = npt.NDArray[np.int64]
"""Numbers of candidates, from 0."""

_NOWHERE = (np.empty(0, np.int64), np.empty(0, np.int64))
_WORDS = 16  # of 8 bytes, in the two hashes of a key
_DIGITS = 64
_FACTORS = np.frombuffer(os.urandom(8 * _WORDS), np.uint64) | np.uint64(1)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The newest row of each image in one encoding, oldest capture first; equal times by image.

    Attributes:
        encoding_id: of all of them.
        image_ids: ``[rows]`` texts.
        labels_ids: likewise.
        sizes: bytes of their payloads, ``[rows]``.
        shares: of each in the bytes of what its clip shares, ``[rows]``; 0 of one that stands alone.
        part_of: number of the shared part that each needs, ``[rows]``; -1 of one that stands alone.
        part_ids: of the shared parts, ``[parts]`` texts.
        part_sizes: their bytes, ``[parts]``; 0 of one that the store has lost.
        captured: microseconds since 1970, the latest of its sources, ``[rows]``; 0 without a source.
        objects: labelled objects, ``[rows]``.
        by_device: of each device the candidates that it captured itself.
        by_label: of each label the candidates with objects of it, and how many each has.
    """

    encoding_id: str
    image_ids: pa.Array
    labels_ids: pa.Array
    sizes: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    part_of: npt.NDArray[np.int64]
    part_ids: pa.Array
    part_sizes: npt.NDArray[np.int64]
    captured: npt.NDArray[np.int64]
    objects: npt.NDArray[np.int64]
    by_device: Mapping[str, Places]
    by_label: Mapping[str, tuple[Places, npt.NDArray[np.int64]]]
    _prints: npt.NDArray[np.uint64] = field(repr=False)
    _order: Places = field(repr=False)
    _ranked: dict[tuple[str, ...], Places] = field(default_factory=dict, repr=False)
    _counted: dict[tuple[str, ...], npt.NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.sizes)

    def places(self, image_ids: pa.Array, labels_ids: pa.Array) -> Places:
        """Which candidates some keys are, in any order; keys that are no candidate are passed over."""
        wanted = _prints(image_ids, labels_ids)
        if not len(self) or not len(wanted):
            return np.empty(0, np.int64)
        found = np.minimum(np.searchsorted(self._prints, wanted), len(self) - 1)
        return self._order[found[self._prints[found] == wanted]]

    def numbered(self, part_ids: Collection[str]) -> npt.NDArray[np.bool_]:
        """Which of the candidates' shared parts are among some, ``[parts]``."""
        return np.array([part_id in part_ids for part_id in self.part_ids.to_pylist()], bool)

    def counts(self, labels: Collection[str]) -> npt.NDArray[np.int64]:
        """Objects of any of some labels, ``[rows]``; of all labels where none is given. Worked out once."""
        wanted = tuple(sorted(labels))
        if not wanted:
            return self.objects
        if wanted not in self._counted:
            counts = np.zeros(len(self), np.int64)
            for label in wanted:
                places, numbers = self.by_label.get(label, _NOWHERE)
                counts[places] += numbers
            self._counted[wanted] = counts
        return self._counted[wanted]

    def ranked(self, labels: Iterable[str]) -> Places:
        """All candidates, the most wanted objects per byte first; of equal value the newer first.

        Worked out once for the same labels, however many devices ask.
        """
        wanted = tuple(sorted(labels))
        if wanted not in self._ranked:
            value = np.maximum(self.counts(wanted), LEAST_OBJECTS) / (self.sizes + self.shares + ROW_BYTES)
            newest_first = np.arange(len(self) - 1, -1, -1)
            self._ranked[wanted] = newest_first[np.argsort(-value[newest_first], kind="stable")]
        return self._ranked[wanted]


def candidates(store: Store, encoding_id: str) -> Candidates:
    """Read what may be sent: a scan of images, of sources and of shared parts, whatever the number of devices.

    Raises:
        StoreError: the store cannot be read.
    """
    columns = ["image_id", "labels_id", "bytes_total", "bytes_shared", "part_id", "objects"]
    images = store.scan(IMAGES, columns, pc.field("encoding_id") == encoding_id).combine_chunks()
    sources = store.scan(SOURCES, ["image_id", "device", "captured_at"]).combine_chunks()
    number = pc.index_in(_flat(sources["image_id"]), _flat(images["image_id"]))
    known = pc.is_valid(number)
    of, sources = number.filter(known).to_numpy(zero_copy_only=False).astype(np.int64), sources.filter(known)
    captured = np.zeros(len(images), np.int64)
    np.maximum.at(captured, of, _flat(sources["captured_at"].cast(pa.int64())).to_numpy(zero_copy_only=False))
    by_image = pc.sort_indices(images["image_id"]).to_numpy()
    order = by_image[np.argsort(captured[by_image], kind="stable")].astype(np.int64)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))

    images = images.take(pa.array(order)).combine_chunks()
    image_ids, labels_ids = _flat(images["image_id"]), _flat(images["labels_id"])
    prints = _prints(image_ids, labels_ids)
    by_print = np.argsort(prints, kind="stable")
    objects = _flat(images["objects"])
    parts = _flat(images["part_id"]).dictionary_encode()
    return Candidates(
        encoding_id=encoding_id,
        image_ids=image_ids,
        labels_ids=labels_ids,
        sizes=_flat(images["bytes_total"]).to_numpy(zero_copy_only=False).astype(np.int64),
        shares=pc.fill_null(_flat(images["bytes_shared"]), 0.0).to_numpy(zero_copy_only=False),
        part_of=pc.fill_null(parts.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64),
        part_ids=parts.dictionary,
        part_sizes=_sizes_of(store, parts.dictionary),
        captured=captured[order],
        objects=pc.fill_null(pc.list_value_length(objects), 0).to_numpy(zero_copy_only=False).astype(np.int64),
        by_device={name: np.unique(place[rows]) for name, rows in _grouped(_flat(sources["device"]), of).items()},
        by_label=_by_label(objects),
        _prints=prints[by_print],
        _order=by_print.astype(np.int64),
    )


def microseconds(time: datetime) -> int:
    """Of a time, since 1970."""
    return int(time.timestamp() * 1_000_000)


def _sizes_of(store: Store, part_ids: pa.Array) -> npt.NDArray[np.int64]:
    """Bytes of shared parts, ``[parts]``; 0 of one that is not there."""
    if not len(part_ids):
        return np.empty(0, np.int64)
    found = store.scan(PARTS, ["part_id", "bytes"], among("part_id", part_ids.to_pylist()))
    sizes = dict(zip(found["part_id"].to_pylist(), found["bytes"].to_pylist(), strict=True))
    return np.array([sizes.get(part_id, 0) for part_id in part_ids.to_pylist()], np.int64)


def _by_label(objects: pa.Array) -> dict[str, tuple[Places, npt.NDArray[np.int64]]]:
    rows = pc.list_parent_indices(objects).to_numpy(zero_copy_only=False).astype(np.int64)
    labels = pc.struct_field(pc.list_flatten(objects), "label")
    found = {}
    for label, places in _grouped(labels, rows).items():
        found[label] = np.unique(places, return_counts=True)
    return found


def _grouped(names: pa.Array, values: Places) -> dict[str, Places]:
    """Values by the name beside each."""
    encoded = names.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    return {
        name: values[order[start:end]]
        for name, start, end in zip(encoded.dictionary.to_pylist(), starts[:-1], starts[1:], strict=True)
    }


def _flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _prints(image_ids: pa.Array, labels_ids: pa.Array) -> npt.NDArray[np.uint64]:
    """64 bits of each pair of hashes, ``[rows]``, with factors that nobody else knows: equal for equal ones alone."""
    images, labels = np.split(_FACTORS, 2)
    return _digits(image_ids) @ images + _digits(labels_ids) @ labels


def _digits(ids: pa.Array) -> npt.NDArray[np.uint64]:
    """The characters of hashes, eight to a number, ``[rows, 8]``; what is no hash is hashed first."""
    ids = _flat(ids)
    lengths = pc.fill_null(pc.binary_length(ids), 0)
    if len(ids) and (ids.null_count or pc.min_max(lengths).as_py() != {"min": _DIGITS, "max": _DIGITS}):
        texts = (text if text and len(text) == _DIGITS else _hashed(text) for text in ids.to_pylist())
        ids = pa.array(texts, pa.string())
    if not len(ids):
        return np.empty((0, _WORDS // 2), np.uint64)
    start = int(np.frombuffer(ids.buffers()[1], np.int32, 1, 4 * ids.offset)[0])
    return np.frombuffer(ids.buffers()[2], np.uint64, len(ids) * _WORDS // 2, start).reshape(len(ids), _WORDS // 2)


def _hashed(text: str | None) -> str:
    return hashlib.sha256(repr(text).encode("utf-8", "surrogatepass")).hexdigest()
