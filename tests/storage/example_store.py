"""A store with everything that makes queries go wrong, and what ten queries of it have to answer, in plain Python.

Corrected labels, encoded again or still waiting, or changed back; a picture on two devices, once labelled and once
not; a file that was overwritten; a picture under two names; two encodings; images without boxes; odd names. The
answers are worked out from the values that were written, not from the tables.
"""

import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from rinr.boxes import Box
from rinr.codec.encoded import EncodedImage
from rinr.codec.frame import EncodedFrame, unpack_frame
from storage.store import Store
from storage.tables import Delivery, Source
from tests.storage.examples import ENCODING, digest, encoded_image, source

GOLDEN = Path(__file__).parents[1] / "golden" / "version2-objects.rinr"

OTHER, THIRD = "webp-test-2", "siren-test-3"
CAM_A, CAM_B, CAM_C = "cam-a", "cam b's é", "cam-c"
QUOTED, UNICODE = 'O\'Hara "x"', "лодка \N{SPEEDBOAT}"
EXPORTED = 21

_START = datetime(2026, 5, 1, 12, tzinfo=UTC)
_WRITTEN = datetime(2026, 6, 1, tzinfo=UTC)

Lines = list[list[Any]]


@dataclass
class Written:
    """What was appended, in its order.

    Attributes:
        images: with the time of each.
        yesterday: a time between two commits to ``images``.
        before: how many of ``images`` were there by then.
    """

    url: str
    images: list[tuple[EncodedImage, datetime]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    yesterday: datetime = _START
    before: int = 0

    def values(self) -> dict[str, Any]:
        """What the queries are asked with."""
        return {
            "store": self.url,
            "device": CAM_A,
            "begin": _captured(1),  # exactly that of a frame, which is in
            "end": _captured(5),  # exactly that of a frame, which is out
            "label": QUOTED,
            "count": 5,
            "encoding": ENCODING,
            "other": OTHER,
            "image": digest(f"image {EXPORTED}"),
            "yesterday": self.yesterday,
        }


def write_store(url: str) -> Written:
    """Write the store at a URL with the project's code, in several commits, with a compaction between them."""
    store, world = Store(url), Written(url)
    store.create()

    def add(*images: EncodedImage) -> None:
        written = _WRITTEN + timedelta(seconds=len(world.images))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("storage.store.now", lambda: written)
            assert store.append(images) == len(images)
        world.images += [(image, written) for image in images]

    step = count()

    def took(*sources: Source) -> None:
        rows = [replace(row, ingested_at=_WRITTEN + timedelta(minutes=next(step))) for row in sources]
        assert store.append(rows) == len(rows)
        world.sources += rows

    def sent(device: str, generation: int, sequence: int, *images: EncodedImage) -> None:
        lists = {"image_ids": [image.image_id for image in images], "labels_ids": [image.labels_id for image in images]}
        sizes = {
            "encoding_id": images[0].encoding_id,
            "sha256": digest(str(images)),
            "bytes": 999,
            "payload_bytes": 900,
        }
        delivery = Delivery(
            device,
            generation,
            sequence,
            "planned",
            rows=len(images),
            **sizes,
            **{k: tuple(v) for k, v in lists.items()},
        )
        assert store.append([delivery, replace(delivery, status="sent", image_ids=(), labels_ids=())]) == 2
        world.deliveries.append(delivery)

    # Every third on the second device; some hours apart, so that they fall on several days.
    took(*[_source(n, device=CAM_B if n % 3 == 0 else CAM_A) for n in range(18)])
    add(*[_image(n) for n in range(6)])
    add(*[_image(n) for n in range(6, 12)])
    add(*[_webp(n) for n in range(4, 10)])
    add(*[replace(_image(n), encoding_id=THIRD) for n in (2, 3)])
    # On both devices, the second time without labels: seen and encoded later, and yet the first counts.
    bare = digest("no labels")
    took(_source(5, device=CAM_B, path="bare.jpg", labels="[]", labels_id=bare))
    add(_of_boxes(5, [], labels_id=bare, object_db=None))
    DeltaTable(store.table_url("images")).optimize.compact()

    time.sleep(0.02)
    world.yesterday, world.before = datetime.now(UTC), len(world.images)
    time.sleep(0.02)

    # Of 12 the other encoding was sent, and this one to another device.
    # The first device lost what it had by then, and was reset.
    sent(CAM_A, 1, 1, _image(0), _image(15))
    assert store.append([Delivery(CAM_A, 2, 0, "reset")]) == 1
    sent(CAM_A, 2, 1, _image(0), _image(3), _image(6))
    sent(CAM_A, 2, 2, _image(9))
    sent(CAM_A, 2, 3, _webp(12))
    sent(CAM_C, 1, 1, _image(12), _image(15))
    # Corrected and encoded again, 9 after it was delivered.
    took(_corrected_source(9, device=CAM_B), _corrected_source(1), _corrected_source(4))
    add(_corrected(9), _corrected(1))  # 4 waits
    # Corrected and changed back: the row written first counts.
    took(_corrected_source(7))
    add(_corrected(7))
    took(_source(7))
    took(_source(2, device=CAM_B, path="same.jpg"))
    add(*[_image(n) for n in range(12, 18)])
    # Another picture under the name of 10, which lies nowhere any more; its last labels count.
    took(_corrected_source(10))
    add(_corrected(10))
    took(_source(18, path=_path(10)))
    # One picture under two names, of two days; one that waits; one that can really be decoded.
    took(_source(13, path="second name.jpg", captured_at=_START + timedelta(hours=1)), _source(19), _source(EXPORTED))
    decodable = unpack_frame(GOLDEN.read_bytes())
    add(_image(18, background_db=None), _image(EXPORTED, frame=decodable, object_db=40.0))

    # Delta Lake's own delete, mended as the page says: the file that it writes has other types.
    unwanted = encoded_image(99)
    assert store.append([unwanted, encoded_image(98, image_id=unwanted.image_id)]) == 2
    images = DeltaTable(store.table_url("images"))
    images.delete(f"image_id = '{unwanted.image_id}'")
    images.optimize.z_order(["image_id"])
    DeltaTable(store.table_url("sources")).optimize.compact()
    add(_image(22))
    took(_source(22))
    return world


@dataclass(frozen=True)
class Answers:
    """The answers to the ten queries, in the order of the page."""

    world: Written

    def of(self, number: int) -> Lines:
        """The lines that query ``number`` prints, as JSON values."""
        return getattr(self, f"_{number}")()

    def worst(self) -> Lines:
        """All that query 2 can print."""
        rows = [
            [image, row.object_db, row.frame.bytes_total]
            for image, row in self._encoded().items()
            if row.object_db is not None
        ]
        return sorted(rows, key=lambda line: (line[1], line[0]))

    def keys(self) -> set[tuple[str, str, str]]:
        """``(image_id, labels_id, encoding_id)`` of the rows that count."""
        return {(row.image_id, row.labels_id, row.encoding_id) for row, _ in self._current().values()}

    def _files(self) -> dict[tuple[str, str], Source]:
        return {(row.device, row.path): row for row in self.world.sources}  # the last of a path stays

    def _current(self) -> dict[tuple[str, str], tuple[EncodedImage, datetime]]:
        labels: dict[str, Source] = {}
        for row in sorted(self._files().values(), key=lambda row: (row.labels != "[]", row.ingested_at)):
            labels[row.image_id] = row
        current: dict[tuple[str, str], tuple[EncodedImage, datetime]] = {}
        for image, written in self.world.images:
            before = current.get((image.image_id, image.encoding_id))
            now = labels[image.image_id].labels_id if image.image_id in labels else None
            if before is None or before[0].labels_id != now:
                current[image.image_id, image.encoding_id] = image, written
        return current

    def _encoded(self, encoding: str = ENCODING) -> dict[str, EncodedImage]:
        return {image: row for (image, of), (row, _) in sorted(self._current().items()) if of == encoding}

    def _1(self) -> Lines:
        begin, end = self.world.values()["begin"], self.world.values()["end"]
        lines: Lines = []
        for (device, path), row in self._files().items():
            if device == CAM_A and begin <= row.captured_at < end:
                rows = [image for (of, _), (image, _) in self._current().items() if of == row.image_id]
                found = [[image.encoding_id, image.frame.bytes_total] for image in rows] or [[None, None]]
                lines += [[str(row.captured_at), path, *pair] for pair in found]
        return sorted(lines, key=lambda line: (*line[:2], line[2] or ""))

    def _2(self) -> Lines:
        return self.worst()[: self.world.values()["count"]]

    def _3(self) -> Lines:
        encoded = {image: row.frame.bytes_total for image, row in self._encoded().items()}
        first: dict[tuple[str, str], datetime] = {}
        for (device, _), row in self._files().items():
            key = device, row.image_id
            first[key] = min(row.captured_at, first.get(key, row.captured_at))
        days: dict[tuple[str, str], list[int]] = defaultdict(list)
        for (device, image), when in first.items():
            if image in encoded:
                days[device, f"{when:%Y-%m-%d}"].append(encoded[image])
        total = [len(encoded), sum(encoded.values())]
        return [*([*key, len(sizes), sum(sizes)] for key, sizes in sorted(days.items())), total]

    def _4(self) -> Lines:
        counts = {image: sum(box.label == QUOTED for box in row.frame.boxes) for image, row in self._encoded().items()}
        return [[image, boxes] for image, boxes in counts.items() if boxes]

    def _5(self) -> Lines:
        times: dict[str, list[datetime]] = defaultdict(list)
        newest: dict[str, tuple[datetime, str]] = {}
        for (image, encoding), (_, written) in self._current().items():
            times[encoding].append(written)
            newest[image] = max(newest.get(image, (written, encoding)), (written, encoding))
        encodings = sorted(times.items(), key=lambda item: max(item[1]), reverse=True)
        return [
            *([name, len(found), str(min(found)), str(max(found))] for name, found in encodings),
            *([image, encoding] for image, (_, encoding) in sorted(newest.items())),
        ]

    def _6(self) -> Lines:
        own = {row.image_id for row in self.world.sources if row.device == CAM_A}
        sent = {
            (image_id, labels_id, row.encoding_id)
            for row in self.world.deliveries
            if (row.device, row.generation) == (CAM_A, 2)
            for image_id, labels_id in zip(row.image_ids, row.labels_ids, strict=True)
        }
        return [
            [image, row.labels_id, row.frame.bytes_total]
            for image, row in self._encoded().items()
            if image not in own and (image, row.labels_id, ENCODING) not in sent
        ]

    def _7(self) -> Lines:
        then: dict[str, set[str]] = defaultdict(set)
        for image, _ in self.world.images[: self.world.before]:
            then[image.encoding_id].add(image.image_id)
        since = {image for image, _ in self._current()} - set().union(*then.values())
        return [*([name, len(found)] for name, found in sorted(then.items())), *([image] for image in sorted(since))]

    def _8(self) -> Lines:
        one, two = self._encoded(), self._encoded(OTHER)
        return [
            [image, one[image].frame.bytes_total, row.frame.bytes_total, one[image].object_db, row.object_db]
            for image, row in two.items()
            if image in one and one[image].labels_id == row.labels_id
        ]

    def _9(self) -> Lines:
        families: dict[str, list[EncodedImage]] = defaultdict(list)
        for row, _ in self._current().values():
            families[row.family].append(row)
        lines: Lines = []
        for family, rows in sorted(families.items()):
            totals = [row.frame.bytes_total for row in rows]
            backgrounds = sum(row.frame.bytes_background for row in rows)
            objects = sum(row.frame.bytes_objects for row in rows)
            sums = [backgrounds, objects, sum(totals) - backgrounds - objects]
            lines.append(
                [family, len({row.image_id for row in rows}), *sums, sum(totals) / len(rows), min(totals), max(totals)]
            )
        return lines

    def _10(self) -> Lines:
        return [len(GOLDEN.read_bytes())]  # type: ignore[list-item]


def _path(number: int) -> str:
    return f'sub folder/it\'s é "{number:02}".jpg' if number % 5 == 0 else f"{number:02}.jpg"


def _captured(number: int) -> datetime:
    return _START + timedelta(hours=5 * (number % 9), minutes=number)


def _source(number: int, **changes: Any) -> Source:
    row = source(0, image_id=digest(f"image {number}"), labels_id=digest(f"labels {number}"), path=_path(number))
    return replace(row, **{"captured_at": _captured(number)} | _unlabelled(number) | changes)


def _unlabelled(number: int) -> dict[str, str]:
    return {"labels": "[]"} if number % 4 == 0 else {}


def _corrected_source(number: int, **changes: Any) -> Source:
    return _source(number, labels_id=digest(f"corrected {number}"), labels='[[1.0,2.0,3.0,4.0,"ship"]]', **changes)


def _image(number: int, **changes: Any) -> EncodedImage:
    names = ([], ["boat"], [QUOTED, "boat", QUOTED], [UNICODE, QUOTED])[number % 4]
    return _of_boxes(number, names, **{"object_db": 30.0 + number % 5 if names else None} | changes)


def _corrected(number: int) -> EncodedImage:
    return _of_boxes(number, ["ship"], labels_id=digest(f"corrected {number}"), object_db=20.0)


def _webp(number: int) -> EncodedImage:
    return replace(_image(number), encoding_id=OTHER, family="webp", object_db=None if number % 4 == 0 else 28.5)


def _of_boxes(number: int, names: list[str], **changes: Any) -> EncodedImage:
    boxes = tuple(Box(3 + place, 4, 10, 12, name) for place, name in enumerate(names))
    background = digest(f"background {number} {names}").encode() * (2 + number % 3)
    frame = EncodedFrame(64, 48, background, boxes, b"objects" * len(boxes))
    return encoded_image(number, **{"frame": frame} | changes)
