"""``rinr up`` and ``rinr down``: a fog node's processes on this machine, started, repaired, shown and stopped."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rinr.cli.console import FAILED, escaped, exit_code_of, fail, note, out, stoppable
from rinr.cli.demo_view import said, step
from rinr.cli.fleet_access import open_fleet
from rinr.cli.up_state import DEFAULT_HOME, UpError, UpState, claimed, read_state, write_state
from rinr.version import __version__

if TYPE_CHECKING:
    from services.prefect_server import PrefectServer
    from services.processes import Processes
    from storage.fleet import Device, Fleet

USUAL_PORT = 4200

READY_SECONDS = 120
"""How long the fog's worker may take until it asks for work."""

Home = Annotated[Path, typer.Option(help="Folder for the server's database, logs and state.", envvar="RINR_HOME")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")]


def up(
    fleet: Annotated[
        Path | None,
        typer.Option(help="The fleet file. Default: the last one, else fleet.toml.", envvar="RINR_FLEET"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="URL or folder of the weight store. Default: the last one, else store.", envvar="RINR_STORE"),
    ] = None,
    home: Home = DEFAULT_HOME,
    devices: Annotated[
        str | None,
        typer.Option(
            help="Devices whose workers run here as well: all, none, or names with commas between. "
            "Default: those of before, else those whose home is a folder of this machine."
        ),
    ] = None,
    every: Annotated[
        int | None, typer.Option(min=1, max=1440, help="Minutes between runs of the pipeline. Default: 15.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help=f"Of the Prefect server. Default: as before, else {USUAL_PORT}, else any."),
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Only say what runs, and where the pages are.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start what a fog node needs on this machine: Prefect's server, workers, deployments with their schedules.

    The pipeline runs at once, and then as its schedule says.

    Run again it starts what is missing and leaves alone what runs; other settings, or another version of rinr, restart
    all of it. Keys that are missing are made: the fog's, and those of the devices that run here. `rinr down` stops it,
    and data stays. For systemd units instead, see docs/operations.md.

    Exit codes: 0 all is up; 1 failed, or with --status something does not run; 2 wrong usage; 130 and 143 interrupted:
    the same command goes on from there.
    """
    home = home.absolute()
    with _told_errors(home), stoppable():
        if not status:
            with claimed(home), _silent(as_json):
                _up(_wanted(home, fleet, store, devices, every, port), home)
        runs = _show(home, as_json)
    if not runs:
        raise typer.Exit(FAILED)


def down(home: Home = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Stop all that `rinr up` started on this machine; the store, keys and the server's database stay.

    Exit codes: 0 nothing runs any more; 1 failed.
    """
    home = home.absolute()
    with _told_errors(home):
        from services.processes import Processes

        stopped = 0
        if home.is_dir():
            with claimed(home):
                stopped = Processes(home).stop_all()
        if as_json:
            print(json.dumps({"stopped": stopped}))
        elif stopped:
            out.print(f"{stopped} processes stopped; all data is left, and rinr up starts them again")
        else:
            out.print(f"nothing was running of {escaped(str(home))}", soft_wrap=True)


def _wanted(
    home: Path, fleet: Path | None, store: str | None, devices: str | None, every: int | None, port: int | None
) -> UpState:
    """What shall run: what is said now, and for the rest what was said before."""
    before = read_state(home)
    file = fleet.absolute() if fleet else Path(before.fleet) if before else Path("fleet.toml").absolute()
    if not file.is_file():
        raise UpError(f"there is no fleet file {file}; write one: rinr fleet init {file}")
    place = store or (before.store if before else "store")
    if "://" not in place:
        place = str(Path(place).absolute())
    known = open_fleet(file)
    if devices is None and before is not None and before.fleet == str(file):
        names = {device.name for device in known.devices}
        here = tuple(name for name in before.devices if name in names)
    else:
        here = _devices_here(known, devices)
    interval = every or (before.every if before else None)
    wanted = UpState(str(file), place, here, interval, port or (before.port if before else 0), __version__)
    return replace(wanted, deployed=before is not None and before == replace(wanted, deployed=True))


def _devices_here(fleet: "Fleet", said: str | None) -> tuple[str, ...]:
    names = [device.name for device in fleet.devices]
    if said is None:
        return tuple(device.name for device in fleet.devices if Path(device.home).is_dir())
    if said in ("all", "none"):
        return tuple(names) if said == "all" else ()
    chosen = [name.strip() for name in said.split(",") if name.strip()]
    for name in chosen:
        if name not in names:
            raise UpError(
                f"the fleet has no device {name!r}; it has {', '.join(names)}: name some of them with --devices"
            )
    return tuple(dict.fromkeys(chosen))


def _up(wanted: UpState, home: Path) -> None:
    from services.prefect_server import PrefectServer, use_server
    from services.processes import Processes

    processes = Processes(home)
    if not wanted.deployed and processes.alive():
        processes.stop_all(lambda what: note(f"settings or version are others than before: {what}, and starting anew"))
    fresh = not processes.alive()
    wanted = replace(wanted, port=_port(wanted.port, processes))
    write_state(home, replace(wanted, deployed=False))
    known = open_fleet(Path(wanted.fleet))
    of_here = [device for device in known.devices if device.name in wanted.devices]
    _make_keys(known, of_here)
    os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", "5")
    server = PrefectServer(home / "prefect", wanted.port)
    if not processes.running("server"):
        with step("start the Prefect server"):
            server.start(processes)
            server.wait(processes)
    else:
        server.wait(processes)
    use_server(server)
    _make_deployments(server, wanted, home)
    _start_workers(processes, server, of_here, fresh)
    if not wanted.deployed:
        _run_at_once(server)
    write_state(home, replace(wanted, deployed=True))


def _port(wanted: int, processes: "Processes") -> int:
    """The wanted port, which our own server may hold; the usual one where none is wanted, or any that is free."""
    from services.ports import PortError, free_port

    if processes.running("server") and wanted:
        return wanted
    if wanted:
        return free_port(wanted)
    try:
        return free_port(USUAL_PORT)
    except PortError:
        chosen = free_port()
        note(f"port {USUAL_PORT} is taken: the Prefect server gets {chosen}; choose another with --port")
        return chosen


def _make_keys(fleet: "Fleet", devices: Sequence["Device"]) -> None:
    """Keys at both ends where there are none yet: shards are signed, and devices take no others.

    A device trusts this fog node by itself only where it trusts nobody, and where it runs on the fog's own machine.
    """
    from storage.shards.keyring import Keyring, Status

    if fleet.fog.signing_key is not None:
        return  # in a secret, which is its owner's to make, and to have trusted
    fog = Keyring(Path(fleet.fog.keyring))
    if not any(entry.status is Status.ACTIVE for entry in fog.entries()):
        fog.new("fog")
        said(f"made the fog's key in {fog.folder}")
    signs = next(entry.key.text for entry in fog.entries() if entry.status is Status.ACTIVE)
    for device in devices:
        keyring = Keyring(Path(device.keyring))
        entries = keyring.entries()
        if not any(entry.status is Status.ACTIVE for entry in entries):
            keyring.new(device.name)
        if not any(entry.status is Status.TRUSTED for entry in entries):
            keyring.trust(signs, "fog")
            said(f"{device.name} trusts the fog's key now")


def _make_deployments(server: "PrefectServer", wanted: UpState, home: Path) -> None:
    from flows.catalogue import DEVICE_POOL, FOG_POOL, PIPELINE
    from services import prefect_api

    prefect_api.make_pools((FOG_POOL, DEVICE_POOL))
    if wanted.deployed:
        return
    with step("make the deployments"):
        places = {"RINR_FLEET": wanted.fleet, "RINR_STORE": wanted.store}
        prefect_api.deploy(server, places, home / "logs" / "deploy.log")
        if wanted.every is not None:
            prefect_api.set_interval(PIPELINE.full_name, wanted.every)


def _run_at_once(server: "PrefectServer") -> None:
    """One run of the pipeline now, as the schedule makes them: whoever has just set it up need not wait for that."""
    from flows.catalogue import PIPELINE
    from services import prefect_api

    run = prefect_api.start_run(PIPELINE.full_name, PIPELINE.schedules[0].parameters)
    said(f"the pipeline runs: {server.run_address(run)}")


def _start_workers(processes: "Processes", server: "PrefectServer", devices: Sequence["Device"], fresh: bool) -> None:
    from flows.catalogue import DEVICE_POOL, FOG_POOL, device_queue
    from services import prefect_api, workers

    queues = {device.name: device_queue(device) for device in devices}
    if fresh:
        lost = prefect_api.end_lost({FOG_POOL: None} | ({DEVICE_POOL: [*queues.values()]} if queues else {}))
        if lost:
            note(f"{lost} runs were cut off when their workers stopped; the next ones do what they left")
    missing = {name: queue for name, queue in queues.items() if not processes.running(workers.device_worker(name))}
    if not processes.running(workers.FOG_WORKER):
        workers.start_fog_worker(processes, server, FOG_POOL)
    workers.start_device_workers(processes, server, DEVICE_POOL, missing)
    with step("wait for the fog's worker"):
        end = time.monotonic() + READY_SECONDS
        while not prefect_api.pool_is_ready(FOG_POOL):
            processes.check()
            if time.monotonic() > end:
                log = processes.logs / f"{workers.FOG_WORKER}.log"
                raise UpError(f"the fog's worker has not asked for work within {READY_SECONDS} s; see {log}")
            time.sleep(1)
        processes.check()


def _show(home: Path, as_json: bool) -> bool:
    """Say what runs; returns whether all does that shall."""
    from services.prefect_server import PrefectServer
    from services.processes import Processes
    from services.workers import FOG_WORKER, device_worker

    state = read_state(home)
    if state is None:
        raise UpError(f"nothing was ever started in {home}; rinr up starts it")
    processes = Processes(home)
    server = PrefectServer(home / "prefect", state.port)
    names = ["server", FOG_WORKER, *map(device_worker, state.devices)]
    runs = {name: processes.running(name) for name in names}
    runs["server"] = runs["server"] and server.answers()
    all_up = all(runs.values())
    if as_json:
        print(json.dumps({"up": all_up, "pages": server.ui, "home": str(home), "runs": runs} | asdict(state)))
        return all_up
    for name, there in runs.items():
        mark = "[green]runs[/]" if there else "[red]does not run[/]"
        out.print(f"{escaped(name)}: {mark}")
    out.print(f"fleet {escaped(state.fleet)}, store {escaped(state.store)}", soft_wrap=True)
    if all_up:
        out.print(f"The pages: {server.ui}", soft_wrap=True)
        out.print("rinr up --status says how it stands; rinr down stops it, and all data stays.", soft_wrap=True)
    else:
        out.print(f"rinr up starts what does not run; logs are in {escaped(str(processes.logs))}", soft_wrap=True)
    return all_up


@contextmanager
def _silent(silent: bool) -> Iterator[None]:
    """Leave standard output to the JSON that comes at the end."""
    before, out.quiet = out.quiet, silent
    try:
        yield
    finally:
        out.quiet = before


@contextmanager
def _told_errors(home: Path) -> Iterator[None]:
    """Turn what goes wrong into one message that says what to do next."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise fail(f"the package {error.name} is missing: pip install 'residual-inr[fog,train]'") from None
    except KeyboardInterrupt as stop:
        raise fail("interrupted: rinr up goes on from here, rinr down stops all", exit_code_of(stop)) from None
    except (UpError, ValueError) as error:
        raise fail(str(error)) from None
    except (RuntimeError, OSError) as error:
        where = f"\nThe logs are in {home / 'logs'}; mend the cause and run the same command, or rinr down."
        raise fail(f"{error}{where if (home / 'logs').is_dir() else ''}") from None
