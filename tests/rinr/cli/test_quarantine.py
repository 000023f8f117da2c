import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from rinr.cli.main import app
from storage.devices import DeviceFile
from storage.fleet import Device
from storage.ingestion import ingest
from storage.quarantine import Refused, cases, refuse
from storage.store import Store
from storage.tables import Refusal
from tests.storage.examples import jpeg, source

TIME = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


@pytest.fixture
def rinr(store: Store) -> Callable[..., Result]:
    def run(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(
            app, ["quarantine", *arguments], env={"RINR_STORE": store.url, "COLUMNS": "80", **environment}
        )

    return run


def refusal(path: str, reason: str = "it is broken", **changes: object) -> Refusal:
    return replace(Refusal("cam-a", path, 1_234, TIME, f"{path}: {reason}", "ab" * 32), **changes)


def ids(store: Store) -> dict[str, str]:
    return {case.refusal.path: case.id for case in cases(store)}


def test_list(store: Store, rinr: Callable[..., Result]):
    said = rinr("list")
    assert (said.exit_code, said.output) == (0, "nothing is in quarantine\n")
    refuse(store, [refusal("a.jpg"), refusal("b.jpg", device="cam-b")])
    lines = rinr("list").output.splitlines()
    assert len(lines) == 3
    assert lines[2] == "2 cases; `rinr quarantine show ID` says more"
    (a,) = [line for line in lines if "a.jpg" in line]
    assert a.startswith(f"{ids(store)['a.jpg']}  ")
    assert a.endswith("  cam-a  1,234 bytes  a.jpg: it is broken")
    assert "b.jpg" not in rinr("list", "--device", "cam-a").output
    assert rinr("list", "--device", "cam-c").output == "nothing is in quarantine of device cam-c\n"


def test_list_all_and_json(store: Store, rinr: Callable[..., Result]):
    refuse(store, [refusal("a.jpg"), refusal("b.jpg"), refusal("c.jpg"), refusal("d.jpg")])
    store.append([source(1, path="b.jpg")])
    assert rinr("retry", ids(store)["c.jpg"]).exit_code == 0
    assert rinr("drop", ids(store)["d.jpg"]).exit_code == 0
    assert [case["path"] for case in json.loads(rinr("list", "--json").output)] == ["a.jpg"]
    found = {case["path"]: case for case in json.loads(rinr("list", "--json", "--all").output)}
    assert {path: case["standing"] for path, case in found.items()} == {
        "a.jpg": "open", "b.jpg": "taken", "c.jpg": "retry", "d.jpg": "dropped",
    }  # fmt: skip
    assert found["a.jpg"]["id"] == ids(store)["a.jpg"]
    assert found["a.jpg"]["modified"] == "2024-05-06T07:08:09+00:00"
    assert "[dropped]  d.jpg: it is broken" in rinr("list", "--all").output


def test_show(store: Store, rinr: Callable[..., Result]):
    refuse(store, [refusal("a.jpg")])
    case = ids(store)["a.jpg"]
    said = rinr("show", case[:5])
    assert said.exit_code == 0
    for line in (
        f"id:            {case}",
        "device:        cam-a",
        "path:          a.jpg",
        "size:          1,234 bytes",
        "file's time:   2024-05-06 07:08:09 UTC",
        f"image id:      {'ab' * 32}",
        "reason:        a.jpg: it is broken",
        "standing:      open: refused, and not read again while the file does not change",
    ):
        assert line in said.output.splitlines()
    assert f"`rinr quarantine retry {case}` has it judged again as it is" in said.output
    store.append([source(1, path="a.jpg")])
    assert "what to do:    nothing" in rinr("show", case).output
    assert json.loads(rinr("show", case, "--json").output)["standing"] == "taken"


def test_retry_and_drop(store: Store, rinr: Callable[..., Result]):
    refuse(store, [refusal("a.jpg"), refusal("b.jpg"), refusal("c.jpg", device="cam-b")])
    case = ids(store)
    assert rinr("retry", case["a.jpg"], case["a.jpg"]).output == "1 case will be read again by the next ingestion\n"
    assert not Refused(store, "cam-a").holds(DeviceFile("a.jpg", 1_234, TIME))
    assert "0 cases will be read again by the next ingestion; 1 already were so" in rinr("retry", case["a.jpg"]).output
    assert rinr("drop", case["a.jpg"]).output == "1 case dropped\n"
    assert Refused(store, "cam-a").holds(DeviceFile("a.jpg", 1_234, TIME))
    assert "1 case will be read" in rinr("retry", "--device", "cam-b").output
    assert "1 case will be read" in rinr("retry", "--all").output
    assert json.loads(rinr("list", "--json").output) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "0000000000000"), "no case has the id 0000000000000; `rinr quarantine list --all` shows those there"),
        (("retry", "nonsense"), "`nonsense` is no id: expected 12 hexadecimal digits"),
        (("drop", "../x"), "`../x` is no id"),
        (("retry",), "give ids, or --all, or --device NAME"),
        (("retry", "--all", "--device", "cam-a"), "give ids, or --all, or --device NAME"),
        (("retry", "abcd", "--all"), "give ids, or --all, or --device NAME"),
    ],
)
def test_wrong_usage(store: Store, rinr: Callable[..., Result], arguments: tuple[str, ...], message: str):
    refuse(store, [refusal("a.jpg")])
    said = rinr(*arguments)
    assert said.exit_code == 2
    assert message in said.output
    assert [case.standing for case in cases(store)] == ["open"]


def test_an_id_that_is_none_changes_nothing_of_the_others(store: Store, rinr: Callable[..., Result]):
    refuse(store, [refusal("a.jpg")])
    assert rinr("drop", ids(store)["a.jpg"], "0" * 12).exit_code == 2
    assert [case.standing for case in cases(store)] == ["open"]
    store.append([source(1, path="a.jpg")])
    said = rinr("drop", ids(store)["a.jpg"])
    assert said.exit_code == 2
    assert "taken since, so that there is nothing to drop; nothing was changed" in said.output


def test_ambiguous_digits(store: Store, rinr: Callable[..., Result]):
    # Of 700 cases some two share four digits, as surely as birthdays meet.
    refuse(store, [refusal(f"{number}.jpg") for number in range(700)])
    starts = [case[:4] for case in ids(store).values()]
    (twice, *_) = [start for start in starts if starts.count(start) > 1]
    said = rinr("show", twice)
    assert said.exit_code == 2
    assert f"cases have ids that start with {twice}" in said.output
    assert "give more digits" in said.output


def test_without_a_store(rinr: Callable[..., Result]):
    said = rinr("list", RINR_STORE="")
    assert said.exit_code == 2
    assert "which store? give --store URL, or set RINR_STORE" in said.output


def test_what_devices_wrote_does_nothing_to_the_terminal(store: Store, rinr: Callable[..., Result]):
    evil = "[bold]\x1b]0;title\x07\x1b[2J\u202e[/bold] %s.jpg"
    store.append([Refusal("cam-a", evil, 1, TIME, f"{evil}: {evil}")])
    (case,) = cases(store)
    for arguments in (("list",), ("list", "--all"), ("show", case.id), ("list", "--json")):
        said = rinr(*arguments)
        assert said.exit_code == 0
        assert all(character.isprintable() or character == "\n" for character in said.output)
    assert "[bold]\\x1b]0;title" in rinr("list").output
    assert json.loads(rinr("list", "--json").output)[0]["path"] == evil


def test_a_repaired_file_comes_in_after_a_retry(store: Store, rinr: Callable[..., Result], tmp_path: Path):
    """In place, with the size and the time that it had: only a retry makes ingestion look again."""
    import os

    folder = tmp_path / "device"
    folder.mkdir()
    whole = jpeg(1)
    (folder / "a.jpg").write_bytes(bytes([0x00]) + whole[1:])
    os.utime(folder / "a.jpg", (5, 5))
    device = Device(name="cam-a", storage=str(folder), inbox=str(tmp_path / "i"), home=str(tmp_path / "h"))
    assert ingest(device, store).refused == 1
    (folder / "a.jpg").write_bytes(whole)
    os.utime(folder / "a.jpg", (5, 5))
    assert ingest(device, store).new == 0
    assert rinr("retry", "--all").exit_code == 0
    assert ingest(device, store).new == 1
    assert rinr("list").output == "nothing is in quarantine\n"
    # One that was given up stays out and off the list, until it changes.
    (folder / "b.jpg").write_bytes(b"broken")
    os.utime(folder / "b.jpg", (5, 5))
    assert ingest(device, store).refused == 1
    assert rinr("drop", ids(store)["b.jpg"]).exit_code == 0
    assert (ingest(device, store).refused, rinr("list").output) == (0, "nothing is in quarantine\n")
    (folder / "b.jpg").write_bytes(jpeg(2))
    assert ingest(device, store).new == 1
