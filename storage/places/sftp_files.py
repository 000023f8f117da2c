"""What sshfs does in another way than a device's storage needs it: by asyncssh's SFTP channels, never by a shell."""

from contextlib import suppress
from typing import Any

Info = dict[str, Any]


async def info(file_system: Any, path: str) -> Info:
    """A file as it stands there: a link is a link.

    Raises:
        FileNotFoundError: it is not there.
    """
    from asyncssh.sftp import SFTPNoSuchFile

    async with file_system._pool.get() as channel:
        try:
            attributes = await channel.lstat(path)
        except SFTPNoSuchFile as error:
            raise FileNotFoundError(2, "No such file or directory", path) from error
    return {"name": path} | file_system._decode_attributes(attributes)


async def read(file_system: Any, path: str, limit: int) -> bytes:
    """The first ``limit`` bytes and at most one more."""
    from asyncssh.sftp import SFTPNoSuchFile

    async with file_system._pool.get() as channel:
        try:
            async with channel.open(path, "rb") as file:
                return bytes(await file.read(limit + 1))
        except SFTPNoSuchFile as error:
            raise FileNotFoundError(2, "No such file or directory", path) from error


async def read_block(file_system: Any, path: str, start: int, count: int) -> bytes:
    """At most ``count`` bytes from ``start`` on, fewer at the file's end."""
    from asyncssh.sftp import SFTPNoSuchFile

    async with file_system._pool.get() as channel:
        try:
            async with channel.open(path, "rb") as file:
                return bytes(await file.read(count, start))
        except SFTPNoSuchFile as error:
            raise FileNotFoundError(2, "No such file or directory", path) from error


async def write_block(file_system: Any, path: str, start: int, block: bytes) -> None:
    """Write bytes from ``start`` on; from 0 on the file is made where it is not there.

    The last byte is written last: a file that is long enough holds the whole block.

    Raises:
        FileNotFoundError: it is not there, and ``start`` is not 0.
    """
    from asyncssh import FXF_CREAT, FXF_WRITE
    from asyncssh.sftp import SFTPNoSuchFile

    flags = FXF_WRITE | (FXF_CREAT if start == 0 else 0)
    async with file_system._pool.get() as channel:
        try:
            async with channel.open(path, flags, encoding=None) as file:
                # Pieces of one write are under way together and arrive in any order.
                if block[:-1]:
                    await file.write(block[:-1], start)
                await file.write(block[-1:], start + len(block) - 1)
        except SFTPNoSuchFile as error:
            raise FileNotFoundError(2, "No such file or directory", path) from error


async def rename(file_system: Any, path: str, target: str) -> None:
    """Give a file another name, over what stood there before.

    In one step where the server knows OpenSSH's ``posix-rename``; sshfs would else have the *shell* of the other side
    copy it.
    """
    from asyncssh.sftp import SFTPError, SFTPNoSuchFile, SFTPOpUnsupported

    async with file_system._pool.get() as channel:
        try:
            await channel.posix_rename(path, target)
        except SFTPNoSuchFile as error:
            raise FileNotFoundError(2, "No such file or directory", path) from error
        except SFTPOpUnsupported:
            with suppress(SFTPError):
                await channel.remove(target)
            await channel.rename(path, target)
