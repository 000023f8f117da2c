"""The flow `deliver`: a contact with each device that lacks or says something, then the devices' own runs."""

from prefect import flow

from flows.catalogue import DEVICE
from flows.parameters import Epochs, FleetFile, PresetName, Seed, StoreUrl, TorchDevice
from tasks.deliver import (
    deliver_to_devices,
    find_waiting,
    raise_for_unreached,
    spoken,
)
from tasks.device_runs import DeviceRun, start_device_runs
from tasks.ending import ended
from tasks.fleet import preset_of, read_fleet
from tasks.publish_deliver import publish_deliveries
from tasks.turns import turn


@flow(name="deliver")
def deliver(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "fleet",
    epochs: Epochs = 30,
    seed: Seed = 0,
    accelerator: TorchDevice = "auto",
) -> list[DeviceRun]:
    """Hear what the devices have, put what they lack into their inboxes, and start the runs of those with anything new.

    The runs are created here one after another, each on its device's own queue, and not waited for.
    """
    described = read_fleet(fleet)
    named = preset_of(described, preset)
    training = {"fleet": fleet, "epochs": epochs, "seed": seed, "accelerator": accelerator}
    with turn("deliver", store):
        devices = find_waiting(described, store, named, training)
        reports, unreached = deliver_to_devices(devices, described.fog, store, named)
        runs = start_device_runs(described, store, reports, DEVICE.full_name, training)
    if any(not report.idle for report in reports):
        publish_deliveries(reports, unreached, runs)
    raise_for_unreached(unreached)
    return ended(runs, spoken(reports))
