"""One step after the other in one process, each of which may fail, but only in words that are meant for people."""

import random
import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

from rinr.encoder import encode
from rinr.presets import find_preset
from storage.devices import DeviceError
from storage.ingestion import ingest, read_frame
from storage.intake.validation import Validator
from storage.landing import sweep
from storage.store import Store, StoreError
from tests.drills.roles import BATCH, Orders


class Steps:
    """The steps of a run, taken in an order that is random; what fails is taken again.

    Attributes:
        done: steps that went well, by name.
        failed: likewise those that ended in an error.
        unread: files that were left for the next run.
        messages: one of each kind of message.
        wrong: tracebacks of errors that say nothing to people: there must be none.
    """

    def __init__(self, orders: Orders, seed: int) -> None:
        self.orders = orders
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.unread = 0
        self.messages: dict[str, str] = {}
        self.wrong: list[str] = []
        self._rng = random.Random(seed)
        self._store = Store(orders.store)

    def run(self, going_on: Callable[[], bool], seconds: float) -> None:
        """Take steps until nothing is left to do, and at least as long as it is said to go on."""
        deadline = time.monotonic() + seconds
        quiet = 0
        with Validator() as validator:
            while going_on() or quiet < 3:
                assert time.monotonic() < deadline, f"never done: {self.done} {self.failed} {self.messages}"
                if self._rng.random() < 0.2:
                    self._store = Store(self.orders.store)  # as after a restart
                left = [
                    self._take("ingest", lambda: self._ingest(validator)),
                    self._take("encode", self._encode),
                    self._take("sweep", lambda: sweep(self._store, self.orders.encoding)),
                ]
                self._take("compact", lambda: len(self._store.compact(loose=4)))
                self._take("vacuum", lambda: self._store.vacuum(timedelta(hours=1)))
                quiet = quiet + 1 if not any(left) else 0
                assert not self.wrong, "\n".join(self.wrong)

    def _take(self, name: str, step: Callable[[], int]) -> int:
        """What is left to do, as far as the step says it; 1 where it failed."""
        try:
            left = step()
        except (StoreError, DeviceError) as error:
            self.failed[name] += 1
            self.messages.setdefault(f"{name} {type(error).__name__}", str(error))
            if "\n" in str(error) or len(str(error)) > 1_500:
                self.wrong.append(f"{name}: a message of several lines or very long: {error}")
            return 1
        except Exception:
            self.wrong.append(f"{name}: {traceback.format_exc()}")
            return 1
        self.done[name] += 1
        return left

    def _ingest(self, validator: Validator) -> int:
        devices = self._rng.sample(self.orders.devices, len(self.orders.devices))
        left, failure = 0, None
        for device in devices:
            try:
                report = ingest(device, self._store, validator=validator)
                self.unread += report.left
                if report.left:
                    self.messages.setdefault("left", next(note for note in report.notes if "next run" in note))
                left += report.new + report.refused + report.left + report.waiting
            except DeviceError as error:
                failure = error
        if failure:
            raise failure
        return left

    def _encode(self) -> int:
        missing = self._store.missing(self.orders.encoding)
        self._rng.shuffle(missing)
        devices = {device.name: device for device in self.orders.devices}
        for start in range(0, min(len(missing), 4 * BATCH), BATCH):
            batch = missing[start : start + BATCH]
            frames = [read_frame(pending, self.orders.store, devices) for pending in batch]
            self._store.append(encode(frames, find_preset(self.orders.preset)))
        return len(missing)
