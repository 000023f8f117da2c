"""`rinr demo`, `rinr ui` and `rinr stop`: the whole pipeline on this machine, looked at, and put away."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rinr.cli.console import fail, note, out
from rinr.cli.demo_state import DemoError, Settings, State, claimed, clear, read_state, write_state
from rinr.cli.demo_view import RunView, print_report, said, step
from rinr.cli.device_folders import DataError, DeviceFiles, copy_files, plan_devices
from rinr.cli.sample import SAMPLE
from rinr.presets import PRESETS

if TYPE_CHECKING:
    from services.prefect_server import PrefectServer
    from services.processes import Processes

DEFAULT_FRAMES = 12
"""JPEGs taken for each device from a user's own data, so that a first try takes minutes."""

START_SECONDS = 120
"""How long the pipeline's run may lie in its queue before the demo gives up."""

_INTERRUPTED, _TERMINATED = 130, 143


class _TerminatedError(BaseException):
    """SIGTERM arrived; not an ``Exception``, so that nothing on the way takes it for a failure of its own."""


def demo(
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of JPEGs with COCO annotations.json: one device a sub-folder, or one folder that is split. "
            "Default: the sample."
        ),
    ] = None,
    devices: Annotated[int | None, typer.Option(min=2, max=64, help="How many devices.")] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"JPEGs a device at most; 0 takes all. Default: all of the sample, {DEFAULT_FRAMES} of other data.",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help=f"How images are encoded: {', '.join(p.name for p in PRESETS)}.")
    ] = "balanced",
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Epochs that each device trains.")] = 30,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    folder: Annotated[Path, typer.Option("--out", help="Folder for all that the demo makes.")] = Path("demo"),
    keep: Annotated[bool, typer.Option("--keep", help="Leave the server and the workers up at the end.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the Prefect server. Default: any free one.")
    ] = None,
) -> None:
    """Run the whole pipeline on this machine: server, Dask, workers, and all stages from JPEGs to trained detectors.

    A demo that was interrupted goes on where it was; a finished one is replaced.
    """
    folder = folder.absolute()
    with _told_errors(folder), _terminable():
        count = frames if frames is not None else (0 if data is None else DEFAULT_FRAMES)
        source = data.absolute() if data is not None else SAMPLE
        settings = Settings(str(source), devices, count or None, preset, epochs, seed)
        with claimed(folder):
            _demo(settings, folder, keep, port)


def ui(
    folder: Annotated[Path, typer.Option("--out", help="Folder of the demo.")] = Path("demo"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the Prefect server. Default: any free one.")
    ] = None,
) -> None:
    """Start the Prefect server on a demo's database, print the run's address, and stay until Ctrl-C."""
    folder = folder.absolute()
    with _told_errors(folder), _terminable():
        from services.ports import free_port
        from services.prefect_server import PrefectServer
        from services.processes import Processes

        state = read_state(folder)
        home = folder / "prefect"
        if state is None or not (home / "prefect.db").is_file():
            raise DemoError(f"there is no demo in {folder}; run `rinr demo` first, or name its folder with --out")
        server = PrefectServer(home, state.port)
        if state.port and server.answers():
            _say_addresses(server, state)
            return
        server = PrefectServer(home, free_port(port))
        processes = Processes(folder / "ui")
        try:
            processes.stop_all()
            with step("start the Prefect server"):
                server.start(processes)
                server.wait(processes)
            _say_addresses(server, state)
            out.print("Ctrl-C stops it.")
            while True:
                processes.check()
                time.sleep(1)
        except (KeyboardInterrupt, _TerminatedError):
            out.print("stopped")
        finally:
            with _deaf():
                processes.stop_all()


def stop(folder: Annotated[Path, typer.Option("--out", help="Folder of the demo.")] = Path("demo")) -> None:
    """Stop what a demo left running."""
    folder = folder.absolute()
    with _told_errors(folder):
        from services.processes import Processes

        stopped = Processes(folder).stop_all() + Processes(folder / "ui").stop_all()
        out.print(f"{stopped} processes stopped" if stopped else "nothing was running")


def _demo(settings: Settings, folder: Path, keep: bool, port: int | None) -> None:
    from services.ports import free_port
    from services.prefect_server import PrefectServer, use_server
    from services.processes import Processes

    started = time.monotonic()
    _check_preset(settings.preset)
    planned = plan_devices(Path(settings.data), settings.devices, settings.frames)  # before anything is replaced
    processes = Processes(folder)
    processes.stop_all(lambda what: note(f"left over from an earlier demo: {what}"))
    Processes(folder / "ui").stop_all()  # `rinr ui` on the same database
    port = free_port(port)  # after the leftovers, which may have held it
    state = replace(_state_to_go_on_from(settings, folder), port=port, run=None)
    write_state(folder, state)
    server = PrefectServer(folder / "prefect", port)
    places = {"RINR_FLEET": str(folder / "fleet.toml"), "RINR_STORE": str(folder / "store")}
    try:
        with step("start the Prefect server"):
            server.start(processes)
            if not state.prepared:  # while the server starts
                _make_device_folders(planned, folder)
                state = replace(state, prepared=True)
                write_state(folder, state)
            use_server(server)
            import services.prefect_api  # noqa: F401 - importing Prefect takes a second, which the server needs anyway

            server.wait(processes)
        with step("make the deployments"):
            _deploy(processes, server, folder, places)
        state = _run_pipeline(processes, server, folder, state, places)
        report = _read_report(folder)
        out.print()
        print_report(report)
        failures = [*report["failures"], *_rows_lacking(folder, report)]
        if failures:
            raise DemoError("\n".join(failures))
        state = replace(state, finished=True)
        write_state(folder, state)
        out.print(f"The pictures: {folder / 'mosaic.png'}", soft_wrap=True)
        out.print(f"The numbers:  {folder / 'report.json'}", soft_wrap=True)
        said(f"all stages did their work, in {time.monotonic() - started:.0f} s")
        if keep:
            _say_addresses(server, state)
            out.print(f"All is left running; `rinr stop --out {folder}` stops it.")
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            with _deaf():
                processes.stop_all()


def _state_to_go_on_from(settings: Settings, folder: Path) -> State:
    """The state of an unfinished demo of the same settings; otherwise the folder is emptied and a new one begins."""
    state = read_state(folder)
    if state is not None and not state.finished and state.settings == settings and state.prepared:
        out.print("The demo in this folder was not finished: it goes on.")
        return state
    if state is not None:
        why = "is finished" if state.finished else "was not finished, and had other settings"
        out.print(f"The demo in this folder {why}: it is replaced.")
    clear(folder)
    return State(settings)


def _check_preset(name: str) -> None:
    choices = [preset.name for preset in PRESETS]
    if name not in choices:
        raise ValueError(f"no preset {name!r}; there are: {', '.join(choices)}")


def _make_device_folders(planned: Sequence[DeviceFiles], folder: Path) -> None:
    """Each device's folders, and keys at both ends: the fog node's signs shards, a device's its acknowledgements."""
    from storage.fleet import Device, Fleet, Fog
    from storage.fleet_file import fleet_toml
    from storage.shards.keyring import Keyring

    fog = Fog(keyring=str(folder / "keys"))
    signs = Keyring(Path(fog.keyring)).new("fog").text
    fleet = []
    for device in planned:
        place = folder / "devices" / device.name
        copy_files(device, place / "storage")
        for name in ("inbox", "outbox", "home"):
            (place / name).mkdir(parents=True, exist_ok=True)
        made = Device(
            name=device.name,
            storage=str(place / "storage"),
            inbox=str(place / "inbox"),
            outbox=str(place / "outbox"),
            home=str(place / "home"),
        )
        keyring = Keyring(Path(made.keyring))
        keyring.trust(signs, "fog")
        fleet.append(made.model_copy(update={"public_key": keyring.new(device.name).text}))
        chosen = f"{len(device.files)} JPEGs"
        if len(device.files) < device.available:
            chosen += f" of {device.available} (--frames 0 takes all)"
        out.print(f"  {device.name}: {chosen} from {device.folder}", style="dim", soft_wrap=True)
    (folder / "fleet.toml").write_text(fleet_toml(Fleet(devices=tuple(fleet), fog=fog)))


def _deploy(processes: "Processes", server: "PrefectServer", folder: Path, places: Mapping[str, str]) -> None:
    from flows.catalogue import DEPLOYMENTS, DEVICE_POOL, FOG_POOL
    from services import prefect_api, workers

    prefect_api.cancel_unfinished()
    prefect_api.make_pools((FOG_POOL, DEVICE_POOL))
    workers.start_fog_worker(processes, server, FOG_POOL)
    prefect_api.deploy(server, places, folder / "logs" / "deploy.log")
    for deployment in DEPLOYMENTS:
        if deployment.scheduled:  # a run of its own accord would compete with the demo's
            prefect_api.pause_schedules(deployment.full_name)


def _run_pipeline(
    processes: "Processes", server: "PrefectServer", folder: Path, state: State, places: Mapping[str, str]
) -> State:
    """Run the pipeline to its end; returns the state with the run's id."""
    from flows.catalogue import DEVICE_POOL, PIPELINE, device_queue
    from services import prefect_api, workers
    from storage.fleet_file import load_fleet

    settings = state.settings
    parameters: dict[str, Any] = {
        "fleet": places["RINR_FLEET"],
        "store": places["RINR_STORE"],
        "preset": settings.preset,
        "epochs": settings.epochs,
        "seed": settings.seed,
        "report": str(folder),
    }
    (folder / "report.json").unlink(missing_ok=True)
    run = prefect_api.start_run(PIPELINE.full_name, parameters)
    state = replace(state, run=run)
    write_state(folder, state)
    said(f"the pipeline runs: {server.run_address(run)}")
    # The devices have nothing to do yet: their workers start while the fog node works.
    queues = {device.name: device_queue(device) for device in load_fleet(places["RINR_FLEET"]).devices}
    workers.start_device_workers(processes, server, DEVICE_POOL, queues)
    start = time.monotonic()
    last = None
    with RunView() as view:
        for runs in prefect_api.follow(run):
            processes.check()
            view.show(runs)
            last = runs[0]
            if last.state == "SCHEDULED" and time.monotonic() - start > START_SECONDS:
                log = folder / "logs" / "fog.log"
                raise DemoError(f"no worker took the pipeline's run within {START_SECONDS} s; see {log}")
    if last is not None and last.state != "COMPLETED" and not (folder / "report.json").is_file():
        raise DemoError(f"the pipeline's run ended as {last.state}: {last.message or 'it left no message'}")
    return state


def _read_report(folder: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    except (OSError, ValueError) as error:
        raise DemoError(f"the pipeline left no report: {error}") from None
    return report


def _rows_lacking(folder: Path, report: Mapping[str, Any]) -> list[str]:
    """Whether every image that was taken in has its row, asked of the store itself."""
    import pyarrow.compute as pc

    from storage.store import Store
    from storage.tables import IMAGES, SOURCES

    store = Store(str(folder / "store"))
    taken = set(store.scan(SOURCES, ["image_id"])["image_id"].to_pylist())
    of_encoding = pc.field("encoding_id") == report["encoding_id"]
    encoded = set(store.scan(IMAGES, ["image_id"], of_encoding)["image_id"].to_pylist())
    if not taken:
        return ["ingest: no image was taken; see what the quarantine says"]
    lacking = len(taken - encoded)
    return [f"encode: {lacking} of {len(taken)} images have no row in the store"] if lacking else []


def _say_addresses(server: "PrefectServer", state: State) -> None:
    if state.run:
        out.print(f"The run: {server.run_address(state.run)}", soft_wrap=True)
    out.print(f"All pages: {server.ui}", soft_wrap=True)


@contextmanager
def _told_errors(folder: Path) -> Iterator[None]:
    """Turn what goes wrong into one message and an exit code that means something."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise fail(f"the package {error.name} is missing: pip install 'residual-inr[fog,train]'") from None
    except KeyboardInterrupt:
        raise fail("interrupted; all is stopped, and the same command goes on from here", _INTERRUPTED) from None
    except _TerminatedError:
        raise fail("terminated; all is stopped, and the same command goes on from here", _TERMINATED) from None
    except (DataError, ValueError) as error:
        raise fail(str(error)) from None
    except (DemoError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        logs = folder / "logs"
        where = f"\nThe logs lie in {logs}; mend the cause and run the same command: it goes on from here."
        raise fail(f"{error}" + (where if logs.is_dir() else "")) from None


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end things in order, as Ctrl-C does; and SIGINT too where a shell started this in the background."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _deaf() -> Iterator[None]:
    """Pass over further signals to stop: stopping is under way, and cut short it would leave processes behind."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
