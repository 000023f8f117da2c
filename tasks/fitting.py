"""One batch of images, from what waits in the store to payloads: what a Dask worker does."""

from collections.abc import Sequence
from dataclasses import dataclass

from rinr.codec.encoded import EncodedImage
from storage.fleet import Device
from storage.quarantine import unfitted
from storage.tables import Pending, Refusal
from tasks.fleet import secrets
from tasks.stores import open_store

# As workers share the cores among them already.
_TORCH_THREADS = 1


@dataclass(frozen=True)
class EncodedBatch:
    """What came of one batch: bytes and numbers, never tensors.

    Attributes:
        size: images of the batch.
        images: encoded, in the batch's order.
        refusals: images of the batch that could not be read, or whose fit kills its worker.
    """

    size: int
    images: tuple[EncodedImage, ...]
    refusals: tuple[Refusal, ...]


def fit_batch(
    batch: Sequence[Pending], preset: str, store: str, devices: Sequence[Device], accelerator: str = "auto"
) -> EncodedBatch:
    """Read, fit, quantize and code images; the same ones give the same bytes, however often.

    An image that cannot be read is refused with its reason; the rest goes on.

    Args:
        devices: those that the images came from: asked for what has not landed.

    Raises:
        ValueError: there is no such accelerator here.
        StoreError: the store cannot be read.
    """
    # A flow's process only orders the work, and starts sooner without torch.
    import torch

    from rinr.accelerator import torch_device
    from rinr.encoder import encode
    from rinr.frames import ImageError
    from rinr.presets import encoding_id, find_preset
    from storage.devices import DeviceError
    from storage.ingestion import read_frame

    torch.set_num_threads(_TORCH_THREADS)
    settings = find_preset(preset)
    by_name = {device.name: device for device in devices}
    frames, unreadable = [], []
    for pending in batch:
        try:
            frames.append(read_frame(pending, store, by_name, secrets))
        except (ImageError, DeviceError) as error:
            unreadable.append((pending, error))
    # Another run may have encoded it since, and discarded what had landed: then nothing is the matter.
    lacking = set(open_store(store).missing(encoding_id(settings), [item.image_id for item, _ in unreadable]))
    refusals = [unfitted(pending, str(error)) for pending, error in unreadable if pending in lacking]
    images = encode(frames, settings, device=torch_device(accelerator))
    return EncodedBatch(len(batch), tuple(images), tuple(refusals))
