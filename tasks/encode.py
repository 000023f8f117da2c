"""Encoding: finding what is missing, fitting batches on Dask workers, and committing in the flow's process."""

from collections.abc import Sequence
from dataclasses import dataclass

from prefect import get_run_logger, task

from rinr.codec.encoded import EncodedImage
from storage.fleet import Fleet
from storage.quarantine import MAX_REASON, quarantine_path, refuse, without_dropped
from storage.tables import Pending, Refusal
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store

# torch is imported inside the tasks that compute: a flow's process only orders the work, and starts sooner without it.


@dataclass(frozen=True)
class EncodedBatch:
    """What a worker hands back for one batch: bytes and numbers, never tensors.

    Attributes:
        images: encoded, in the batch's order.
        refusals: images of the batch that could not be read.
    """

    images: tuple[EncodedImage, ...]
    refusals: tuple[Refusal, ...]


@task(
    task_run_name="find what is missing",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def find_missing(store: str, preset: str) -> list[Pending]:
    """Images of the store that have no row of this preset's encoding, in an order that is always the same.

    Those that somebody gave up (`rinr quarantine drop`) are passed over.
    """
    opened = open_store(store)
    missing = without_dropped(opened, opened.missing(encoding_of(preset)))
    get_run_logger().info("%d images to encode with %r", len(missing), preset)
    return missing


@task(
    task_run_name="encode batch {number}",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def encode_batch(
    number: int,
    batch: Sequence[Pending],
    preset: str,
    store: str,
    fleet: Fleet,
    torch_threads: int,
    accelerator: str = "auto",
) -> EncodedBatch:
    """Fit, quantize and code one batch of images; runs on a Dask worker, and may run twice.

    An image that cannot be read is refused with its reason; the rest goes on.
    """
    import torch

    from rinr.accelerator import torch_device
    from rinr.encoder import encode
    from rinr.frames import ImageError
    from rinr.presets import find_preset
    from storage.devices import DeviceError, safe_spelling
    from storage.ingestion import read_frame

    torch.set_num_threads(torch_threads)
    devices = {device.name: device for device in fleet.devices}
    frames, unreadable = [], []
    for pending in batch:
        try:
            frames.append(read_frame(pending, store, devices, secrets))
        except (ImageError, DeviceError) as error:
            unreadable.append((pending, error))
    # Another run may have encoded it since, and discarded what had landed: then nothing is the matter.
    lacking = set(open_store(store).missing(encoding_of(preset), [item.image_id for item, _ in unreadable]))
    refusals = [
        Refusal(
            device=pending.device,
            path=quarantine_path(pending.path),
            size=None,
            modified=None,
            reason=f"{safe_spelling(pending.path)}: {error}"[:MAX_REASON],
            image_id=pending.image_id,
        )
        for pending, error in unreadable
        if pending in lacking
    ]
    images = encode(frames, find_preset(preset), device=torch_device(accelerator))
    logger = get_run_logger()
    for refusal in refusals:
        logger.warning("%s: %s", refusal.device, refusal.reason)
    seconds = sum(image.fit_seconds for image in images)
    logger.info("batch %d: %d images encoded in %.1f s, %d refused", number, len(images), seconds, len(refusals))
    return EncodedBatch(tuple(images), tuple(refusals))


@task(
    task_run_name="commit batch",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def commit_batch(store: str, encoded: EncodedBatch) -> int:
    """Append a batch to the store, exactly once however often it is called; returns the rows really added."""
    table = open_store(store)
    added = table.append(encoded.images)
    refuse(table, encoded.refusals)
    get_run_logger().info("%d rows committed of %d", added, len(encoded.images))
    return added


@task(task_run_name="sweep the landing place")
def sweep_landing(store: str, preset: str) -> None:
    """Discard the uploaded JPEGs whose images stand in the store."""
    from storage.landing import sweep

    sweep(open_store(store), encoding_of(preset))


def encoding_of(preset: str) -> str:
    """The encoding id of a preset's name."""
    from rinr.presets import encoding_id, find_preset

    return encoding_id(find_preset(preset))
