"""What a device does with what is sent to it, as a task: the device job, its progress and its result."""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import get_run_logger, task

from storage.fleet import Device
from tasks.artifacts import publish_picture, publish_table
from tasks.fleet import secrets
from tasks.progress import Progress
from tasks.retrying import may_succeed_later

if TYPE_CHECKING:
    from device.report import DeviceReport

RESULT_KEY = "device-result"
"""Key of the table in which a device's run says how its training went, and from which the pipeline reads it."""


@dataclass(frozen=True)
class DeviceResult:
    """A device's training in numbers, as it travels over the server.

    Attributes:
        device: its name.
        frames: received and trained on.
        shard_bytes: bytes of the shard files they came in.
        load_seconds: entropy decoding, once.
        decode_seconds: decoding in the loop, all epochs.
        train_seconds: forward, backward and update, all epochs.
        loss_first: mean training loss of the first epoch.
        loss_last: mean training loss of the last epoch.
        decoded_map50_before: mAP50 before the training on the received frames as decoded.
        decoded_map50_after: likewise after it.
        own_map50_before: mAP50 before the training on the device's own held-out JPEGs; ``None`` without labelled ones.
        own_map50_after: likewise after it.
        own_map50_95_after: mAP50:95 after it on the device's own held-out JPEGs.
        refused: shards that were not taken.
        own_frames: own JPEGs that were trained on besides.
        promoted: whether the model is in use now.
        verdict: why, in a sentence.
    """

    device: str
    frames: int
    shard_bytes: int
    load_seconds: float
    decode_seconds: float
    train_seconds: float
    loss_first: float
    loss_last: float
    decoded_map50_before: float
    decoded_map50_after: float
    own_map50_before: float | None
    own_map50_after: float | None
    own_map50_95_after: float | None
    refused: int
    own_frames: int = 0
    promoted: bool = True
    verdict: str = ""

    @classmethod
    def from_report(cls, report: "DeviceReport") -> "DeviceResult":
        """The numbers of a device's report."""
        own = report.own
        return cls(
            device=report.device,
            frames=report.frames,
            shard_bytes=report.shard_bytes,
            load_seconds=report.load_seconds,
            decode_seconds=report.decode_seconds,
            train_seconds=report.train_seconds,
            loss_first=report.loss_first,
            loss_last=report.loss_last,
            decoded_map50_before=report.decoded.before.map50,
            decoded_map50_after=report.decoded.after.map50,
            own_map50_before=own.before.map50 if own else None,
            own_map50_after=own.after.map50 if own else None,
            own_map50_95_after=own.after.map50_95 if own else None,
            refused=len(report.refused),
            own_frames=report.own_frames,
            promoted=report.promoted,
            verdict=report.verdict,
        )

    @property
    def sentence(self) -> str:
        """The result in a line."""
        told = f"trained on {self.frames:,} images, {self.shard_bytes:,} bytes"
        told += f", loss {self.loss_first:.2f} to {self.loss_last:.2f}"
        if self.own_map50_before is not None and self.own_map50_after is not None:
            told += f", mAP50 on own pictures {self.own_map50_before:.2f} to {self.own_map50_after:.2f}"
        told += "" if self.promoted else "; not put in use"
        return told + (f"; {self.refused:,} shards refused" if self.refused else "")

    def rows(self) -> list[dict[str, Any]]:
        """As a table's rows. The inverse of :meth:`from_rows`, four digits kept."""
        return [{"what": name, "value": value} for name, value in asdict(self).items()]

    @classmethod
    def from_rows(cls, rows: Iterable[Mapping[str, Any]]) -> "DeviceResult":
        """Read a table's rows; an empty cell is ``None``."""
        values: dict[str, Any] = {row["what"]: row["value"] if row["value"] != "" else None for row in rows}
        # A device may run an older version, whose tables lack the last rows.
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values or one.default is MISSING}
        return cls(**{**known, "verdict": values.get("verdict") or ""})


@task(task_run_name="train on {device.name}", retries=1, retry_delay_seconds=5, retry_condition_fn=may_succeed_later)
def train_device(device: Device, epochs: int, seed: int, accelerator: str) -> DeviceResult:
    """Do a device's job, and publish its result and its training curve.

    Raises:
        device.job.DeviceJobError: nothing to train on, or a setting that cannot be used.
        device.receiving.ContactError: the inbox cannot be read, or there is no space for what it holds.
        device.home.HomeError: the home cannot be used.
        storage.outbox.OutboxError: the outbox cannot be written.
        storage.shards.faults.KeyringError: the device's keys cannot be used.
    """
    import torch

    from device.job import DeviceJob, run
    from device.results import CURVE, SHEET
    from rinr.training.train import TrainingSettings

    progress = Progress("training-progress", f"epochs on {device.name}", epochs)

    def tell(what: str, done: int, total: int) -> None:
        if what == "training":
            progress.reach(done)

    if accelerator == "cpu" or not torch.cuda.is_available():
        torch.set_num_threads(1)  # several devices' jobs may share this machine
    report = run(
        DeviceJob(
            device=device,
            secrets=secrets,
            training=TrainingSettings(epochs=epochs, seed=seed),
            torch_device=accelerator,
        ),
        tell,
    )
    result = DeviceResult.from_report(report)
    logger = get_run_logger()
    logger.info("%s: %d shards of generation %d are stored", device.name, report.taken, report.generation)
    for refused in report.refused:
        logger.warning("%s: %s was refused (%s): %s", device.name, refused.name, refused.fault, refused.reason)
    logger.info("%s: %s", device.name, report.verdict)
    for note in report.notes:
        logger.info("%s: %s", device.name, note)
    if report.refused:
        refusals = [{"shard": one.name, "fault": str(one.fault), "reason": one.reason} for one in report.refused]
        publish_table("refused-shards", f"What {device.name} refused, and asked the fog node for again", refusals)
    publish_table(RESULT_KEY, f"Training on {device.name}", result.rows())
    home = Path(device.home)
    publish_picture(f"training-curve-{device.name}", f"Training on {device.name}", (home / CURVE).read_bytes())
    if device.share_pictures:  # they are the device's own, and leave it nowhere else
        publish_picture(f"detections-{device.name}", f"Detections on {device.name}", (home / SHEET).read_bytes())
    return result
