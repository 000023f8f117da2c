"""Where encoded frames come from: shards in files and folders, and tables in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from rinr.shard import SHARD, ShardPart, ShardRow, are_parts, check_columns, to_table

Source: TypeAlias = Sequence[ShardRow | ShardPart] | pa.Table | Sequence[pa.Table] | ds.Dataset | str | Path
"""Shard rows, an Arrow table, several or a dataset, with the columns of :data:`rinr.shard.SHARD`, or the path of a
shard or of a folder of shards."""


@dataclass(frozen=True)
class Payloads:
    """Frame payloads that came together.

    Attributes:
        image_ids: ``[frames]`` of ``binary(32)``.
        frames: ``[frames]`` of ``binary``, not looked into yet.
        where: they are from, for messages; empty where there is nothing to say.
        parts: what frames of clips share, as far as it stands here: id in hexadecimal and payload, not looked into yet.
    """

    image_ids: pa.ChunkedArray
    frames: pa.ChunkedArray
    where: str
    parts: tuple[tuple[str, bytes], ...] = ()

    def __len__(self) -> int:
        return len(self.frames)


def payloads_of(source: Source) -> list[Payloads]:
    """The payloads of a source, those of each table or file by themselves, files in the order of their names.

    Shared parts of clips are told from frames by their first bytes, and count as no frames.

    Raises:
        ValueError: no frames, a file that is no shard, a folder without shards, or a column that is missing, of another
            type or has empty fields; the message names it.
        FileNotFoundError: there is no such file or folder.
    """
    if isinstance(source, str | Path):
        parts = [_of_table(_read(file), str(file)) for file in _files(Path(source))]
    elif isinstance(source, pa.Table):
        parts = [_of_table(source, "")]
    elif isinstance(source, ds.Dataset):
        missing = [name for name in SHARD.names if name not in source.schema.names]
        parts = [_of_table(source.to_table(columns=None if missing else SHARD.names), "")]
    else:
        tables = [each for each in source if isinstance(each, pa.Table)]
        rows = [each for each in source if isinstance(each, ShardRow | ShardPart)]
        parts = [_of_table(table, "") for table in (*tables, to_table(rows))]
    if not any(map(len, parts)):
        what = str(source) if isinstance(source, str | Path) else "the source"
        held = "shared parts alone, and no frames" if any(part.parts for part in parts) else "no rows"
        raise ValueError(f"no encoded frames to train on: {what} has {held}")
    return [part for part in parts if len(part) or part.parts]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise ValueError(f"no encoded frames to train on: the folder {path} holds no .parquet file")
    return files


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no shard {path}") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is damaged, or not a Parquet file: {reason}") from None


def _of_table(table: pa.Table, where: str) -> Payloads:
    try:
        check_columns(table)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None
    image_ids, payloads = table["image_id"], table["payload"]
    shared = are_parts(payloads)
    if not pc.any(shared).as_py():
        return Payloads(image_ids, payloads, where)
    ids = (raw.hex() for raw in image_ids.filter(shared).to_pylist())
    parts = tuple(zip(ids, payloads.filter(shared).to_pylist(), strict=True))
    return Payloads(image_ids.filter(pc.invert(shared)), payloads.filter(pc.invert(shared)), where, parts)
