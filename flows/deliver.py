"""The flow `deliver`: what each device lacks into its inbox, then the devices' own runs."""

from prefect import flow
from prefect.runtime import flow_run

from flows.catalogue import DEVICE, device_queue
from flows.parameters import Epochs, FleetFile, PresetName, Seed, StoreUrl, TorchDevice
from tasks.deliver import DeviceRun, deliver_to_device, inbox_state, start_device_run
from tasks.fleet import read_fleet
from tasks.report import publish_deliveries


@flow(name="deliver")
def deliver(
    fleet: FleetFile,
    store: StoreUrl,
    preset: PresetName = "balanced",
    epochs: Epochs = 30,
    seed: Seed = 0,
    accelerator: TorchDevice = "auto",
) -> list[DeviceRun]:
    """Put the rows that each device lacks into its inbox as one shard, and start the runs of all that have any.

    The runs are created here one after another, each on its device's own queue, and not waited for.
    """
    devices = read_fleet(fleet).devices
    delivered = [deliver_to_device(device, store, preset) for device in devices]
    publish_deliveries(delivered)
    runs = []
    for device in devices:
        inbox = inbox_state(device)
        if inbox is not None:
            parameters = {
                "fleet": fleet, "name": device.name, "epochs": epochs, "seed": seed, "accelerator": accelerator,
            }  # fmt: skip
            key = f"{flow_run.root_flow_run_id}:{inbox}"
            runs.append(start_device_run(device, DEVICE.full_name, device_queue(device), parameters, key))
    return runs
