"""The landing place: uploaded pictures that wait to be encoded, beside the weight store."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rinr.frames import MAX_PICTURE_BYTES
from rinr.labels import image_id as hash_of
from storage.folder import Folder
from storage.places.device_paths import safe_spelling
from storage.places.errors import told
from storage.store import Store, StoreError

_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_SLICE = 8_192
_STALE_SECONDS = 86_400.0


class Landing:
    """Pictures under ``<store>/landing/``, named by their hash alone; with ``.jpg`` behind it, whatever they are.

    No name of a device's choosing becomes a path here. A file stands there wholly or not at all. All methods raise
    :class:`storage.store.StoreError` where the place cannot be read or written.
    """

    def __init__(self, store_url: str) -> None:
        self._folder = Folder(f"{store_url.rstrip('/')}/landing")

    def put(self, image_id: str, jpeg: bytes) -> None:
        """Keep the bytes of an image.

        Raises:
            ValueError: ``image_id`` is not their SHA-256.
        """
        if hash_of(jpeg) != image_id:
            raise ValueError(f"image_id {image_id!r} is not the SHA-256 of these {len(jpeg):,} bytes")
        with self._errors():
            self._folder.write(_name(image_id), jpeg)

    def get(self, image_id: str) -> bytes | None:
        """The bytes of an image; ``None`` where they are not there, or not whole."""
        name = _name(image_id)
        with self._errors():
            try:
                jpeg = self._folder.read(name, MAX_PICTURE_BYTES)
            except FileNotFoundError:
                return None
        return jpeg if hash_of(jpeg) == image_id else None

    def discard(self, image_ids: Iterable[str]) -> None:
        """Remove images; one that is not there is no error."""
        with self._errors():
            self._folder.delete(map(_name, image_ids))

    def clean(self) -> int:
        """Remove what writers left behind that were killed long ago; returns how many files."""
        with self._errors():
            return self._folder.clean(_STALE_SECONDS)

    def image_ids(self) -> list[str]:
        """The images that wait, sorted."""
        with self._errors():
            names = self._folder.names()
        stems = (name.removesuffix(".jpg") for name in names)
        return [stem for stem in stems if _IMAGE_ID.fullmatch(stem)]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except ValueError:
            raise
        except Exception as error:  # clients of remote stores raise what they like
            raise StoreError(
                f"the landing place {self._folder.url} cannot be used: {safe_spelling(told(error))}; "
                "check that the place exists or can be made, and that you may write there"
            ) from error


def sweep(store: Store, encoding_id: str) -> int:
    """Discard the landed pictures whose image is encoded with its newest labels, and what killed writers left.

    May be run at any time, and again. A picture that no row of ``images`` speaks of is kept: it may have landed a
    moment ago, its source not yet written.

    Returns:
        How many were discarded.
    """
    landing = Landing(store.url)
    landing.clean()
    waiting = landing.image_ids()
    discarded = 0
    for start in range(0, len(waiting), _SLICE):
        part = waiting[start : start + _SLICE]
        # In this order: an image that a source is written of in between is then found missing.
        encoded = set(store.lookup(part, ["image_id"], encoding_id=encoding_id)["image_id"].to_pylist())
        if not encoded:
            continue
        missing = {pending.image_id for pending in store.missing(encoding_id, part)}
        done = [image for image in part if image in encoded and image not in missing]
        landing.discard(done)
        discarded += len(done)
    return discarded


def _name(image_id: str) -> str:
    if not _IMAGE_ID.fullmatch(image_id):
        raise ValueError(f"image_id is {image_id[:80]!r}, expected a SHA-256 in hexadecimal")
    return f"{image_id}.jpg"
