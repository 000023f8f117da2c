"""Where encoded frames come from: shards in files and folders, and tables in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from rinr.shard import SHARD, ShardRow, check_columns, to_table

Source: TypeAlias = Sequence[ShardRow] | pa.Table | ds.Dataset | str | Path
"""Shard rows, an Arrow table or dataset with the columns of :data:`rinr.shard.SHARD`, or the path of a shard or of a
folder of shards."""


@dataclass(frozen=True)
class Payloads:
    """Frame payloads that came together.

    Attributes:
        image_ids: ``[frames]`` of ``binary(32)``.
        frames: ``[frames]`` of ``binary``, not looked into yet.
        where: they are from, for messages; empty where there is nothing to say.
    """

    image_ids: pa.ChunkedArray
    frames: pa.ChunkedArray
    where: str

    def __len__(self) -> int:
        return len(self.frames)


def payloads_of(source: Source) -> list[Payloads]:
    """The payloads of a source, those of each file by themselves, files in the order of their names.

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
        parts = [_of_table(to_table(source), "")]
    if not any(map(len, parts)):
        told = f": {source} has no rows" if isinstance(source, str | Path) else ": the source has no rows"
        raise ValueError(f"no encoded frames to train on{told}")
    return [part for part in parts if len(part)]


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
    return Payloads(table["image_id"], table["payload"], where)
