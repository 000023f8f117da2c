"""The flow `device`: what one device does with what was delivered to it."""

from prefect import flow

from flows.parameters import DeviceName, Epochs, FleetFile, Seed, TorchDevice
from tasks.device import DeviceResult, train_device
from tasks.ending import ended
from tasks.fleet import read_fleet


@flow(name="device", flow_run_name="train on {name}")
def device(
    fleet: FleetFile,
    name: DeviceName,
    epochs: Epochs = 30,
    seed: Seed = 0,
    accelerator: TorchDevice = "auto",
) -> DeviceResult:
    """Receive and verify what the inbox holds, acknowledge it, train a detector that decodes in its loop, report."""
    result = train_device(read_fleet(fleet).find(name), epochs, seed, accelerator)
    return ended(result, result.sentence)
