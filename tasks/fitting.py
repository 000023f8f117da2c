"""One batch of images, from what waits in the store to payloads: what a Dask worker does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rinr.codec.encoded import EncodedClip, EncodedImage
from storage.clip_runs import of_devices, seconds
from storage.fleet import Device
from storage.known_parts import Known
from storage.quarantine import unfitted
from storage.tables import Pending, Refusal
from tasks.fleet import secrets
from tasks.stores import open_store

if TYPE_CHECKING:
    from rinr.frames import Frame
    from rinr.presets import Preset

# As workers share the cores among them already.
_TORCH_THREADS = 1


@dataclass(frozen=True)
class EncodedBatch:
    """What came of one batch: bytes and numbers, never tensors.

    Attributes:
        size: images of the batch.
        clips: what was encoded, with the shared parts that are new; images that stand alone are one without a part.
        refusals: images of the batch that could not be read, or whose fit kills its worker.
    """

    size: int
    clips: tuple[EncodedClip, ...]
    refusals: tuple[Refusal, ...]

    @property
    def images(self) -> tuple[EncodedImage, ...]:
        """All that were encoded."""
        return tuple(image for clip in self.clips for image in clip.images)


def fit_batch(
    batch: Sequence[Pending],
    preset: str,
    store: str,
    devices: Sequence[Device],
    accelerator: str = "auto",
    known: Known | None = None,
) -> EncodedBatch:
    """Read, fit, quantize and code images; the same ones give the same bytes, however often.

    An image that cannot be read is refused with its reason; the rest goes on.

    Args:
        devices: those that the images came from: asked for what has not landed.
        known: shared parts by device that frames may extend, where the preset makes clips.

    Raises:
        ValueError: there is no such accelerator here.
        StoreError: the store cannot be read.
    """
    # A flow's process only orders the work, and starts sooner without torch.
    import torch

    from rinr.accelerator import torch_device
    from rinr.frames import ImageError
    from rinr.presets import encoding_id, find_preset
    from storage.devices import DeviceError
    from storage.ingestion import read_frame

    torch.set_num_threads(_TORCH_THREADS)
    settings = find_preset(preset)
    by_name = {device.name: device for device in devices}
    frames: dict[Pending, Frame] = {}
    unreadable = []
    for pending in batch:
        try:
            frames[pending] = read_frame(pending, store, by_name, secrets)
        except (ImageError, DeviceError) as error:
            unreadable.append((pending, error))
    # Another run may have encoded it since, and discarded what had landed: then nothing is the matter.
    lacking = set(open_store(store).missing(encoding_id(settings), [item.image_id for item, _ in unreadable]))
    refusals = [unfitted(pending, str(error)) for pending, error in unreadable if pending in lacking]
    clips = _encoded(frames, settings, torch_device(accelerator), known or {})
    return EncodedBatch(len(batch), tuple(clips), tuple(refusals))


def _encoded(frames: Mapping[Pending, "Frame"], preset: "Preset", device: str, known: Known) -> list[EncodedClip]:
    """Every image alone, or the frames of each camera as clips."""
    from rinr.clip_encoder import encode_clips
    from rinr.encoder import encode

    if preset.clip is None:
        return [EncodedClip(tuple(encode(list(frames.values()), preset, device=device)))]
    clips = []
    for name, taken in of_devices(frames).items():
        pictures, times = [frames[one] for one in taken], [seconds(one) for one in taken]
        clips += encode_clips(pictures, times, preset, known=known.get(name, ()), device=device)
    return clips
