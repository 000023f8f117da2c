"""``rinr keys``: the keys that sign what is delivered and what is acknowledged, and those that are trusted."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rinr.cli.console import escaped, fail, out

if TYPE_CHECKING:
    from storage.shards.keyring import Entry, Keyring

app = typer.Typer(
    help="The keys that sign what travels between the fog and its devices, and those that are trusted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Folder = Annotated[
    Path, typer.Option("--keys", envvar="RINR_KEYS", help="The keyring's folder: the fog's, or a device's HOME/keys.")
]
Label = Annotated[str, typer.Option(help="What people call the key.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of sentences.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="16 digits, as `list` shows them.", show_default=False)]

DEFAULT = Path("keys")


@app.command()
def new(keys: Folder = DEFAULT, label: Label = "", as_json: AsJson = False) -> None:
    """Make a key of one's own. The first one signs; later ones stand by until `rotate`.

    Exit codes: 0 done; 1 failed.
    """
    with _keyring(keys) as keyring:
        entry = _entry(keyring, keyring.new(label).id)
        _show(entry, as_json, f"made the key {entry.id} ({entry.status}); whoever is to trust it runs:")


@app.command("list")
def list_keys(keys: Folder = DEFAULT, as_json: AsJson = False) -> None:
    """List all keys with what they are for: active, standby, retired, trusted, revoked.

    Exit codes: 0 done; 1 failed.
    """
    with _keyring(keys) as keyring:
        entries = keyring.entries()
    if as_json:
        print(json.dumps([_record(entry) for entry in entries], indent=1))
        return
    if not entries:
        sentence = f"no keys in {keys}; make one with: rinr keys new, or trust one: rinr keys trust KEY"
        out.print(escaped(sentence), soft_wrap=True)
    for entry in entries:
        line = f"{entry.id}  {entry.status:8} {entry.added_at:%Y-%m-%d %H:%M}  {entry.key.text}  {entry.label}"
        out.print(escaped(line.rstrip()), soft_wrap=True)


@app.command()
def rotate(keys: Folder = DEFAULT, as_json: AsJson = False) -> None:
    """Let another key sign: the newest that stands by, or a new one. The old one stays trusted.

    Have it trusted at the other end first: make it with `new`, `trust` it there, then rotate.

    Exit codes: 0 done; 1 failed.
    """
    with _keyring(keys) as keyring:
        entry = _entry(keyring, keyring.rotate().id)
        _show(entry, as_json, f"{entry.id} signs from now on; whoever does not trust it yet runs:")


@app.command()
def trust(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Another's public key, as `new` and `list` show it.")],
    keys: Folder = DEFAULT,
    label: Label = "",
    as_json: AsJson = False,
) -> None:
    """Trust what another's key signs.

    Exit codes: 0 done; 1 failed.
    """
    with _keyring(keys) as keyring:
        entry = _entry(keyring, keyring.trust(key, label).id)
        is_own = entry.status != "trusted"
        sentence = f"is a key of {keys} itself ({entry.status})" if is_own else f"is trusted in {keys}"
        _show(entry, as_json, f"{entry.id} {sentence}")


@app.command()
def revoke(
    key_id: KeyId,
    keys: Folder = DEFAULT,
    force: Annotated[
        bool, typer.Option("--force", help="The key that signs as well; another one is made to sign.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Trust nothing any more that a key signed, ever. Of one's own key the private half is deleted.

    Exit codes: 0 done; 1 failed.
    """
    with _keyring(keys) as keyring:
        keyring.revoke(key_id, force=force)
        entry = _entry(keyring, key_id)
        _show(entry, as_json, f"{entry.id} is revoked in {keys}; revoke it wherever else it is trusted")


@contextmanager
def _keyring(folder: Path) -> "Iterator[Keyring]":
    try:
        from storage.shards.keyring import Keyring, KeyringError
    except ModuleNotFoundError as error:
        raise fail(
            f"keys need the package {error.name}: pip install 'residual-inr[fog]', or 'residual-inr[train]' on a device"
        ) from None
    try:
        yield Keyring(folder)
    except KeyringError as error:
        raise fail(str(error)) from None


def _entry(keyring: "Keyring", key_id: str) -> "Entry":
    return next(entry for entry in keyring.entries() if entry.id == key_id)


def _show(entry: "Entry", as_json: bool, sentence: str) -> None:
    if as_json:
        print(json.dumps(_record(entry), indent=1))
        return
    out.print(escaped(sentence), soft_wrap=True)
    if sentence.endswith(":"):
        out.print(f"  rinr keys trust {entry.key.text}", soft_wrap=True)


def _record(entry: "Entry") -> dict[str, Any]:
    return {
        "id": entry.id,
        "key": entry.key.text,
        "status": entry.status.value,
        "label": entry.label,
        "added_at": entry.added_at.isoformat(),
    }
