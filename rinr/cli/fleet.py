"""``rinr fleet``: writing a fleet file, and trying what it says of each device."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from rinr.cli.console import FAILED, err, escaped, fail, note, out, progress_bar
from rinr.cli.fleet_access import open_fleet, secrets_of
from rinr.files import write_whole

if TYPE_CHECKING:
    from storage.fleet_check import DeviceCheck

fleet_app = typer.Typer(
    help="The devices that this fog node serves: write their file, and try what it says.", no_args_is_help=True
)

FleetPath = Annotated[Path, typer.Argument(help="The fleet file.", envvar="RINR_FLEET")]
Option = list[str] | None


@fleet_app.command()
def check(
    fleet: FleetPath = Path("fleet.toml"),
    device: Annotated[Option, typer.Option(help="Only this device; may be given several times.")] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="Time for one device.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Try every URL, credential, key, label file and clock of a fleet, and say what is wrong with each device.

    Nothing on the devices is changed but that a small hidden file is put into inboxes and removed again.

    Exit codes: 0 all is well; 1 something is wrong; 2 wrong usage.
    """
    found = open_fleet(fleet)
    from storage.fleet import FleetError
    from storage.fleet_check import check_devices, check_fog

    try:
        devices = [found.find(name) for name in dict.fromkeys(device)] if device else list(found.devices)
    except FleetError as error:
        raise fail(str(error), code=2) from None
    with progress_bar(f"trying {len(devices)} devices") as tell:
        checks = check_devices(devices, secrets_of(devices, found.fog), seconds=seconds, progress=tell)
    fog = check_fog(found.fog, secrets_of(devices, found.fog))
    wrong = sum(bool(one.findings) for one in checks)
    if as_json:
        told = [{"fine": not one.findings} | asdict(one) for one in checks]
        of_fog = {"fine": fog is None, "findings": [asdict(fog)] if fog else []}
        print(json.dumps({"fleet": str(fleet), "fine": not wrong and not fog, "fog": of_fog, "devices": told}))
    else:
        out.print(_table(checks), soft_wrap=False)
        if fog:
            out.print(f"[bold red]{fog.field}[/]: {escaped(fog.what)}", soft_wrap=True)
        out.print(f"{len(checks) - wrong} of {len(checks)} devices are fine")
    if wrong or fog:
        raise typer.Exit(FAILED)


@fleet_app.command()
def init(
    fleet: Annotated[Path, typer.Argument(help="The fleet file to write.")] = Path("fleet.toml"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    name: Annotated[str | None, typer.Option(help="Of one device: nothing is asked then.")] = None,
    storage: Annotated[str | None, typer.Option(help="Where its JPEGs lie: folder or URL.")] = None,
    inbox: Annotated[str | None, typer.Option(help="Where it finds what is delivered to it: folder or URL.")] = None,
    home: Annotated[str | None, typer.Option(help="The device's own folder; /var/lib/rinr/NAME if not said.")] = None,
    labels: Annotated[str, typer.Option(help="Format of its labels: coco, yolo or voc.")] = "coco",
    storage_option: Annotated[
        Option, typer.Option(help="KEY=VALUE; env:NAME or block:name as the value refers to a secret.")
    ] = None,
    inbox_option: Annotated[Option, typer.Option(help="Likewise for the inbox.")] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The device's public key, as `rinr keys list` shows it on the device.")
    ] = None,
) -> None:
    """Write a fleet file: asks for the devices one after another, or takes one from the options.

    Secrets are never asked for: the file says in which environment variables they stand. The fog node signs with the
    key in the folder `keys` beside the file; where there is none, this says how to make one.

    Exit codes: 0 written; 1 failed, for example because the file is there; 2 wrong usage.
    """
    if fleet.exists() and not force:
        raise fail(f"{fleet} is there already; give another name, or --force to write over it")
    if name is None:
        if storage or inbox or home or storage_option or inbox_option or public_key:
            raise fail("give --name as well, or nothing, to be asked", code=2)
        tables = _ask_all()
    else:
        if not storage or not inbox:
            raise fail("give --storage and --inbox as well", code=2)
        table = {
            "name": name,
            "storage": storage,
            "storage_options": _options(storage_option),
            "labels": {"format": labels},
            "inbox": inbox,
            "inbox_options": _options(inbox_option),
            "home": home or f"/var/lib/rinr/{name}",
        } | ({"public_key": public_key} if public_key else {})
        faults = _faults([table])
        if faults:
            raise fail(faults, code=2)
        tables = [table]
    try:
        write_whole(fleet, _text(tables).encode())
    except OSError as error:
        raise fail(f"{fleet} cannot be written: {error.strerror}") from None
    written = open_fleet(fleet)
    out.print(f"{escaped(str(fleet))} written; try it: rinr fleet check {escaped(str(fleet))}", soft_wrap=True)
    from storage.fleet_check import check_fog

    if check_fog(written.fog, secrets_of(written.devices, written.fog)):
        note(f"the fog node has no key to sign with yet; make one: rinr keys new --keys {written.fog.keyring}")


def _table(checks: Sequence["DeviceCheck"]) -> Table:
    table = Table()
    table.add_column("device", no_wrap=True)
    table.add_column("pictures", justify="right")
    table.add_column("labels")
    table.add_column("boxes")
    table.add_column("what is wrong, and what to do", ratio=1)
    for one in checks:
        faults = "\n".join(f"[bold red]{finding.field}[/]: {escaped(finding.what)}" for finding in one.findings)
        notes = "\n".join(f"[dim]{escaped(text)}[/]" for text in one.notes)
        table.add_row(
            escaped(one.device),
            "–" if one.pictures is None else f"{one.pictures:,}",
            escaped(one.labels or "–"),
            "[green]yes[/]" if one.inbox and one.outbox else f"[red]no {'out' if one.inbox else 'in'}box[/]",
            faults or ("[green]fine[/]" + (f"\n{notes}" if notes else "")),
        )
    return table


def _text(tables: Sequence[dict[str, Any]]) -> str:
    from storage.fleet import Device, Fleet
    from storage.fleet_file import fleet_toml

    return fleet_toml(Fleet(devices=tuple(Device(**table) for table in tables)))


def _faults(tables: Sequence[dict[str, Any]]) -> str | None:
    """What is wrong with devices that are not written yet, in words; ``None`` where they are fine."""
    from storage.fleet_file import FleetError, check_tables

    try:
        check_tables(tables)
    except FleetError as error:
        return str(error)
    return None


def _options(pairs: Sequence[str] | None) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise fail(f"an option is {key[:40]!r}, expected KEY=VALUE", code=2)
        kind, colon, rest = value.partition(":")
        options[key] = {kind: rest} if colon and kind in ("env", "block") else value
    return options


def _ask_all() -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = []
    while True:
        table = _ask_device(len(tables) + 1)
        faults = _faults([*tables, table])
        if faults:
            note(f"{faults}\nonce more:")
            continue
        tables.append(table)
        if not typer.confirm("Another device?", default=False, err=True):
            return tables


def _ask_device(number: int) -> dict[str, Any]:
    err.print(f"[bold]device {number}[/]")
    name = _ask("Name (lower-case letters, digits, hyphens)", f"camera-{number}")
    storage = _ask("Storage, where its JPEGs lie (a folder, s3://, sftp://, http://)")
    storage_options = _ask_options(storage, name)
    labels: dict[str, Any] = {"format": _ask("Labels (coco, yolo, voc)", "coco")}
    what = "COCO file" if labels["format"] == "coco" else "Folder of the label files (. for beside the pictures)"
    path = _ask(f"{what}, within the storage", "annotations.json" if labels["format"] == "coco" else ".")
    labels["path"] = "" if path == "." else path
    if labels["format"] == "yolo":
        labels["classes"] = _ask("File of class names, within the storage", "classes.txt")
    inbox = _ask("Inbox, where it finds what is delivered (a folder, s3://, sftp://)")
    same = storage_options and inbox.split("://", 1)[0] == storage.split("://", 1)[0]
    reuse = same and typer.confirm("The same options for the inbox?", default=True, err=True)
    table = {
        "name": name,
        "storage": storage,
        "storage_options": storage_options,
        "labels": labels,
        "inbox": inbox,
        "inbox_options": storage_options if reuse else _ask_options(inbox, name),
        "home": _ask("Home, a folder on the device itself", f"/var/lib/rinr/{name}"),
    }
    key = _ask("Its public key, as `rinr keys new` printed it on the device (empty: what it sends is not checked)", "")
    return table | ({"public_key": key} if key else {})


def _ask_options(url: str, name: str) -> dict[str, Any]:
    """Where the secrets of a URL stand, and what else its scheme needs."""
    prefix = name.upper().replace("-", "_")
    scheme = url.split("://", 1)[0] if "://" in url else ""
    options: dict[str, Any] = {}
    if scheme in ("s3", "s3a"):
        endpoint = _ask("Address of the S3 server (empty: AWS)", "")
        options |= {"endpoint_url": endpoint} if endpoint else {}
        for key, variable in (("key", f"{prefix}_KEY"), ("secret", f"{prefix}_SECRET")):
            options |= _ask_reference(key, variable)
    elif scheme in ("sftp", "ssh"):
        key_file = _ask("Private key file (empty: a password)", "")
        options |= {"client_keys": [key_file]} if key_file else _ask_reference("password", f"{prefix}_PASSWORD")
    return options


def _ask_reference(key: str, variable: str) -> dict[str, Any]:
    chosen = _ask(f"Environment variable with the {key} (- for none)", variable)
    return {} if chosen == "-" else {key: {"env": chosen}}


def _ask(question: str, default: str | None = None) -> str:
    prompt: Callable[..., Any] = typer.prompt
    return str(prompt(question, default=default, err=True, show_default=bool(default))).strip()
