"""Events of our own, beside those that Prefect emits of runs: automations turn them into notifications.

``deploy/automations.yaml`` has such automations. An event says which device it is about and how much, and nothing that
came from a device as text.
"""

from prefect.events import emit_event

QUARANTINE_GREW = "residual-inr.quarantine.grew"
"""Files of a device were refused."""

DEVICE_SILENT = "residual-inr.device.silent"
"""A device has had something waiting for longer than its ``silent_after`` and says nothing."""


def quarantine_grew(device: str, refused: int) -> None:
    """Say that files of a device were refused.

    Args:
        device: its name.
        refused: how many in this run.
    """
    emit_event(QUARANTINE_GREW, _resource(device), payload={"device": device, "refused": refused})


def device_silent(device: str, hours: float, images: int) -> None:
    """Say that a device has not fetched what waits for it.

    Args:
        device: its name.
        hours: for which the oldest of it has waited.
        images: that wait.
    """
    emit_event(DEVICE_SILENT, _resource(device), payload={"device": device, "hours": round(hours, 1), "images": images})


def _resource(device: str) -> dict[str, str]:
    return {"prefect.resource.id": f"residual-inr.device.{device}", "prefect.resource.name": device}
