"""What a demo shows: a line for every stage that ends, bars for what is under way, and the tables at the end."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich import box
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from rinr.cli.console import decibels, out

if TYPE_CHECKING:
    from services.prefect_api import RunProgress

_PLAIN: dict[str, Any] = {"box": box.SIMPLE_HEAD, "title_justify": "left", "pad_edge": False, "padding": (0, 1, 0, 0)}
"""Tables that fit a terminal of 80 columns."""

_STAGES = {"ingest": "ingest", "encode": "encode", "fit": "encode", "deliver": "deliver", "device": "train"}


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say that something is under way, and when it is done how long it took."""
    start = time.monotonic()
    with out.status(f"{what} …"):
        yield
    said(what, time.monotonic() - start)


def said(what: str, seconds: float | None = None) -> None:
    """A line for something that is done."""
    out.print(
        f"[green]✓[/] {escape(what)}" + (f"  [dim]{seconds:.1f} s[/]" if seconds is not None else ""), soft_wrap=True
    )


class RunView:
    """Follows the runs of a pipeline on the terminal."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=out,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> "RunView":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, runs: Sequence["RunProgress"]) -> None:
        """Show how far the runs are; the pipeline's own run comes first and is not shown."""
        for run in runs[1:]:
            if run.flow_run_id in self._ended or run.flow not in _STAGES:
                continue
            if run.flow_run_id not in self._tasks:
                self._tasks[run.flow_run_id] = self._bars.add_task(_title(run), total=None, words="")
            task = self._tasks[run.flow_run_id]
            if run.percent is not None:
                self._bars.update(task, total=100, completed=run.percent, words=run.progress or "")
            if run.finished:
                self._ended.add(run.flow_run_id)
                self._bars.update(task, visible=False)
                mark = "[green]✓[/]" if run.state == "COMPLETED" else "[red]✗[/]"
                out.print(f"{mark} {escape(_title(run))}  [dim]{run.seconds:.1f} s[/]")


def print_report(report: Mapping[str, Any]) -> None:
    """The tables of a pipeline's ``report.json``."""
    comparison = report.get("comparison")
    if comparison:
        table = Table(title=f"The same {comparison['frames']} frames in several ways", **_PLAIN)
        table.add_column("")
        for name in ("bytes a frame", "background", "object"):
            table.add_column(name, justify="right")
        for row in comparison["rows"]:
            table.add_row(
                row["name"],
                f"{row['bytes_a_frame']:,.0f}",
                decibels(row["background_db"]),
                decibels(row["object_db"]),
            )
        out.print(table)
    if report.get("devices"):
        table = Table(title="Training on the devices, on frames decoded from weights", **_PLAIN)
        table.add_column("", overflow="fold", min_width=8)
        for name in (
            "frames",
            "bytes",
            "loss",
            "mAP50\ndecoded",
            "mAP50\nown",
            "50:95\nown",
            "decode\ns",
            "train\ns",
        ):
            table.add_column(name, justify="right", no_wrap=True)
        for row in report["devices"]:
            table.add_row(
                escape(row["device"]),
                f"{row['frames']}",
                f"{row['shard_bytes']:,}",
                _change(row["loss_first"], row["loss_last"]),
                _change(row["decoded_map50_before"], row["decoded_map50_after"]),
                _change(row["own_map50_before"], row["own_map50_after"]),
                _fraction(row["own_map50_95_after"]),
                f"{row['decode_seconds']:.1f}",
                f"{row['train_seconds']:.1f}",
            )
        out.print(table)
        out.print("Before→after training; own: the device's own JPEGs, not trained on.", style="dim")
    store = report.get("store")
    if store:
        shared = f", {store['bytes_shared']:,} shared in clips" if store["bytes_shared"] else ""
        out.print(
            f"{store['images']} images in the store, {store['bytes_total'] + store['bytes_shared']:,} bytes: "
            f"{store['bytes_background']:,} background, {store['bytes_objects']:,} objects, "
            f"{store['bytes_overhead']:,} the rest{shared}",
            soft_wrap=True,
        )
    refused = sum(device["refused"] for device in report.get("ingested", ()))
    if refused:
        out.print(f"{refused} files were refused; the store's quarantine says why", style="yellow")
    stages = ", ".join(f"{stage['name']} {stage['seconds']:.1f}" for stage in report.get("stages", ()))
    out.print(f"Seconds: {stages}")


def _title(run: "RunProgress") -> str:
    return run.name if run.flow == "device" else _STAGES[run.flow] if run.flow != "fit" else "fit on Dask workers"


def _change(before: float | None, after: float | None) -> str:
    return "–" if before is None or after is None else f"{before:.2f}→{after:.2f}"


def _fraction(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
