"""Which shared parts a camera's new frames may extend: those of its clips that are nearest in time."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence

import pyarrow.compute as pc

from rinr.codec.encoded import EncodedImage
from storage.clip_runs import of_devices, seconds
from storage.store import Store
from storage.tables import IMAGES, SOURCES, Pending

Known = dict[str, tuple[bytes, ...]]
"""Shared parts by device, the likeliest last."""


class KnownParts:
    """The clips of a store's frames of one encoding, by camera and time: read once, then kept up to date.

    Args:
        store: which has the parts.
        encoding_id: of the frames.

    Raises:
        StoreError: the store cannot be read.
    """

    def __init__(self, store: Store, encoding_id: str) -> None:
        self._store = store
        self._out: dict[str, Pending] = {}
        self._times: dict[str, list[tuple[float, str]]] = {}
        of_clips = (pc.field("encoding_id") == encoding_id) & pc.field("part_id").is_valid()
        images = store.scan(IMAGES, ["image_id", "part_id"], of_clips)
        if not images.num_rows:
            return
        sources = store.scan(SOURCES, ["image_id", "device", "captured_at"])
        taken = sources.join(images, "image_id", join_type="inner")
        rows = zip(*(taken[name].to_pylist() for name in ("device", "captured_at", "part_id")), strict=True)
        once: dict[str, str] = {}  # a part's name stands in the row of each of its frames
        for device, captured_at, part in rows:
            self._times.setdefault(device, []).append((captured_at.timestamp(), once.setdefault(part, part)))
        for times in self._times.values():
            times.sort()

    def near(self, batch: Sequence[Pending]) -> Known:
        """For each camera of a batch the parts of its frames just before and just after, the nearer one last.

        Raises:
            StoreError: the store cannot be read.
        """
        self._out |= {pending.image_id: pending for pending in batch}
        names = {device: self._near(device, images) for device, images in of_devices(batch).items()}
        payloads = self._store.parts({name for found in names.values() for name in found})
        known = {device: tuple(payloads[name] for name in found if name in payloads) for device, found in names.items()}
        return {device: parts for device, parts in known.items() if parts}

    def committed(self, images: Iterable[EncodedImage]) -> None:
        """These images stand in the store now."""
        for image in images:
            pending = self._out.pop(image.image_id, None)
            time = seconds(pending) if pending else None
            if pending and time is not None and image.part_id:
                insort(self._times.setdefault(pending.device, []), (time, image.part_id))

    def _near(self, device: str, images: Sequence[Pending]) -> list[str]:
        times, taken = self._times.get(device, []), [time for one in images if (time := seconds(one)) is not None]
        if not times or not taken:
            return []
        before = bisect_right(times, min(taken), key=lambda each: each[0]) - 1
        after = bisect_left(times, max(taken), key=lambda each: each[0])
        near = [(min(taken) - times[before][0], times[before][1])] if before >= 0 else []
        near += [(times[after][0] - max(taken), times[after][1])] if after < len(times) else []
        return list(dict.fromkeys(part for _, part in sorted(near, key=lambda each: -each[0])))
