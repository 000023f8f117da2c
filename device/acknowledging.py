"""Acknowledging: what the device holds, wants again and refused, told to the fog node through the outbox.

The outbox holds one acknowledgement, the newest. What was told last stands in the device's home, so that its numbers
grow whatever the clock does, and so that nothing is sent when there is nothing to tell.
"""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from device.home import ACKNOWLEDGEMENT, write_durably
from device.receiving import ReceiveReport
from storage.credentials import Secrets, environment
from storage.fleet import Device
from storage.outbox import Outbox
from storage.shards.acknowledgement import (
    MAX_ACKNOWLEDGEMENT_BYTES,
    MAX_REFUSED,
    Acknowledgement,
    AcknowledgementError,
    next_number,
    open_acknowledgement,
    write_acknowledgement,
)
from storage.shards.faults import KeyringError
from storage.shards.keyring import Keyring, Status
from storage.shards.signing import SigningKey

REMINDER = timedelta(hours=1)
"""After so long a device says again what it said before, to be known to live."""

_SENDING = f"{ACKNOWLEDGEMENT}.sending"


def acknowledge(
    device: Device, found: ReceiveReport, report: bytes | None = None, secrets: Secrets = environment
) -> Acknowledgement:
    """Tell the fog node how far the device is, where that is news; returns what it knows then.

    What is wanted or refused is told every time: the fog node sends a shard once for every time it is asked.

    Args:
        device: whose outbox.
        found: from :func:`device.receiving.receive`; all of it is stored.
        report: the report of a training on exactly what is taken.
        secrets: gives those of the outbox.

    Raises:
        storage.outbox.OutboxError: the outbox cannot be written.
        storage.shards.faults.KeyringError: the fleet file has a public key of the device, and the keyring has no
            private one for it.
    """
    key = _signer(device)
    last = last_acknowledgement(device)
    now = datetime.now(UTC)
    following = Acknowledgement(
        device=device.name,
        number=next_number(max(last.number if last else 0, _half_sent(device))),
        generation=found.generation,
        taken=found.taken,
        wanted=found.wanted,
        refused=found.refused[:MAX_REFUSED],
        created_at=now,
        report=report,
    )
    if last and not _is_news(last, following):
        return last
    data = write_acknowledgement(following, key)
    home = Path(device.home)
    with suppress(OSError):  # a full disk: the clock's number will do
        write_durably(home / _SENDING, data)
    Outbox(device.outbox, device.outbox_options, secrets).write_acknowledgement(data)
    with suppress(OSError):
        (home / _SENDING).replace(home / ACKNOWLEDGEMENT)
    return following


def last_acknowledgement(device: Device) -> Acknowledgement | None:
    """What the fog node was told last; ``None`` where it was told nothing yet, or that is not known."""
    return _read(device, ACKNOWLEDGEMENT)


def _is_news(last: Acknowledgement, following: Acknowledgement) -> bool:
    if following.wanted or following.refused:
        return True
    told = replace(following, number=last.number, created_at=last.created_at)
    return told != last or not timedelta() <= following.created_at - last.created_at < REMINDER


def _half_sent(device: Device) -> int:
    """The number of an acknowledgement of which it is not known whether it arrived."""
    found = _read(device, _SENDING)
    return found.number if found else 0


def _read(device: Device, name: str) -> Acknowledgement | None:
    try:
        with (Path(device.home) / name).open("rb") as file:
            data = file.read(MAX_ACKNOWLEDGEMENT_BYTES + 1)
        return open_acknowledgement(data, device)
    except (OSError, AcknowledgementError, KeyringError):
        return None


def _signer(device: Device) -> SigningKey | None:
    """The device's own key; ``None`` where it has none and none is expected of it."""
    keyring = Keyring(Path(device.keyring))
    if device.public_key is None and not any(entry.status is Status.ACTIVE for entry in keyring.entries()):
        return None
    key = keyring.signer()
    if device.public_key is not None and key.public.text != device.public_key.strip():
        raise KeyringError(
            f"{keyring.folder} signs with the key {key.public.id}, which is not `public_key` of {device.name} in the "
            f"fleet file; write there: {key.public.text}"
        )
    return key
