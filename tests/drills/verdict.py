"""The verdict on a store after a drill, by reading it without the project: deltalake's log, pyarrow and hashlib.

The project is asked for two things alone, which are what it promises: that payloads decode, and that its own `verify`
finds nothing.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.fs as pa_fs
import pyarrow.parquet as pq
from deltalake import DeltaTable

import rinr
from storage.store import Store
from tests.drills.world import DEVICES, World

TABLES = ("images", "parts", "sources", "quarantine", "deliveries")

_LOG = re.compile(r"[0-9]{20}(\.checkpoint\.parquet|\.json|\.crc)|_last_checkpoint")


def rows(store: str, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """All rows of a table's snapshot."""
    file_system = _file_system(store)
    try:
        uris = DeltaTable(f"{store}/{table}").file_uris()
    except Exception:  # there is none yet
        return []
    parts = [pq.read_table(_path(uri), columns=columns, filesystem=file_system, partitioning=None) for uri in uris]
    return pa.concat_tables(parts, promote_options="permissive").to_pylist() if parts else []


def taken(store: str) -> set[tuple[str, str, str, str]]:
    """Device, path, image and labels of each file, as far as it is encoded with them."""
    encoded = {(row["image_id"], row["labels_id"]) for row in rows(store, "images", ["image_id", "labels_id"])}
    columns = ["device", "path", "image_id", "labels_id", "labels", "ingested_at"]
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(rows(store, "sources", columns), key=lambda row: row["ingested_at"]):
        newest[row["device"], row["path"]] = row
    return {
        (*of, row["image_id"], json.dumps(json.loads(row["labels"])))
        for of, row in newest.items()
        if (row["image_id"], row["labels_id"]) in encoded
    }


def judge(store: str, world: World, encoding: str) -> dict[str, Any]:
    """Check everything that has to hold in the end; returns counts."""
    images = rows(store, "images")
    sources = rows(store, "sources")
    _judge_keys(images, sources)
    # What the world's folders hold, read back from there: each good picture is encoded, and nothing else.
    there = {sha256_of(file) for file in _pictures(world)}
    assert there <= world.images
    assert {row["image_id"] for row in images} == world.images
    assert {row["image_id"] for row in sources} == world.images
    assert {row["encoding_id"] for row in images} == {encoding}
    _judge_files_as_they_are(world, images, sources)
    _judge_payloads(images)
    assert _in_quarantine(store) == world.broken
    opened = Store(store)
    damage = opened.verify()
    assert damage.clean, damage.findings
    assert damage.landed == 0
    before = set(files(store))
    opened.vacuum(timedelta(0), exclusive=True)
    after = set(files(store))
    _judge_files(store, after)
    assert opened.verify().clean
    assert {row["image_id"] for row in rows(store, "images", ["image_id"])} == world.images
    kept = sum(1 for name in after if not name.startswith("landing") and "_delta_log" not in name)
    return {
        "images": len(world.images),
        "image rows": len(images),
        "source rows": len(sources),
        "files in quarantine": len(world.broken),
        "files removed by the last vacuum": len(before - after),
        "of them data": sum(1 for name in before - after if "_delta_log" not in name),
        "files kept": kept,
        "payloads decoded": len(images),
    }


def files(store: str) -> Iterator[str]:
    """All files in a store, by their names below it."""
    if "://" not in store:
        for folder, _, names in os.walk(store):
            for name in names:
                yield str(Path(folder, name).relative_to(store))
        return
    root = _path(store)
    for info in _file_system(store).get_file_info(pa_fs.FileSelector(root, recursive=True)):
        if info.is_file:
            yield info.path[len(root) + 1 :]


def unnamed(store: str) -> set[str]:
    """Data files and unfinished ones that no snapshot names."""
    named = {
        f"{table}/{unquote(uri.rsplit('/', 1)[-1])}"
        for table in TABLES
        if DeltaTable.is_deltatable(f"{store}/{table}")
        for uri in DeltaTable(f"{store}/{table}").file_uris()
    }
    return {name for name in files(store) if "_delta_log" not in name and name != "store.json"} - named


def sha256_of(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _judge_keys(images: list[dict[str, Any]], sources: list[dict[str, Any]]) -> None:
    keys = Counter((row["image_id"], row["labels_id"], row["encoding_id"]) for row in images)
    assert max(keys.values()) == 1, "a key stands twice in images"
    # A file has another row when it has changed, or its labels have been compared: never two alike at one time.
    states = Counter((row["device"], row["path"], row["ingested_at"]) for row in sources)
    assert max(states.values()) == 1
    history: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in sorted(sources, key=lambda row: row["ingested_at"]):
        history.setdefault((row["device"], row["path"]), []).append(row)
    columns = ("image_id", "labels_id", "size", "modified", "etag", "labels_state")
    for of, states_of_file in history.items():
        for before, after in pairwise(states_of_file):
            assert any(before[name] != after[name] for name in columns), f"{of} stands twice in one state"


def _judge_files_as_they_are(world: World, images: list[dict[str, Any]], sources: list[dict[str, Any]]) -> None:
    """The newest source of each good file says its content and its labels of now, and these are encoded."""
    encoded = {(row["image_id"], row["labels_id"]) for row in images}
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in sorted(sources, key=lambda row: row["ingested_at"]):
        newest[row["device"], row["path"]] = row
    said_last: dict[str, set[str]] = {}
    for row in newest.values():
        said_last.setdefault(row["image_id"], set()).add(row["labels_id"])
    for device in DEVICES:
        for path, file in world.files[device].items():
            if not file.size:
                continue
            row = newest[device, path]
            assert row["image_id"] == file.id, f"{device} {path} is another picture by now"
            assert json.loads(row["labels"]) == sorted(list(box) for box in file.boxes), f"labels of {device} {path}"
    for image, labels in said_last.items():
        assert any((image, of) in encoded for of in labels), f"{image} is not encoded with labels of now"


def _judge_payloads(images: list[dict[str, Any]]) -> None:
    for row in images:
        frame = rinr.unpack_frame(row["payload"])
        pixels = rinr.decode(frame)
        assert pixels.shape == (row["height"], row["width"], 3)
        assert len(row["payload"]) == row["bytes_total"]
        boxes = [(box["x"], box["y"], box["width"], box["height"]) for box in row["objects"]]
        assert boxes == [(box.x, box.y, box.width, box.height) for box in frame.boxes]
    assert len({np.asarray(row["payload"]).tobytes() for row in images}) > len(images) // 2


def _in_quarantine(store: str) -> set[tuple[str, str]]:
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in sorted(rows(store, "quarantine"), key=lambda row: row["quarantined_at"]):
        newest[tuple(row[name] for name in ("device", "path", "size", "modified", "reason"))] = row
    return {(row["device"], row["path"]) for row in newest.values() if row["status"] == "refused"}


def _judge_files(store: str, names: set[str]) -> None:
    left = unnamed(store)
    assert not left, f"no table names {sorted(left)}"
    for name in names:
        if "_delta_log" in name:
            assert _LOG.fullmatch(name.rsplit("/", 1)[-1]), f"{name} is no part of a log"


def _pictures(world: World) -> Iterator[Path]:
    for device in DEVICES:
        for path in (world.root / device).rglob("*"):
            if path.suffix.lower() == ".jpg":
                name = str(path.relative_to(world.root / device))
                if (device, name) not in world.broken:
                    yield path


def _path(uri: str) -> str:
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return unquote(f"{parts.netloc}{parts.path}")


def _file_system(store: str) -> pa_fs.FileSystem:
    if not store.startswith("s3://"):
        return pa_fs.LocalFileSystem()
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    return pa_fs.S3FileSystem(endpoint_override=endpoint.netloc, scheme=endpoint.scheme, region="us-east-1")
