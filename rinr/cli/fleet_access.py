"""Opening the fleet file from a command, and the secrets it refers to: with a clear word where a package is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rinr.cli.console import fail

if TYPE_CHECKING:
    from storage.credentials import Secrets
    from storage.fleet import Device, Fleet, Fog


def open_fleet(path: Path) -> "Fleet":
    """The fleet of a file; a missing package or a fault of the file ends the command and says what to do."""
    try:
        from storage.fleet_file import FleetError, load_fleet
    except ModuleNotFoundError as error:
        raise fail(f"a fleet needs the package {error.name}: pip install 'residual-inr[fog]'") from None
    try:
        return load_fleet(str(path))
    except FleetError as error:
        raise fail(str(error)) from None


def secrets_of(devices: Sequence["Device"], fog: "Fog | None" = None) -> "Secrets":
    """Prefect, which takes seconds to import, only where a block is referred to."""
    from storage.credentials import environment, references

    options = [(device.storage_options, device.inbox_options, device.outbox_options) for device in devices]
    found = [*references(options), *([fog.signing_key] if fog and fog.signing_key else [])]
    if not any(reference.kind == "block" for reference in found):
        return environment
    try:
        from tasks.fleet import secrets
    except ModuleNotFoundError as error:
        raise fail(f"Prefect blocks need the package {error.name}: pip install 'residual-inr[fog]'") from None
    return secrets
