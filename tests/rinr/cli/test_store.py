"""``rinr store``: its commands on a store, whole and damaged."""

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from rinr.cli.main import app
from storage.store import Store
from tests.storage.examples import ENCODING, digest
from tests.storage.stores import append_raw, files, fill, image_file, sound_row

run = CliRunner()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    fill(store)
    return store


def invoke(*words: object, code: int = 0, typed: str | None = None) -> Result:
    result = run.invoke(app, ["store", *map(str, words)], input=typed)
    assert result.exit_code == code, result.output
    return result


def test_a_clean_store(store: Store) -> None:
    output = invoke("verify", "--store", store.url).output
    assert "clean" in output
    told = json.loads(invoke("verify", "--store", store.url, "--json").stdout)
    assert told["clean"] is True
    assert [(table["name"], table["rows"]) for table in told["tables"]][:3] == [
        ("images", 12),
        ("parts", 0),
        ("sources", 12),
    ]
    assert "nothing is damaged" in invoke("repair", "--store", store.url).output


def test_damage_is_named_and_repaired_when_said_yes(store: Store) -> None:
    path = image_file(store, 5)
    path.write_bytes(path.read_bytes()[:500])
    append_raw(store, "images", [sound_row(1, payload=b"[red]junk[/]")])
    output = invoke("verify", "--store", store.url, code=1).output
    assert path.name in output
    assert digest("image 1") in output
    told = json.loads(invoke("verify", "--store", store.url, "--json", code=1).stdout)
    assert {(table, kind) for table, kind, _ in told["counts"]} == {
        ("images", "file"), ("images", "row"), ("images", "duplicate"),
    }  # fmt: skip

    before = files(store)
    output = invoke("repair", "--store", store.url, "--dry-run", code=1).output
    assert f"write the readable rows of {path.name} anew" in output
    assert "nothing was changed" in invoke("repair", "--store", store.url, typed="n\n", code=1).output
    assert files(store) == before

    output = invoke("repair", "--store", store.url, "--yes").output
    assert "images: 1 damaged or double rows dropped" in output
    assert "the store is clean" in output
    invoke("verify", "--store", store.url)
    lost = {pending.image_id for pending in store.missing(ENCODING)}
    assert lost == {digest(f"image {number}") for number in (4, 5, 6, 7)}


def test_stats(store: Store, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "stats.png"
    output = invoke("stats", "--store", store.url, "--png", picture).output
    assert "12 images in 12 rows" in output
    assert "cam-a" in output
    assert Image.open(picture).format == "PNG"
    told = json.loads(invoke("stats", "--store", store.url, "--json").stdout)
    assert (told["images"], told["refused"], told["families"][0]["name"]) == (12, 1, "siren")
    assert told["bytes"] > told["payload_bytes"]


def test_compact_and_vacuum(store: Store) -> None:
    assert "nothing is to be compacted" in invoke("compact", "--store", store.url).output
    assert "images: 3 files are now 1" in invoke("compact", "--store", store.url, "--loose", 2).output
    assert "--exclusive" in invoke("vacuum", "--help").output
    assert "0 files removed" in invoke("vacuum", "--store", store.url).output
    invoke("vacuum", "--store", store.url, "--keep-hours", 0, code=2)
    assert "3 files removed" in invoke("vacuum", "--store", store.url, "--keep-hours", 0, "--exclusive").output
    invoke("verify", "--store", store.url)


@pytest.mark.parametrize("command", ["verify", "repair", "stats"])
def test_no_store(command: str, tmp_path: Path) -> None:
    assert "there is no store" in invoke(command, "--store", tmp_path / "nowhere", code=1).output
    assert not (tmp_path / "nowhere").exists()


def test_a_newer_store_is_refused(store: Store) -> None:
    (Path(store.url) / "store.json").write_text('{"format": "rinr-store", "version": 9}')
    for command in ("verify", "repair", "stats"):
        output = invoke(command, "--store", store.url, code=1).output
        assert "of version 9, this program knows up to 4: update rinr" in output.replace("\n", " ")
