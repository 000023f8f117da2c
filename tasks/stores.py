"""Handles of weight stores, one a store and process."""

from functools import lru_cache

from storage.store import Store


@lru_cache(maxsize=16)
def open_store(url: str) -> Store:
    """The store at a URL: the same handle for all tasks of a process, which knows already what stands there.

    Raises:
        StoreError: nobody knows the URL's scheme.
    """
    return Store(url)
