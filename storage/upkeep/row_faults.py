"""What a single row of the store's tables may not say: the checks of verification that need no other row."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, get_args

from rinr.codec.bytestream import PayloadError
from rinr.codec.clip import NAME_BYTES, part_id, unpack_part
from rinr.codec.frame import EncodedFrame, unpack_frame
from rinr.labels import MAX_BOXES_PER_IMAGE, boxes_from_canonical, canonical_labels, labels_id
from storage.tables import DELIVERIES, IMAGES, PARTS, QUARANTINE, SOURCES, DeliveryStatus, Layout

STATUSES = ("refused", "retry", "dropped", None)
"""What ``status`` in ``quarantine`` may say; null in rows of before version 2."""

DELIVERY_STATUSES: tuple[str, ...] = get_args(DeliveryStatus)
"""What ``status`` in ``deliveries`` may say in rows of version 3 and later."""

_HASH = re.compile(r"[0-9a-f]{64}")
_ENCODING = re.compile(r"[A-Za-z0-9._-]{1,100}")
_MAX_LABELS = 64 * 1024 * 1024
_SHORT = 1_000  # characters of labels of which the last are kept in mind
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)

Row = Mapping[str, Any]


def faults(layout: Layout, row: Row) -> list[str]:
    """What is wrong with a row, in words that name the column; empty where nothing is.

    Args:
        layout: of the row's table.
        row: by column; a column that the table does not have yet may be missing.
    """
    try:
        return _CHECKS[layout.name](row)
    except (TypeError, AttributeError, OverflowError) as error:  # of a file that another program wrote
        return [f"values are not of the columns' types: {error}"]


def _image_faults(row: Row) -> list[str]:
    wrong = [*_hashes(row, "image_id", "labels_id"), *_encoding(row.get("encoding_id"), "encoding_id")]
    wrong += [*_texts(row, "family", "preset", "codec_version"), *_times(row, "created_at")]
    payload = row.get("payload")
    if payload is None:
        return [*wrong, "written before version 2 of the payload column: encode anew"]
    try:
        frame = unpack_frame(payload)
    except PayloadError as error:
        return [*wrong, f"payload: {error}"]
    expected = {
        "bytes_total": len(payload),
        "bytes_background": frame.bytes_background,
        "bytes_objects": frame.bytes_objects,
        "bytes_overhead": len(payload) - frame.bytes_background - frame.bytes_objects,
        "width": frame.width,
        "height": frame.height,
    }
    wrong += [
        f"{name} is {row.get(name)}, and the payload says {value}"
        for name, value in expected.items()
        if row.get(name) != value
    ]
    boxes = [
        {"label": box.label, "x": box.x, "y": box.y, "width": box.width, "height": box.height} for box in frame.boxes
    ]
    if row.get("objects") != boxes:
        wrong.append(f"objects are not the {len(boxes)} boxes of the payload")
    for name in ("source_width", "source_height"):
        if (row.get(name) or 0) < 1:
            wrong.append(f"{name} is {row.get(name)}, expected pixels, 1 or more")
    for name in ("background_db", "object_db", "fit_seconds"):
        value = row.get(name)
        if value is not None and (math.isnan(value) or (name == "fit_seconds" and not 0 <= value < math.inf)):
            wrong.append(f"{name} is {value}")
    if not boxes and row.get("object_db") is not None:
        wrong.append("object_db is given, and there are no boxes")
    return [*wrong, *_clip_faults(row, frame)]


def _clip_faults(row: Row, frame: EncodedFrame) -> list[str]:
    wrong = []
    identity, shared = row.get("part_id"), row.get("bytes_shared")
    said = frame.clip.part.hex() if frame.clip else None
    if identity is not None and not _HASH.fullmatch(identity):
        wrong.append(f"part_id is {_short(identity)}, expected 64 hexadecimal digits")
    elif (identity and identity[: 2 * NAME_BYTES]) != said:
        wrong.append(f"part_id is {identity}, and the payload needs {said or 'none'}")
    if shared is not None and not 0 <= shared < math.inf:
        wrong.append(f"bytes_shared is {shared}, expected 0 or more")
    elif shared and identity is None:
        wrong.append("bytes_shared is given, and the frame shares nothing")
    return wrong


def _part_faults(row: Row) -> list[str]:
    wrong = [*_hashes(row, "part_id"), *_encoding(row.get("encoding_id"), "encoding_id"), *_times(row, "created_at")]
    payload = row.get("payload")
    if payload is None:
        return [*wrong, "payload is missing"]
    if (found := part_id(payload)) != row.get("part_id"):
        wrong.append(f"payload: its SHA-256 is {found}: it is damaged, or another one")
    try:
        part = unpack_part(payload)
    except PayloadError as error:
        return [*wrong, f"payload: {error}"]
    expected = {"bytes": len(payload), "width": part.width, "height": part.height}
    wrong += [
        f"{name} is {row.get(name)}, and the payload says {value}"
        for name, value in expected.items()
        if row.get(name) != value
    ]
    if (row.get("frames") or 0) < 1:
        wrong.append(f"frames is {row.get('frames')}, expected 1 or more")
    return wrong


def _source_faults(row: Row) -> list[str]:
    wrong = [*_hashes(row, "image_id", "labels_id"), *_texts(row, "device", "path", "captured_from")]
    wrong += [*_sizes(row, "size"), *_times(row, "modified", "captured_at", "ingested_at")]
    wrong += [
        f"{name} is {row[name]}, expected pixels, 1 or more"
        for name in ("annotated_width", "annotated_height")
        if row.get(name) is not None and row[name] < 1
    ]
    if (row.get("annotated_width") is None) != (row.get("annotated_height") is None):
        wrong.append("of annotated_width and annotated_height only one is given")
    text = row.get("labels")
    return [*wrong, *(["labels are missing"] if text is None else _labels_faults(text, row.get("labels_id")))]


def _labels_faults(text: str, identity: str | None) -> list[str]:
    return _short_labels_faults(text, identity) if len(text) < _SHORT else _any_labels_faults(text, identity)


@lru_cache(maxsize=1024)  # many pictures have no boxes, or the ones of the picture before
def _short_labels_faults(text: str, identity: str | None) -> list[str]:
    return _any_labels_faults(text, identity)


def _any_labels_faults(text: str, identity: str | None) -> list[str]:
    if len(text) > _MAX_LABELS:
        return [f"labels have {len(text):,} characters; at most {_MAX_LABELS:,} are read"]
    try:
        boxes = boxes_from_canonical(text.encode())
        for box in boxes:
            sides = (box.x, box.y, box.width, box.height)
            if not isinstance(box.label, str) or not all(_number(side) for side in sides):
                return ["labels are not a list of [x, y, width, height, label]"]
        canonical, hashed = canonical_labels(boxes).decode(), labels_id(boxes)
    except (ValueError, TypeError, RecursionError):
        return ["labels are not a list of [x, y, width, height, label]"]
    if len(boxes) > MAX_BOXES_PER_IMAGE:
        return [f"labels have {len(boxes):,} boxes, expected at most {MAX_BOXES_PER_IMAGE:,}"]
    if hashed != identity:
        return ["labels_id is not the hash of labels"]
    return [] if canonical == text else ["labels do not stand in their canonical spelling"]


def _refusal_faults(row: Row) -> list[str]:
    wrong = [*_texts(row, "device", "path", "reason"), *_times(row, "quarantined_at")]
    if row.get("size") is not None:
        wrong += _sizes(row, "size")
    if row.get("modified") is not None:
        wrong += _times(row, "modified")
    if row.get("image_id") is not None:
        wrong += _hashes(row, "image_id")
    if row.get("status") not in STATUSES:
        wrong.append(f"status is {_short(row['status'])}, expected refused, retry or dropped")
    return wrong


def _delivery_faults(row: Row) -> list[str]:
    wrong = [*_texts(row, "device", "shard"), *_times(row, "delivered_at")]
    wrong += _sizes(row, "bytes", "payload_bytes", "rows")
    if row.get("generation") is None and row.get("status") is None:  # of before version 3: one row a shard
        listed = ("image_ids", "labels_ids", "encoding_ids")
        return [*wrong, *_hashes(row, "sha256"), *_lists_faults(row, {name: row.get(name) for name in listed})]
    status, generation, sequence = row.get("status"), row.get("generation"), row.get("sequence")
    if status not in DELIVERY_STATUSES:
        wrong.append(f"status is {_short(status)}, expected {', '.join(DELIVERY_STATUSES)}")
    if generation is None or sequence is None or generation < 1 or sequence < 0:
        wrong.append(f"generation and sequence are {generation} and {sequence}, expected 1 or more, and 0 or more")
    elif row.get("shard") != (name := f"shard-{generation:04d}-{sequence:08d}"):
        wrong.append(f"shard is {_short(row.get('shard'))}, and its generation and sequence say {name}")
    if row.get("number") is None:
        wrong.append("number is missing")
    lists = {name: row.get(name) for name in ("image_ids", "labels_ids")}
    if status in ("planned", "sent", "resent"):
        wrong += [*_hashes(row, "sha256"), *_encoding(row.get("encoding_id"), "encoding_id")]
    if status == "planned" or any(items is not None for items in lists.values()):
        wrong += _lists_faults(row, lists)
    bad = [item for item in row.get("part_ids") or () if item is None or not _HASH.fullmatch(item)]
    return [*wrong, *(f"part_ids hold {_short(item)}, which is no id" for item in bad[:1])]


def _lists_faults(row: Row, lists: Mapping[str, Any]) -> list[str]:
    wrong = [f"{name} are missing" for name, items in lists.items() if items is None]
    lengths = {name: len(items) for name, items in lists.items() if items is not None}
    if len({*lengths.values(), row.get("rows")}) > 1:
        said = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        wrong.append(f"lists and rows differ in length ({said}, rows: {row.get('rows')})")
    for name, items in lists.items():
        valid = _ENCODING if name == "encoding_ids" else _HASH
        bad = [item for item in items or () if item is None or not valid.fullmatch(item)]
        if bad:
            wrong.append(f"{name} hold {_short(bad[0])}, which is no id")
    return wrong


def _hashes(row: Row, *names: str) -> list[str]:
    return [
        f"{name} is {_short(row.get(name))}, expected 64 hexadecimal digits"
        for name in names
        if not _HASH.fullmatch(row.get(name) or "")
    ]


def _encoding(value: str | None, name: str) -> list[str]:
    if _ENCODING.fullmatch(value or ""):
        return []
    return [f"{name} is {_short(value)}, expected letters, digits, dots and hyphens, at most 100"]


def _texts(row: Row, *names: str) -> list[str]:
    return [f"{name} is {_short(row.get(name))}, expected text" for name in names if not row.get(name)]


def _sizes(row: Row, *names: str) -> list[str]:
    return [
        f"{name} is {row.get(name)}, expected 0 or more" for name in names if row.get(name) is None or row[name] < 0
    ]


def _times(row: Row, *names: str) -> list[str]:
    return [
        f"{name} is {_short(row.get(name))}, expected a time from 1970 on"
        for name in names
        if row.get(name) is None or not _EARLIEST <= row[name] < _LATEST
    ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    return repr(value if not isinstance(value, str) else value[:80])


_CHECKS: dict[str, Callable[[Row], list[str]]] = {
    IMAGES.name: _image_faults,
    PARTS.name: _part_faults,
    SOURCES.name: _source_faults,
    QUARANTINE.name: _refusal_faults,
    DELIVERIES.name: _delivery_faults,
}
