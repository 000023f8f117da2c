"""``rinr device``: a device on its own, with neither a server nor Prefect."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rinr.cli.console import SOME_REFUSED, changing_bar, escaped, exit_code_of, fail, note, out, stoppable
from rinr.cli.device_fog import reset, standing
from rinr.cli.device_shrink import shrink, told
from rinr.cli.fleet_access import secrets_of

if TYPE_CHECKING:
    from device.job import DeviceJob
    from device.receiving import ReceiveReport
    from device.report import DeviceReport
    from device.standing import DeviceStanding
    from storage.fleet import Device

app = typer.Typer(
    help="A device's own work: receive, verify, train, acknowledge; and how devices stand.", no_args_is_help=True
)

app.command()(reset)
app.command()(standing)
app.command()(shrink)

DeviceName = Annotated[str, typer.Argument(metavar="NAME", help="The device, as the fleet file has it.")]
FleetPath = Annotated[Path, typer.Option("--fleet", help="The fleet file.", envvar="RINR_FLEET")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for programs.")]


@app.command()
def run(
    name: DeviceName,
    fleet: FleetPath = Path("fleet.toml"),
    once: Annotated[bool, typer.Option("--once", help="Look once, train, and end.")] = False,
    every: Annotated[
        float, typer.Option(min=1, max=86_400, help="Seconds between looks into the inbox; rarer while it fails.")
    ] = 60.0,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Passes over the received images.")] = 30,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the training.")] = 0,
    accelerator: Annotated[str, typer.Option(help="Where to decode and train: auto, cpu, cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=256, help="CPU threads. The model depends on it.")] = 1,
    scratch: Annotated[bool, typer.Option("--scratch", help="Train from the seed, not from the model in use.")] = False,
    held_out: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of its own pictures to test on; the others are trained on.")
    ] = 1 / 3,
    margin: Annotated[
        float, typer.Option(min=-1, max=1, help="By how much mAP50 a new model may be worse and still be used.")
    ] = 0.01,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line for all that happens.")] = False,
) -> None:
    """Receive what the inbox holds, verify it, tell the fog node, and train on it; again and again, or --once.

    Neither Prefect nor a server is needed. SIGTERM ends it in order: what was received stays, and a training that was
    cut off goes on at its last checkpoint the next time.

    Exit codes: 0 done, or ended by SIGTERM while polling; 1 failed; 2 wrong usage; 3 done --once, but some shards were
    refused; 130 and 143 interrupted.
    """
    with _told_errors(), stoppable():
        job = _job(name, fleet, epochs, seed, accelerator, threads, scratch, held_out, margin)
        if once:
            _once(job, as_json)
        else:
            _poll(job, every, as_json)


@app.command()
def status(name: DeviceName, fleet: FleetPath = Path("fleet.toml"), as_json: AsJson = False) -> None:
    """Show what stands in the device's home: what is received, refused, known of keys and learned. Asks no network.

    Exit codes: 0 shown; 1 failed; 2 wrong usage.
    """
    with _told_errors():
        from device.standing import standing as standing_of

        found = standing_of(_device(name, fleet))
        if as_json:
            print(json.dumps(_record(found), indent=1))
            return
        for line in _lines(found):
            out.print(escaped(line), soft_wrap=True)
        for one in found.refused:
            note(f"{one.name} refused ({one.fault}): {one.reason}")


def _once(job: "DeviceJob", as_json: bool) -> None:
    from device.errors import NothingToTrainError
    from device.job import contact, train_on_received
    from device.shrinking import ShrinkError, shrink_captures

    with _progress(as_json) as progress:
        try:
            shrunk = shrink_captures(job.device, progress)
        except ShrinkError as error:  # what is broken there keeps nothing that others have sent
            shrunk = None
            _say("trouble", {"reason": str(error)}, str(error), as_json)
        found = contact(job, progress)
    if shrunk:
        _show(shrunk, as_json)
    _show(found, as_json)
    try:
        with _progress(as_json) as progress:
            report = train_on_received(job, found, progress)
    except NothingToTrainError as error:
        _say("nothing to train", {"reason": str(error)}, str(error), as_json)
        refused = bool(found.refused)
    else:
        _show(report, as_json)
        refused = bool(report.refused)
    if refused:
        raise typer.Exit(SOME_REFUSED)


def _poll(job: "DeviceJob", every: float, as_json: bool) -> None:
    from device.polling import poll

    if not as_json:
        out.print(escaped(f"{job.device.name} looks into {job.device.inbox} every {every:g} s"), soft_wrap=True)
    try:
        with _progress(as_json) as progress:
            for event in poll(job, every, progress):
                _show(event, as_json)
    except KeyboardInterrupt as stop:
        if exit_code_of(stop) != 128 + signal.SIGTERM:
            raise
        _say("stopped", {}, "stopped; the next start goes on from here", as_json)


def _show(event: Any, as_json: bool) -> None:
    from device.polling import Trouble
    from device.receiving import ReceiveReport
    from device.shrinking import ShrinkReport

    if isinstance(event, Trouble):
        _say("trouble", {"reason": event.what}, event.what, as_json)
    elif isinstance(event, ShrinkReport):
        _say("shrunk", asdict(event), told(event), as_json)
        for sentence in () if as_json else event.notes:
            note(sentence)
    elif isinstance(event, ReceiveReport):
        _say("received", asdict(event), _told_received(event), as_json)
        for one in () if as_json else event.refused:
            note(f"{one.name} refused ({one.fault}): {one.reason}")
    else:
        _say("trained", asdict(event), _told_trained(event), as_json)
        for sentence in () if as_json else event.notes:
            note(sentence)


def _say(event: str, fields: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": event, **fields}), flush=True)
    else:
        out.print(escaped(text), soft_wrap=True)


def _told_received(found: "ReceiveReport") -> str:
    if not found.generation:
        return "nothing was delivered yet"
    told = f"{_count(len(found.new), 'new shard')}, {found.bytes_fetched:,} bytes read; "
    told += f"{found.taken} received of generation {found.generation}"
    if found.wanted:
        told += f"; wanted again: {', '.join(map(str, found.wanted[:10]))}{', ...' if len(found.wanted) > 10 else ''}"
    return told


def _told_trained(report: "DeviceReport") -> str:
    told = f"trained on {_count(report.frames, 'image')}"
    told += f" and {report.own_frames:,} of its own" if report.own_frames else ""
    told += f": loss {report.loss_first:.2f} to {report.loss_last:.2f}"
    if report.own:
        told += f", mAP50 on own pictures {report.own.before.map50:.2f} to {report.own.after.map50:.2f}"
    if report.resumed_at:
        told += f"; gone on from a checkpoint at step {report.resumed_at:,}"
    return told + ("; in use now" if report.promoted else f"; not put in use: {report.verdict}")


def _record(found: "DeviceStanding") -> dict[str, Any]:
    return {
        **{name: getattr(found, name) for name in ("device", "generation", "taken", "shards", "images", "bytes")},
        "keys": [
            {"id": key.id, "status": key.status, "label": key.label, "added_at": key.added_at.isoformat()}
            for key in found.keys
        ],
        "told_at": found.told_at.isoformat() if found.told_at else None,
        "wanted": found.wanted,
        "refused": [asdict(one) for one in found.refused],
        "trained": asdict(found.trained) if found.trained else None,
        "unfinished": found.unfinished,
    }


def _lines(found: "DeviceStanding") -> Iterator[str]:
    received = "nothing yet"
    if found.generation:
        received = f"{_count(found.images, 'image')} in {_count(found.shards, 'shard')}, {found.bytes:,} bytes"
        received += f"; up to number {found.taken} of generation {found.generation}"
    yield f"{'received:':11}{received}"
    for key in found.keys:
        yield f"{'key:':11}{key.id}  {key.status}  {key.label}".rstrip()
    if not found.keys:
        yield f"{'key:':11}none: every shard will be refused until `rinr keys trust KEY` names the fog node's"
    yield f"{'told:':11}" + (f"{found.told_at:%Y-%m-%d %H:%M:%S} UTC" if found.told_at else "nothing yet")
    if found.wanted:
        yield f"{'wanted:':11}{', '.join(map(str, found.wanted))}"
    yield f"{'learned:':11}" + (_told_trained(found.trained) if found.trained else "nothing yet")
    if found.unfinished:
        yield f"{'training:':11}cut off before its end; the next run goes on with it"
    for sentence in found.trained.notes if found.trained else ():
        yield f"{'note:':11}{sentence}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _job(
    name: str,
    fleet: Path,
    epochs: int,
    seed: int,
    accelerator: str,
    threads: int,
    scratch: bool,
    held_out: float,
    margin: float,
) -> "DeviceJob":
    device = _device(name, fleet)
    import torch

    from device.job import DeviceJob
    from device.own_pictures import Share
    from rinr.training.train import TrainingSettings

    torch.set_num_threads(threads)
    return DeviceJob(
        device=device,
        training=TrainingSettings(epochs=epochs, seed=seed),
        torch_device=accelerator,
        own=Share(held_out=held_out),
        start="scratch" if scratch else "in use",
        margin=margin,
        secrets=secrets_of([device]),
    )


def _device(name: str, fleet: Path) -> "Device":
    from storage.fleet_file import FleetError, load_fleet

    try:
        return load_fleet(str(fleet)).find(name)
    except FleetError as error:
        raise fail(str(error), code=2) from None


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar that says what is being done, where people look at it."""
    if quiet:
        yield None
        return
    with changing_bar() as tell:
        yield tell


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise fail(f"a device needs the package {error.name}: pip install 'residual-inr[train]'") from None
    except KeyboardInterrupt as stop:
        note("stopped; the same command goes on from here")
        raise typer.Exit(exit_code_of(stop)) from None
    except typer.Exit:
        raise
    except (RuntimeError, OSError, ValueError) as error:
        raise fail(str(error)) from None
