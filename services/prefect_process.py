"""Prefect's command line, with one mend for a server whose database is SQLite: `python -m services.prefect_process`.

A statement that ends in "database is locked" leaves its cursor open: SQLAlchemy's aiosqlite dialect closes it only
where all went well. The garbage collector finds it later, in the thread of the event loop, and resets it. For that it
needs the connection, whose own thread may be waiting for the database's lock, up to a minute: the whole server then
stands still, with it whoever holds the lock. With a dozen busy devices that happens every other minute. A cursor that
is closed where its statement failed has nothing left to reset.
"""

from collections.abc import Iterable
from typing import Any

import aiosqlite


def close_failed_cursors() -> None:
    """Let each cursor of this process be closed, in its connection's thread, once a statement of it has failed."""
    execute = aiosqlite.Cursor.execute

    async def closing_execute(
        cursor: aiosqlite.Cursor, sql: str, parameters: Iterable[Any] | None = None
    ) -> aiosqlite.Cursor:
        try:
            return await execute(cursor, sql, parameters)
        except Exception:
            await cursor.close()
            raise

    setattr(aiosqlite.Cursor, "execute", closing_execute)  # noqa: B010  (the type says it is decorated)


def main() -> None:
    """Run the command that the arguments name."""
    close_failed_cursors()
    from prefect.cli import app

    app()


if __name__ == "__main__":
    main()
