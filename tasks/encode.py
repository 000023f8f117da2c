"""Encoding: finding what is missing, fitting batches on Dask workers, and committing in the flow's process."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prefect import get_run_logger, task

from storage.clip_runs import packed, runs
from storage.fleet import Device, Fleet
from storage.known_parts import Known, KnownParts
from storage.quarantine import refuse, worth_fitting
from storage.tables import Pending
from tasks.batches import BATCHES_A_WORKER, LARGEST_AUTOMATIC, batch_size, split
from tasks.events import quarantine_grew
from tasks.fitting import EncodedBatch, fit_batch
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store

if TYPE_CHECKING:
    from rinr.networks.settings import ClipSettings

ROUND = 8_192
"""Images that are looked up at once: a store may lack more than fits in memory."""


@task(task_run_name="count what is missing")
def count_missing(store: str, preset: str) -> int:
    """About how many images of the store have no row of this preset's encoding."""
    return open_store(store).count_missing(encoding_of(preset))


@task(
    task_run_name="find what is missing",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def find_missing(store: str, preset: str, limit: int = ROUND, after: str = "") -> list[Pending]:
    """Images of the store that have no row of this preset's encoding, in the order of device and path.

    Those that somebody gave up (`rinr quarantine drop`) are passed over, and those that kill their worker.

    Args:
        limit: at most so many, those whose ids come first.
        after: only images whose id comes after this one.
    """
    opened = open_store(store)
    while True:
        found = opened.missing(encoding_of(preset), limit=limit, after=after)
        missing = worth_fitting(opened, found)
        if missing or len(found) < limit:
            get_run_logger().info("%d images to encode with %r", len(missing), preset)
            return missing
        after = max(pending.image_id for pending in found)


@task(
    task_run_name="put what is missing in order",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def order_missing(store: str, preset: str) -> list[str]:
    """Ids of all images that have no row of this preset's encoding, each device's in the order of capture."""
    return open_store(store).missing_in_order(encoding_of(preset))


@task(
    task_run_name="find what is missing next",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def find_among(store: str, preset: str, image_ids: Sequence[str]) -> list[Pending]:
    """Those of some images that have no row of this preset's encoding; see :func:`find_missing`."""
    opened = open_store(store)
    missing = worth_fitting(opened, opened.missing(encoding_of(preset), image_ids))
    get_run_logger().info("%d images to encode with %r", len(missing), preset)
    return missing


def missing_batches(store: str, preset: str, fits: int, wanted: int) -> Iterator[list[Pending]]:
    """All that is missing in batches, looked up as they are taken; each image once, whatever becomes of it.

    Where the preset makes clips, what a camera took in one go is in one batch, as far as a batch goes.

    Args:
        fits: that the workers take at once.
        wanted: images a batch; 0 is an even share for the workers.
    """
    clip = clips_of(preset)
    if clip is not None:
        yield from _missing_runs(store, preset, clip, fits, wanted)
        return
    after = ""
    while missing := find_missing(store, preset, ROUND, after):
        plenty = fits * BATCHES_A_WORKER * LARGEST_AUTOMATIC
        more = len(missing) == ROUND  # then nobody will be idle, and there is no need for small shares
        yield from split(missing, batch_size(plenty if more else len(missing), fits, wanted))
        after = max(pending.image_id for pending in missing)


def _missing_runs(store: str, preset: str, clip: "ClipSettings", fits: int, wanted: int) -> Iterator[list[Pending]]:
    ids = order_missing(store, preset)
    size = batch_size(len(ids), fits, wanted)
    going_on: list[Pending] = []
    for start in range(0, len(ids), ROUND):
        found = runs([*going_on, *find_among(store, preset, ids[start : start + ROUND])], clip.most_gap)
        last = start + ROUND >= len(ids)
        # The last run of a round may go on in the next one.
        going_on = [] if last or not found or len(found[-1]) >= ROUND else found.pop()
        yield from packed(found, size, clip.most_frames)


def devices_of(batch: Sequence[Pending], fleet: Fleet) -> tuple[Device, ...]:
    """The devices that a batch's images came from: what of the fleet has to travel with it."""
    names = {pending.device for pending in batch}
    return tuple(device for device in fleet.devices if device.name in names)


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
    devices: Sequence[Device],
    accelerator: str = "auto",
    known: Known | None = None,
) -> EncodedBatch:
    """Fit, quantize and code one batch of images; runs on a Dask worker, and may run twice."""
    encoded = fit_batch(batch, preset, store, devices, accelerator, known)
    logger = get_run_logger()
    for refusal in encoded.refusals:
        logger.warning("%s: %s", refusal.device, refusal.reason)
    seconds = sum(image.fit_seconds for image in encoded.images)
    logger.info(
        "batch %d: %d images encoded in %.1f s, %d refused",
        number, len(encoded.images), seconds, len(encoded.refusals),
    )  # fmt: skip
    return encoded


@task(
    task_run_name="commit batch",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def commit_batch(store: str, encoded: EncodedBatch) -> int:
    """Append a batch to the store, exactly once however often it is called; returns the images really added."""
    table = open_store(store)
    added = table.append(encoded.clips)
    if refuse(table, encoded.refusals):
        for device, count in Counter(refusal.device for refusal in encoded.refusals).items():
            quarantine_grew(device, count)
    get_run_logger().info("%d rows committed of %d", added, len(encoded.images))
    return added


@task(task_run_name="sweep the landing place")
def sweep_landing(store: str, preset: str) -> None:
    """Discard the uploaded JPEGs whose images stand in the store."""
    from storage.landing import sweep

    sweep(open_store(store), encoding_of(preset))


@task(
    task_run_name="look up clips",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def known_parts(store: str, preset: str) -> KnownParts | None:
    """The clips that new frames may extend; ``None`` where the preset makes none."""
    return KnownParts(open_store(store), encoding_of(preset)) if clips_of(preset) else None


def clips_of(preset: str) -> "ClipSettings | None":
    """How a preset makes clips, by its name; ``None``: it makes none."""
    from rinr.presets import find_preset

    return find_preset(preset).clip


def encoding_of(preset: str) -> str:
    """The encoding id of a preset's name."""
    from rinr.presets import encoding_id, find_preset

    return encoding_id(find_preset(preset))
