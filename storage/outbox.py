"""A device's outbox: a place that the device writes and the fog reads. What is in it may be anything."""

from collections.abc import Mapping
from typing import Any

from storage.credentials import Secrets, environment
from storage.folder import Folder
from storage.places.device_paths import safe_spelling
from storage.places.errors import told
from storage.places.transfer import send
from storage.shards.acknowledgement import MAX_ACKNOWLEDGEMENT_BYTES

ACKNOWLEDGEMENT = "acknowledgement"


class OutboxError(RuntimeError):
    """An outbox that cannot be read or written; the message names its URL and says what to do."""


class Outbox:
    """The outbox at an fsspec URL or a plain folder.

    Args:
        url: where it is.
        options: for its file system, with references to secrets.
        secrets: gives the secrets.
    """

    def __init__(self, url: str, options: Mapping[str, Any] | None = None, secrets: Secrets = environment) -> None:
        self.url = url
        self._folder = Folder(url, options or {}, secrets)

    def write_acknowledgement(self, data: bytes) -> None:
        """Replace the acknowledgement, in one step.

        Raises:
            OutboxError: the outbox cannot be written.
        """
        try:
            send(self._folder, ACKNOWLEDGEMENT, data)
        except Exception as error:  # clients of remote stores raise what they like
            raise self._error("written", error) from error

    def read_acknowledgement(self) -> bytes | None:
        """The acknowledgement's bytes, of which nothing is verified; ``None`` where there is none yet.

        Raises:
            OutboxError: the outbox cannot be read.
        """
        try:
            return self._folder.read(ACKNOWLEDGEMENT, MAX_ACKNOWLEDGEMENT_BYTES)
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._error("read", error) from error

    def _error(self, done: str, error: Exception) -> OutboxError:
        reason = safe_spelling(told(error))  # a server may say anything
        return OutboxError(
            f"the outbox {self.url} cannot be {done}: {reason}; check `outbox` of the device in the fleet file"
        )
