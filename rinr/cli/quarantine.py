"""``rinr quarantine``: what ingestion refused, why, and what to do with it."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rinr.cli.console import fail, out
from rinr.cli.store_access import open_store

if TYPE_CHECKING:
    from storage.quarantine import Case
    from storage.store import Store

app = typer.Typer(
    help="What was refused, why, and what to do with it.", no_args_is_help=True, pretty_exceptions_enable=False
)

_STORE = typer.Option("--store", envvar="RINR_STORE", help="URL or folder of the weight store.", show_default=False)
_DEVICE = typer.Option("--device", help="Only this device's.", show_default=False)

StoreUrl = Annotated[str | None, _STORE]
DeviceName = Annotated[str | None, _DEVICE]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="As `list` shows them; a few digits will do.")]

_STANDING = {
    "open": "refused, and not read again while the file does not change",
    "retry": "the next ingestion that finds the file as it was reads it again",
    "dropped": "given up: it stays out while the file does not change, and is not listed",
    "taken": "the file was taken since, or its picture encoded: nothing is left to do",
}


@app.command("list")
def list_cases(
    store: StoreUrl = None,
    device: DeviceName = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also what was taken since, asked for again or given up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what is refused, the newest first."""
    _, found = _cases(store, device)
    shown = [case for case in found if every or case.standing == "open"]
    if as_json:
        print(json.dumps([_record(case) for case in shown], indent=1))
        return
    if not shown:
        out.print("nothing is in quarantine" + (f" of device {_plain(device)}" if device else ""), markup=False)
        return
    for case in shown:
        refusal = case.refusal
        size = "no file" if refusal.size is None else f"{refusal.size:,} bytes"
        standing = f" [{case.standing}]" if every else ""
        line = f"{case.id}  {_time(refusal.quarantined_at)}  {refusal.device}  {size}{standing}  {refusal.reason}"
        out.print(_plain(line), markup=False, soft_wrap=True)
    out.print(f"{_count(len(shown))}; `rinr quarantine show ID` says more", markup=False)


@app.command()
def show(
    case_id: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it; a few digits will do.")],
    store: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one refusal, what can be done, and where the file stands now."""
    _, found = _cases(store, None)
    (case,) = _chosen(found, [case_id])
    if as_json:
        print(json.dumps(_record(case), indent=1))
        return
    refusal = case.refusal
    lines = {
        "id": case.id,
        "device": refusal.device,
        "path": refusal.path,
        "size": "there is no file of this" if refusal.size is None else f"{refusal.size:,} bytes",
        "file's time": _time(refusal.modified) if refusal.modified else "–",
        "etag": refusal.etag or "–",
        "image id": refusal.image_id or "–",
        "reason": refusal.reason,
        "refused first": _time(case.first),
        "last change": _time(refusal.quarantined_at),
        "standing": f"{case.standing}: {_STANDING[case.standing]}",
        "what to do": _advice(case),
    }
    for name, value in lines.items():
        out.print(_plain(f"{name + ':':15}{value}"), markup=False, soft_wrap=True)


@app.command()
def retry(
    ids: Ids = None,
    store: StoreUrl = None,
    device: DeviceName = None,
    every: Annotated[bool, typer.Option("--all", help="Everything that is open.")] = False,
) -> None:
    """Have the next ingestion read files again: after they were repaired in place, or after an upgrade."""
    if sum((bool(ids), every, device is not None)) != 1:
        raise fail("give ids, or --all, or --device NAME", code=2)
    opened, found = _cases(store, device)
    chosen = _chosen(found, ids) if ids else [case for case in found if case.standing == "open"]
    _decide(opened, chosen, "retry", "will be read again by the next ingestion")


@app.command()
def drop(ids: Annotated[list[str], typer.Argument(metavar="ID...")], store: StoreUrl = None) -> None:
    """Give files up: they stay out while they do not change, and are no longer listed."""
    opened, found = _cases(store, None)
    _decide(opened, _chosen(found, ids), "drop", "dropped")


def _decide(store: "Store", chosen: "Sequence[Case]", verb: str, done: str) -> None:
    from storage import quarantine
    from storage.store import StoreError

    taken = [case.id for case in chosen if case.standing == "taken"]
    if taken:
        raise fail(f"{', '.join(taken)}: taken since, so that there is nothing to {verb}; nothing was changed", code=2)
    try:
        changed = {"retry": quarantine.retry, "drop": quarantine.drop}[verb](store, chosen)
    except StoreError as error:
        raise fail(str(error)) from None
    again = f"; {len(chosen) - changed} already were so" if changed < len(chosen) else ""
    out.print(f"{_count(changed)} {done}{again}", markup=False)


def _cases(url: str | None, device: str | None) -> "tuple[Store, list[Case]]":
    if not url:
        raise fail("which store? give --store URL, or set RINR_STORE", code=2)
    store = open_store(url)
    from storage.quarantine import cases
    from storage.store import StoreError

    try:
        return store, cases(store, device)
    except StoreError as error:
        raise fail(str(error)) from None


def _chosen(found: "Sequence[Case]", ids: Sequence[str]) -> "list[Case]":
    from storage.quarantine import QuarantineError, find_case

    try:
        return list({case.id: case for case in (find_case(found, given) for given in ids)}.values())
    except QuarantineError as error:
        raise fail(str(error), code=2) from None


def _advice(case: "Case") -> str:
    refusal = case.refusal
    if case.standing == "taken":
        return "nothing"
    if case.standing == "retry":
        return "run the ingestion"
    if refusal.size is None:
        what = "correct what the reason names; the next ingestion or encoding that gets by takes this off the list"
    else:
        what = "replace the file on the device: it is read again once its size or time differs; or remove it"
    again, give_up = f"`rinr quarantine retry {case.id}`", f"`rinr quarantine drop {case.id}`"
    return f"{what}. {again} has it judged again as it is, {give_up} gives it up"


def _count(cases: int) -> str:
    return f"{cases:,} {'case' if cases == 1 else 'cases'}"


def _record(case: "Case") -> dict[str, Any]:
    refusal = case.refusal
    return {
        "id": case.id,
        "device": refusal.device,
        "path": refusal.path,
        "size": refusal.size,
        "modified": refusal.modified.isoformat() if refusal.modified else None,
        "etag": refusal.etag,
        "reason": refusal.reason,
        "image_id": refusal.image_id,
        "standing": case.standing,
        "refused_first": case.first.isoformat(),
        "last_change": refusal.quarantined_at.isoformat(),
    }


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _plain(text: str) -> str:
    """Text of a table that anybody may have written, fit for a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
