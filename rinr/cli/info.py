"""``rinr info``: what a weight store holds."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from rinr.cli.console import decibels, fail, out
from rinr.cli.store_access import open_store


def info(
    store: Annotated[str, typer.Option(help="URL or folder of the weight store.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Say how many images a store holds, in how many bytes, at what PSNR.

    Exit codes: 0 all done; 1 failed, for example because there is no store.
    """
    opened = open_store(store)
    from storage.store import StoreError

    try:
        summary = opened.summary()
    except StoreError as error:
        raise fail(str(error)) from None
    if as_json:
        print(json.dumps(asdict(summary)))
        return
    table = Table(title=f"weight store {store}", show_header=False)
    per_image = max(summary.images, 1)
    table.add_row("images", f"{summary.images:,}")
    total = summary.bytes_total + summary.bytes_shared
    table.add_row("bytes", f"{total:,}  ({total / per_image:,.0f} an image)")
    table.add_row("  background", f"{summary.bytes_background:,}")
    table.add_row("  objects", f"{summary.bytes_objects:,}")
    table.add_row("  overhead", f"{summary.bytes_overhead:,}")
    if summary.bytes_shared:
        table.add_row("  shared in clips", f"{summary.bytes_shared:,}")
    table.add_row("background PSNR", decibels(summary.background_db))
    table.add_row("object PSNR", decibels(summary.object_db))
    table.add_row("families", ", ".join(summary.families))
    out.print(table)
