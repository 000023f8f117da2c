"""Reading the fleet's description."""

from prefect import get_run_logger, task

from storage.fleet import Fleet, load_fleet


@task(task_run_name="read the fleet")
def read_fleet(path: str) -> Fleet:
    """Read the fleet file.

    Raises:
        FleetError: the file cannot be read, or a field of it is wrong.
    """
    fleet = load_fleet(path)
    get_run_logger().info("fleet of %d devices: %s", len(fleet.devices), ", ".join(d.name for d in fleet.devices))
    return fleet
