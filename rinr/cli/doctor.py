"""``rinr doctor``: whether this machine, its server, its fleet and its store are fit for work, and what to do."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rinr.cli.console import FAILED, err, escaped, out
from rinr.cli.doctor_findings import Finding, looked_at
from rinr.cli.doctor_machine import look_at_disks, look_at_packages, look_at_python, look_at_torch
from rinr.cli.doctor_places import look_at_fleet, look_at_store
from rinr.cli.doctor_server import DEFAULT_API, look_at_server
from rinr.cli.up_state import DEFAULT_HOME, read_state

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[bold red]problem[/]"}
_WIDTH = 9  # of the column of marks


def doctor(
    fleet: Annotated[
        Path | None, typer.Option(help="Try this fleet file, too.", envvar="RINR_FLEET", show_default=False)
    ] = None,
    store: Annotated[
        str | None, typer.Option(help="Open this weight store, too.", envvar="RINR_STORE", show_default=False)
    ] = None,
    home: Annotated[Path, typer.Option(help="The folder of `rinr up`.", envvar="RINR_HOME")] = DEFAULT_HOME,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Time for one device of the fleet.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
) -> None:
    """Look at Python, torch and its devices, packages, disks, ports, the Prefect server, the fleet and the store.

    Each line says ok, warning or problem, and of the last two what to do. The server is that of PREFECT_API_URL, or
    that of `rinr up` in --home, or whatever is at port 4200. A fleet and a store are looked at where they are named, or
    where `rinr up` was given them.

    Exit codes: 0 no problem, though there may be warnings; 1 a problem; 2 wrong usage.
    """
    state = read_state(home)
    api = os.environ.get("PREFECT_API_URL") or (state.api if state else DEFAULT_API)
    place = store or (state.store if state else None)
    file = fleet or (Path(state.fleet) if state else None)
    looks: dict[str, Callable[[], Iterable[Finding]]] = {
        "Python": look_at_python,
        "torch": look_at_torch,
        "packages": look_at_packages,
        "disks": lambda: look_at_disks(_places(home, place)),
        "server": lambda: look_at_server(api.rstrip("/"), _expected()),
    }
    if file is not None:
        looks["fleet"] = lambda: look_at_fleet(file, seconds)
    if place is not None:
        looks["store"] = lambda: look_at_store(place)
    findings = list(_told(looks, as_json))
    wrong = sum(finding.standing == "problem" for finding in findings)
    doubtful = sum(finding.standing == "warning" for finding in findings)
    if as_json:
        print(json.dumps({"fine": not wrong, "findings": [asdict(finding) for finding in findings]}))
    else:
        out.print(f"{len(findings)} looked at: problems: {wrong}, warnings: {doubtful}")
    if wrong:
        raise typer.Exit(FAILED)


def _told(looks: Mapping[str, Callable[[], Iterable[Finding]]], as_json: bool) -> Iterator[Finding]:
    """Look at one thing after another, and say what was found as it is found."""
    for subject, look in looks.items():
        with err.status(f"looking at {subject} …"):
            found = looked_at(subject, look)
        for finding in found:
            if not as_json:
                mark = _MARKS[finding.standing] + " " * (_WIDTH - len(finding.standing))
                out.print(f"{mark}[bold]{escaped(finding.subject)}[/]: {escaped(finding.what)}", soft_wrap=True)
                if finding.do:
                    out.print(f"{' ' * _WIDTH}→ {escaped(finding.do)}", soft_wrap=True)
            yield finding


def _places(home: Path, store: str | None) -> dict[str, Path]:
    places = {"rinr up": home}
    if store is not None and "://" not in store:
        places["the store"] = Path(store)
    return places


def _expected() -> dict[str, str]:
    """Names and pools of the deployments; none where the packages of a fog node are not installed."""
    try:
        from flows.catalogue import DEPLOYMENTS
    except ModuleNotFoundError:
        return {}
    return {deployment.full_name: deployment.pool for deployment in DEPLOYMENTS}
