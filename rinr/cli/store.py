"""``rinr store``: verify, repair, count and maintain a weight store."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from rinr.cli.console import FAILED, fail, note, out, progress_bar
from rinr.cli.store_access import open_store

if TYPE_CHECKING:
    from storage.upkeep.statistics import Share, Statistics
    from storage.upkeep.verification import Damage

app = typer.Typer(
    help="Look after a weight store: verify, repair, stats, compact, vacuum.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

StoreOption = Annotated[
    str, typer.Option("--store", envvar="RINR_STORE", help="URL or folder of the weight store.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")]


@app.command()
def verify(store: StoreOption, as_json: JsonOption = False) -> None:
    """Read everything, check every file, row, checksum and relation, and name what is damaged.

    Exit codes: 0 clean; 1 damaged, or there is no store.
    """
    url = open_store(store).url
    from storage.store import StoreError
    from storage.upkeep.verification import verify as verify_store

    try:
        with progress_bar("verifying") as tell:
            damage = verify_store(url, tell)
    except StoreError as error:
        raise fail(str(error)) from None
    if as_json:
        print(json.dumps(asdict(damage) | {"clean": damage.clean}))
    else:
        _show_damage(damage)
    if not damage.clean:
        raise typer.Exit(FAILED)


@app.command()
def repair(
    store: StoreOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take what is damaged out of the tables; the next ingest and encode fill what is then missing.

    What is taken out is kept in the folder `damaged` of the store. Exit codes: 0 clean now, or nothing was to be done
    (with --dry-run: clean already); 1 damaged still.
    """
    url = open_store(store).url
    from storage.store import StoreError
    from storage.upkeep.repair import repair as repair_store

    refused = False

    def ask(damage: "Damage", steps: tuple[str, ...]) -> bool:
        nonlocal refused
        if damage.clean:
            return False
        _show_damage(damage)
        for step in steps:
            out.print(f"  - {escape(step)}", soft_wrap=True)
        refused = dry_run or not (yes or typer.confirm("Do this?", default=False))
        return not refused

    try:
        result = repair_store(url, ask=ask)
    except StoreError as error:
        raise fail(str(error)) from None
    if result.before.clean:
        out.print("nothing is damaged")
        return
    if refused:
        note("nothing was changed")
        raise typer.Exit(FAILED)
    for table, rows in result.dropped:
        out.print(f"{table}: {rows:,} damaged or double rows dropped")
    for table, rows in result.rescued:
        out.print(f"{table}: {rows:,} rows of damaged files written anew")
    if result.aside:
        out.print(f"{len(result.aside):,} files with what was taken out are in {escape(url)}/damaged")
    if result.after.awaited:
        out.print(f"{result.after.awaited:,} rows are awaited: run `ingest` and `encode`", soft_wrap=True)
    if not result.after.clean:
        _show_damage(result.after)
        raise typer.Exit(FAILED)
    out.print("the store is clean")


@app.command()
def stats(
    store: StoreOption,
    as_json: JsonOption = False,
    png: Annotated[Path | None, typer.Option("--png", help="Write a picture of it to this file.")] = None,
) -> None:
    """Show rows, files, bytes, growth by day, and the share of each device, family, preset and encoding.

    Exit codes: 0 all done; 1 failed, for example because there is no store.
    """
    url = open_store(store).url
    from storage.store import StoreError
    from storage.upkeep.statistics import statistics

    try:
        found = statistics(url)
    except StoreError as error:
        raise fail(str(error)) from None
    if png is not None:
        _write_picture(found, png)
    if as_json:
        print(json.dumps(asdict(found) | {"bytes": found.bytes, "ratio": found.ratio}))
    else:
        _show_statistics(found)


@app.command()
def compact(
    store: StoreOption,
    loose: Annotated[
        int | None, typer.Option(min=1, help="Leave a table with fewer small or unsorted files than this as it is.")
    ] = None,
) -> None:
    """Rewrite tables of many small files sorted by image, so that reading stays fast; others may read and write.

    Exit codes: 0 all done; 1 failed.
    """
    opened = open_store(store)
    from storage.store import LOOSE_FILES, StoreError

    try:
        rewrites = opened.compact(loose=loose or LOOSE_FILES)
    except StoreError as error:
        raise fail(str(error)) from None
    for rewrite in rewrites:
        out.print(f"{rewrite.table}: {rewrite.files_before:,} files are now {rewrite.files_after:,}")
    if not rewrites:
        out.print("nothing is to be compacted")


@app.command()
def vacuum(
    store: StoreOption,
    keep: Annotated[
        float, typer.Option("--keep-hours", min=0, help="Keep what was replaced less than so many hours ago.")
    ] = 168.0,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Nobody else uses the store now: allows less than an hour.")
    ] = False,
) -> None:
    """Remove files that no table names any more; what readers may still be at is kept.

    Exit codes: 0 all done; 1 failed; 2 wrong usage.
    """
    opened = open_store(store)
    from storage.store import StoreError

    try:
        removed = opened.vacuum(timedelta(hours=keep), exclusive=exclusive)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--keep-hours") from None
    except StoreError as error:
        raise fail(str(error)) from None
    out.print(f"{removed:,} files removed")


def _show_damage(damage: "Damage") -> None:
    table = Table(title=f"weight store {escape(damage.url)}, version {damage.version}")
    for name in ("table", "rows", "files", "bytes", "orphans", "damage"):
        table.add_column(name, justify="left" if name in ("table", "damage") else "right")
    for state in damage.tables:
        counted = [f"{number:,} x {kind}" for name, kind, number in damage.counts if name == state.name]
        orphans = f"{state.orphans:,} ({state.orphan_bytes:,} bytes)" if state.orphans else ""
        cells = (f"{state.rows:,}", f"{state.files:,}", f"{state.bytes:,}", orphans)
        table.add_row(state.name, *cells, f"[red]{', '.join(counted)}[/]" if counted else "none")
    out.print(table)
    for finding in damage.findings:
        where = [finding.table, finding.kind]
        if finding.file is not None:
            where.append(finding.file)
        if finding.row_group is not None:
            where.append(f"row group {finding.row_group}")
        if finding.row is not None:
            where.append(f"row {finding.row}")
        out.print(escape(f"{', '.join(where)}: {finding.what}"), soft_wrap=True)
        if finding.key is not None:
            out.print(escape(f"    {finding.key}"), soft_wrap=True)
    unlisted = sum(number for _, _, number in damage.counts) - len(damage.findings)
    if unlisted:
        out.print(f"... and {unlisted:,} more")
    if damage.landed:
        out.print(f"{damage.landed:,} landed JPEGs wait to be encoded")
    if damage.awaited:
        out.print(f"{damage.awaited:,} rows that a repair took out are awaited: run `ingest` and `encode`")
    out.print("[green]clean[/]" if damage.clean else "[red]damaged[/]: `rinr store repair` says what it would do")


def _show_statistics(found: "Statistics") -> None:
    sizes = Table(title=f"weight store {escape(found.url)}, version {found.version}")
    for name in ("table", "rows", "files", "bytes", "log bytes", "orphaned bytes"):
        sizes.add_column(name, justify="left" if name == "table" else "right")
    for size in found.tables:
        numbers = (size.rows, size.files, size.bytes, size.log_bytes, size.orphan_bytes)
        sizes.add_row(size.name, *(f"{number:,}" for number in numbers))
    out.print(sizes)
    rows = next(size.rows for size in found.tables if size.name == "images")
    ratio = "" if found.ratio is None else f"; files over payloads {found.ratio:.3f}"
    out.print(f"{found.images:,} images in {rows:,} rows, {found.payload_bytes:,} bytes of payloads{ratio}")
    out.print(f"in quarantine: {found.refused:,} refused, {found.to_retry:,} to be read again")
    _show_shares("device (a row counts with each that took the picture)", found.devices, found.payload_bytes)
    _show_shares("family", found.families, found.payload_bytes)
    _show_shares("preset", found.presets, found.payload_bytes)
    _show_shares("encoding", found.encodings, found.payload_bytes)
    _show_shares("day of writing (UTC)", found.days[-14:], found.payload_bytes)


def _show_shares(title: str, shares: "Sequence[Share]", total: int) -> None:
    table = Table()
    table.add_column(title)
    for name in ("rows", "payload bytes", "share"):
        table.add_column(name, justify="right")
    for share in shares:
        portion = f"{share.bytes / total:.1%}" if total else ""
        table.add_row(escape(share.name), f"{share.rows:,}", f"{share.bytes:,}", portion)
    out.print(table)


def _write_picture(found: "Statistics", path: Path) -> None:
    from rinr.files import write_whole
    from storage.upkeep.statistics_picture import draw

    try:
        write_whole(path, draw(found))
    except ImportError:
        raise fail("--png needs matplotlib: pip install 'residual-inr[train]'") from None
    except OSError as error:
        raise fail(f"cannot write {path}: {error.strerror or error}") from None
