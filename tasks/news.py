"""What is new at the stages of a pipeline, found out in one task: a run with nothing to do costs next to nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from prefect import get_run_logger, task

from storage.delivery import candidates, waits
from storage.fleet import Device, Fleet
from storage.ingestion import has_news
from tasks.each_device import ask_each
from tasks.encode import encoding_of, find_missing
from tasks.fleet import secrets
from tasks.retrying import RETRIES, RETRY_SECONDS, may_succeed_later
from tasks.stores import open_store


@dataclass(frozen=True)
class News:
    """Which stages have something to do; what one does gives the next ones something.

    Attributes:
        pictures: devices have pictures or labels to take.
        images: the store has images to encode.
        deliveries: devices lack what the store has, or have something to say or to train on.
    """

    pictures: bool
    images: bool
    deliveries: bool

    def __bool__(self) -> bool:
        return self.deliveries


EVERYTHING = News(pictures=True, images=True, deliveries=True)
"""For a run that somebody waits for: every stage looks for itself."""


@task(
    task_run_name="look for news",
    retries=RETRIES,
    retry_delay_seconds=RETRY_SECONDS,
    retry_condition_fn=may_succeed_later,
)
def look_for_news(fleet: Fleet, store: str, preset: str) -> News:
    """Look at all devices and at the store; nothing is read but lists, and nothing is written.

    A device that cannot be looked at counts as news: the stage's own run says what is the matter with it.

    Raises:
        StoreError: the store cannot be read.
    """
    opened = open_store(store)
    pictures = _any_device(fleet, lambda device: has_news(device, opened, secrets=secrets))
    images = pictures or bool(find_missing.fn(store, preset, limit=1))
    deliveries = images
    if not deliveries:
        offered = candidates(opened, encoding_of(preset))
        deliveries = _any_device(fleet, lambda device: waits(opened, device, offered, secrets=secrets))
    news = News(pictures, images, deliveries)
    get_run_logger().info("%s", news if news else f"{len(fleet.devices)} devices, and nothing is new")
    return news


def _any_device(fleet: Fleet, has: Callable[[Device], bool]) -> bool:
    answers = ask_each(fleet.devices, has)
    for device, answer in zip(fleet.devices, answers, strict=True):
        if isinstance(answer, Exception):
            get_run_logger().warning("%s: %s", device.name, answer)
    return any(answers)
