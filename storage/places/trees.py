"""All files in a folder and below in one listing, as cheaply as each file system allows."""

import os
import stat
from collections.abc import Callable
from typing import Any

from fsspec.asyn import sync

from storage.places import http_files
from storage.places.file_systems import LISTING_SECONDS, OpenedFolder

MAX_FILES = 2_000_000
"""Files of one folder that are listed; more are an error rather than held in memory."""

_MAX_DEPTH = 64

Info = dict[str, Any]
Tree = dict[str, Info]
"""What fsspec's ``info`` says, by path relative to the folder."""


def tree(folder: OpenedFolder, wanted: Callable[[str], bool]) -> Tree:
    """The wanted files in a folder and below; hidden files and folders are passed over, links not followed.

    Args:
        folder: where to look.
        wanted: of which paths to tell.

    Raises:
        FileNotFoundError: there is no such folder; an object store that has no folders gives no files.
        OSError: it cannot be listed, or has more than ``MAX_FILES`` wanted files.
    """
    if folder.kind == "local":
        found = _local_tree(folder.root or "/", wanted)
    elif folder.kind == "http":
        found = sync(
            folder.file_system.loop, http_files.tree, folder.file_system, folder.root, wanted, MAX_FILES,
            timeout=LISTING_SECONDS,
        )  # fmt: skip
    elif folder.kind == "sftp":
        found = _walked(folder, wanted)
    else:
        found = _flat_tree(folder, wanted)
    return found


def _local_tree(root: str, wanted: Callable[[str], bool]) -> Tree:
    found: Tree = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = os.scandir(f"{root}/{folder}")
        except FileNotFoundError:
            if not folder:
                raise
            continue  # gone since
        with entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                path = folder + name
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif wanted(path):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue  # gone since
                    found[path] = {
                        "type": "file" if stat.S_ISREG(status.st_mode) else "other",
                        "size": status.st_size,
                        "mtime": status.st_mtime,
                    }
        _check_count(len(found))
    return found


def _walked(folder: OpenedFolder, wanted: Callable[[str], bool]) -> Tree:
    found: Tree = {}
    folders = [""]
    while folders:
        below = folders.pop()
        try:
            infos = folder.file_system.ls(f"{folder.root}/{below}".rstrip("/") or "/", timeout=folder.timeout)
        except FileNotFoundError:
            if not below:
                raise
            continue  # gone since
        for info in infos:
            name = info["name"].rsplit("/", 1)[-1]
            path = below + name
            if name.startswith("."):
                continue
            if info["type"] == "directory":
                if path.count("/") < _MAX_DEPTH:
                    folders.append(f"{path}/")
            elif wanted(path):
                found[path] = info
        _check_count(len(found))
    return found


def _flat_tree(folder: OpenedFolder, wanted: Callable[[str], bool]) -> Tree:
    system = folder.file_system
    limits = {"timeout": LISTING_SECONDS} if system.async_impl else {}
    infos = system.find(folder.root, detail=True, **limits)
    if not infos:
        # An object store has no empty folders: of it the bucket has to be there.
        place = folder.root.split("/", 1)[0] if folder.kind == "s3" else folder.root
        if not system.exists(place):
            raise FileNotFoundError(2, f"{place} does not exist")
    start = len(folder.root) + 1
    found = {}
    for name, info in infos.items():
        path = name[start:]
        if wanted(path) and not any(part.startswith(".") and part != ".." for part in path.split("/")):
            found[path] = info
    _check_count(len(found))
    return found


def _check_count(count: int) -> None:
    if count > MAX_FILES:
        raise OSError(f"more than {MAX_FILES:,} files; split the folder, or clear what is old away")
