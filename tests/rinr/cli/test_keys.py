import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rinr.cli.main import app
from storage.shards.keyring import Keyring


@pytest.fixture
def rinr(tmp_path: Path) -> Callable[..., Result]:
    def run(*arguments: str, **environment: str) -> Result:
        variables = {"RINR_KEYS": str(tmp_path / "keys"), "COLUMNS": "80", **environment}
        return CliRunner().invoke(app, ["keys", *arguments], env=variables)

    return run


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


def test_a_key_is_made_and_trusted_as_it_is_shown(rinr: Callable[..., Result], keyring: Keyring, tmp_path: Path):
    made = rinr("new", "--label", "the fog's")
    (entry,) = keyring.entries()
    assert (made.exit_code, entry.label, entry.status.value) == (0, "the fog's", "active")
    first, command = made.output.splitlines()
    assert first == f"made the key {entry.id} (active); whoever is to trust it runs:"
    words = command.split()
    assert words[:2] == ["rinr", "keys"]
    said = rinr(*words[2:], "--keys", str(tmp_path / "home"), "--label", "fog")
    assert said.output == f"{entry.id} is trusted in {tmp_path}/home\n"
    (trusted,) = Keyring(tmp_path / "home").entries()
    assert (trusted.key, trusted.status.value, trusted.label) == (entry.key, "trusted", "fog")
    assert rinr(*words[2:]).output == f"{entry.id} is a key of {tmp_path}/keys itself (active)\n"


def test_list(rinr: Callable[..., Result], keyring: Keyring, tmp_path: Path):
    empty = rinr("list")
    assert (
        empty.output == f"no keys in {tmp_path}/keys; make one with: rinr keys new, or trust one: rinr keys trust KEY\n"
    )
    assert rinr("list", "--json").output == "[]\n"
    first, second = keyring.new("a"), keyring.new()
    lines = rinr("list").output.splitlines()
    assert [line.split()[:2] for line in lines] == [[first.id, "active"], [second.id, "standby"]]
    assert [first.text in lines[0], lines[0].endswith("  a"), second.text in lines[1]] == [True] * 3
    found = json.loads(rinr("list", "--json").output)
    assert [sorted(one) for one in found] == [["added_at", "id", "key", "label", "status"]] * 2
    assert [(one["id"], one["key"], one["status"], one["label"]) for one in found] == [
        (first.id, first.text, "active", "a"),
        (second.id, second.text, "standby", ""),
    ]


def test_rotate_and_revoke(rinr: Callable[..., Result], keyring: Keyring):
    first = keyring.new()
    rotated = json.loads(rinr("rotate", "--json").output)
    assert keyring.signer().public.id == rotated["id"] != first.id
    assert rotated["status"] == "active"
    assert rinr("revoke", first.id).output.startswith(f"{first.id} is revoked in ")
    refused = rinr("revoke", rotated["id"])
    assert refused.exit_code == 1
    assert "is the key that signs" in refused.output
    assert json.loads(rinr("revoke", rotated["id"], "--force", "--json").output)["status"] == "revoked"
    assert {e.id: e.status.value for e in keyring.entries()}[first.id] == "revoked"
    assert keyring.signer().public.id not in (first.id, rotated["id"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trust", "x"], "expected an Ed25519 public key"),
        (["revoke", "x\x1b[2J"], r"no key 'x\x1b[2J'"),
        (["new", "--label", "x" * 101], "expected at most 100 printable characters"),
    ],
)
def test_what_cannot_be_done_is_told(rinr: Callable[..., Result], arguments: list[str], message: str):
    said = rinr(*arguments, COLUMNS="300")
    assert said.exit_code == 1
    assert message in said.output
    assert "Traceback" not in said.output


def test_a_folder_that_cannot_be_used(rinr: Callable[..., Result], tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    said = rinr("new", "--keys", f"{tmp_path}/file/keys")
    assert said.exit_code == 1
    assert "cannot be written: Not a directory; check --keys" in said.output.replace("\n", " ")


def test_no_command_shows_a_private_key(rinr: Callable[..., Result], keyring: Keyring):
    said = [rinr(*words).output for words in (["new"], ["new", "--json"], ["rotate"], ["list"], ["list", "--json"])]
    said.append(rinr("revoke", keyring.entries()[0].id).output)
    for file in keyring.folder.glob("*.pem"):
        secret = file.read_text().split("\n")[1]
        assert len(secret) == 64
        for text in said:
            assert secret not in text


def test_help_says_what_a_command_does(rinr: Callable[..., Result]):
    for name in ("new", "list", "rotate", "trust", "revoke"):
        said = rinr(name, "--help", COLUMNS="120").output
        assert "Exit codes: 0 done; 1 failed." in said
        assert "RINR_KEYS" in said
