import asyncio
import sqlite3
from pathlib import Path

import aiosqlite
import pytest

from services.prefect_process import close_failed_cursors


def test_a_cursor_whose_statement_failed_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiosqlite.Cursor, "execute", aiosqlite.Cursor.execute)  # put back at the end
    close_failed_cursors()

    async def meet_a_lock() -> None:
        async with aiosqlite.connect(tmp_path / "database", timeout=0, isolation_level=None) as connection:
            await connection.execute("CREATE TABLE t (x)")
            holder = sqlite3.connect(tmp_path / "database", isolation_level=None)
            holder.execute("BEGIN IMMEDIATE")
            cursor = await connection.cursor()
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                await cursor.execute("INSERT INTO t VALUES (1)")
            holder.execute("ROLLBACK")
            holder.close()
            with pytest.raises(sqlite3.ProgrammingError, match="closed"):
                await cursor.execute("SELECT 1")
            assert await (await connection.execute("SELECT 2")).fetchone() == (2,), "the connection is fit for more"

    asyncio.run(meet_a_lock())
