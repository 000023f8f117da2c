"""The program ``rinr``: its commands, each in a file of its own."""

from typing import Annotated

import typer

from rinr.cli.bench import bench
from rinr.cli.clip import app as clip_app
from rinr.cli.completion import complete_values
from rinr.cli.decode import decode
from rinr.cli.demo import demo, stop, ui
from rinr.cli.device import app as device_app
from rinr.cli.doctor import doctor
from rinr.cli.encode import encode
from rinr.cli.examples import epilog
from rinr.cli.fleet import fleet_app
from rinr.cli.info import info
from rinr.cli.inspect import inspect
from rinr.cli.keys import app as keys_app
from rinr.cli.mosaic import mosaic
from rinr.cli.plan import plan
from rinr.cli.quarantine import app as quarantine_app
from rinr.cli.sample import sample
from rinr.cli.store import app as store_app
from rinr.cli.up import down, up
from rinr.version import __version__

app = typer.Typer(
    help="Residual-INR: training images as tiny neural networks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (encode, decode, inspect, info, mosaic, bench, plan, sample, demo, ui, stop, doctor, up, down):
    app.command()(command)
app.add_typer(clip_app, name="clip")
app.add_typer(store_app, name="store")
app.add_typer(fleet_app, name="fleet")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(device_app, name="device")
app.add_typer(keys_app, name="keys")


def _complete(group: typer.Typer, *words: str) -> None:
    """Give every command its examples, and its options proposals for the shell."""
    for found in group.registered_commands:
        if found.callback is not None:
            found.epilog = epilog(" ".join((*words, found.name or found.callback.__name__)))
            complete_values(found.callback)
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _complete(below.typer_instance, *words, str(below.name))


_complete(app)


def _version(value: bool) -> None:
    if value:
        print(f"rinr {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Residual-INR: training images as tiny neural networks."""
