"""Why a shard is refused, and the errors that say so."""

from enum import StrEnum


class Fault(StrEnum):
    """Why a shard is refused."""

    UNSIGNED = "unsigned"
    """There is no signature where one has to be."""
    UNKNOWN_KEY = "unknown key"
    """It is signed by a key that the receiver was not told of."""
    REVOKED_KEY = "revoked key"
    """It is signed by a key that was revoked."""
    EDITED = "edited"
    """Its bytes are not those that were signed."""
    MALFORMED = "malformed"
    """Its bytes are authentic, yet cannot be read."""
    FOREIGN = "foreign"
    """It is meant for another device."""
    REPLAYED = "replayed"
    """It was sent before."""
    OUT_OF_ORDER = "out of order"
    """A shard before it has not come yet."""
    TRUNCATED = "truncated"
    """It ends too early."""
    MISSING = "missing"
    """It is not there."""


class ShardError(ValueError):
    """A shard or manifest that is refused; the message names the file, what was expected, and what to do.

    Attributes:
        fault: why.
    """

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(fault, message)
        self.fault = fault

    def __str__(self) -> str:
        return str(self.args[1])


class KeyringError(RuntimeError):
    """A key or a keyring that cannot be used; the message says what to do, and never shows a private key."""
