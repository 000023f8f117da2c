"""What all commands share: where words go, progress bars, and exit codes that mean something."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

OK, FAILED, USAGE, SOME_REFUSED = 0, 1, 2, 3
EXIT_CODES = "Exit codes: 0 all done; 1 failed; 2 wrong usage; 3 done, but some files were refused."

out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)

_SAFE_STEM = re.compile(r"[A-Za-z0-9._-]{1,100}")


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Say what is wrong in one line on standard error; raise what this returns."""
    err.print(f"[bold red]error:[/] {escaped(message)}", soft_wrap=True)
    return typer.Exit(code)


def note(message: str) -> None:
    """Say something that is no result, on standard error."""
    err.print(escaped(message), soft_wrap=True, style="yellow")


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with time left on standard error; gives a function to tell ``(done, total)``."""
    with changing_bar() as tell:
        tell(what, 0, None)
        yield lambda done, total: tell(what, done, total)


@contextmanager
def changing_bar() -> Iterator[Callable[[str, int, int | None], None]]:
    """Likewise for work of several kinds; gives a function to tell ``(what, done, total)``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does: with :class:`KeyboardInterrupt`."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return

    def stop(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM to the end of the block: what is being written down is written and counted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {n: signal.signal(n, lambda number, _: held.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise KeyboardInterrupt(held[0])


def exit_code_of(stop: KeyboardInterrupt) -> int:
    """What shells report of a program that a signal ended: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (stop.args[0] if stop.args else signal.SIGINT)


def safe_stem(name: str, otherwise: str) -> str:
    """The stem of a file's name where it is plain, and ``otherwise`` where it is not: names never choose a path."""
    stem = Path(name.rsplit("/", 1)[-1]).stem
    return stem if _SAFE_STEM.fullmatch(stem) and set(stem) != {"."} else otherwise


def device_name(folder: str) -> str:
    """A folder's name as the name of a device: lower-case letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:63] or "device"


def decibels(value: float | None) -> str:
    """A PSNR for people."""
    return "–" if value is None else f"{value:.2f} dB"


def escaped(text: str) -> str:
    """Text from anywhere fit for the terminal: no control characters, no markup of rich."""
    return escape("".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text))
