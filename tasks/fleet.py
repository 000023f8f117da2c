"""Reading the fleet's description, and the secrets that it refers to."""

from typing import Any, cast

from prefect import get_run_logger, task
from prefect.blocks.system import Secret

from storage.credentials import CredentialError, Reference, environment
from storage.fleet import Fleet
from storage.fleet_file import load_fleet


@task(task_run_name="read the fleet")
def read_fleet(path: str) -> Fleet:
    """Read the fleet file.

    Raises:
        FleetError: the file cannot be read, or a field of it is wrong.
    """
    fleet = load_fleet(path)
    get_run_logger().info("fleet of %d devices: %s", len(fleet.devices), ", ".join(d.name for d in fleet.devices))
    return fleet


def preset_of(fleet: Fleet, preset: str) -> str:
    """The preset itself, or for ``fleet`` the one that the fleet file names."""
    return fleet.fog.preset if preset == "fleet" else preset


def secrets(reference: Reference) -> str:
    """The secret of a reference: from the environment, or from a Prefect Secret block.

    Raises:
        CredentialError: it is not there.
    """
    if reference.kind != "block":
        return environment(reference)
    try:
        block = cast(Any, Secret).load(reference.name, _sync=True)
    except ValueError:
        raise CredentialError(
            f"there is no Prefect Secret block {reference.name!r}; make it in the Prefect UI under Blocks"
        ) from None
    value = block.value.get_secret_value()  # `get` would read a password of digits as a number
    if not isinstance(value, str) or not value:
        raise CredentialError(f"the Prefect Secret block {reference.name!r} holds no text; write the secret into it")
    return value
