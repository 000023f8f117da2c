"""``rinr device reset`` and ``rinr device standing``: what the fog node knows of its devices, and a new beginning."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from rinr.cli.console import FAILED, escaped, fail, note, out
from rinr.cli.fleet_access import open_fleet
from rinr.cli.store_access import open_store

if TYPE_CHECKING:
    from storage.delivery import Standing

FleetOption = Annotated[Path, typer.Option("--fleet", help="The fleet file.", envvar="RINR_FLEET")]
StoreOption = Annotated[
    str, typer.Option("--store", envvar="RINR_STORE", help="URL or folder of the weight store.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]


def reset(
    name: Annotated[str, typer.Argument(help="The device's name.")],
    store: StoreOption,
    fleet: FleetOption = Path("fleet.toml"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send a device everything anew: for one that was wiped, or whose disk was exchanged.

    A new generation of shards begins; files of the earlier one leave its inbox with the next delivery.

    Exit codes: 0 done; 1 failed, or not wanted after all; 2 wrong usage.
    """
    described = open_fleet(fleet)
    from storage.delivery import reset as reset_device
    from storage.delivery import standings
    from storage.fleet import Fleet, FleetError
    from storage.store import StoreError

    try:
        device = described.find(name)
    except FleetError as error:
        raise fail(str(error), code=2) from None
    opened = open_store(store)
    try:
        (before,) = standings(opened, Fleet(devices=(device,)))
        if not yes:
            note(
                f"{name} was sent {before.images_sent:,} images in {before.shards_sent:,} shards of generation "
                f"{before.generation}; all that it may have is sent again"
            )
            if not typer.confirm("Begin a new generation?", default=False, err=True):
                note("nothing was changed")
                raise typer.Exit(FAILED)
        generation = reset_device(opened, name)
    except StoreError as error:
        raise fail(str(error)) from None
    if as_json:
        print(json.dumps({"device": name, "generation": generation}))
    else:
        out.print(f"{name}: generation {generation} begins with the next delivery", soft_wrap=True)


def standing(
    store: StoreOption,
    fleet: FleetOption = Path("fleet.toml"),
    as_json: JsonOption = False,
) -> None:
    """Show what each device was sent, what of it it has acknowledged, and what it refused.

    Exit codes: 0 all is well; 1 failed, or a device is silent or has refused something.
    """
    described = open_fleet(fleet)
    from storage.delivery import standings
    from storage.store import StoreError

    try:
        found = standings(open_store(store), described)
    except StoreError as error:
        raise fail(str(error)) from None
    if as_json:
        extra = [
            {"shards_waiting": one.shards_waiting, "images_waiting": one.images_waiting} | asdict(one) for one in found
        ]
        print(json.dumps({"devices": extra}, default=_spelled))
    else:
        out.print(_table(found), soft_wrap=False)
    if any(one.silent or one.refused for one in found):
        raise typer.Exit(FAILED)


def _table(found: list["Standing"]) -> Table:
    table = Table()
    table.add_column("device", no_wrap=True)
    table.add_column("images it has", justify="right")
    table.add_column("that wait", justify="right")
    table.add_column("last heard")
    table.add_column("what is wrong, and what to do", ratio=1)
    for one in found:
        wrong = [f"[bold red]{escaped(name)}[/]: {escaped(reason)}" for name, reason in one.refused]
        if one.silent:
            wrong.insert(0, "[bold red]silent[/]: see that it is up and its worker runs")
        if one.waiting_since:
            wrong.append(f"[dim]{one.bytes_waiting:,} bytes wait since {_time(one.waiting_since)}[/]")
        table.add_row(
            escaped(one.device),
            f"{one.images_acknowledged:,}",
            f"{one.images_waiting:,}",
            _time(one.last_heard),
            "\n".join(wrong) or "[green]fine[/]",
        )
    return table


def _time(value: datetime | None) -> str:
    return "–" if value is None else f"{value:%Y-%m-%d %H:%M}"


def _spelled(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
