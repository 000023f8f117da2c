import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rinr.cli.main import app
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml
from storage.shards.acknowledgement import RefusedShard
from storage.shards.faults import Fault
from storage.store import Store
from tests.storage.delivery_bench import Edge, contact
from tests.storage.examples import ENCODING, encoded_image, source

run = CliRunner()


def invoke(*words: object, code: int = 0, **options: str) -> str:
    result = run.invoke(app, ["device", *map(str, words)], terminal_width=200, **options)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def place(tmp_path: Path) -> tuple[list[str], Store, Edge]:
    """The options of a fleet of two, its store with two images, and the first device with one shard in its inbox."""
    devices = [
        Device(name=name, storage=f"{tmp_path}/{name}/s", inbox=f"{tmp_path}/{name}/in", home=f"{tmp_path}/{name}/home")
        for name in ("cam-a", "cam-b")
    ]
    (tmp_path / "fleet.toml").write_text(fleet_toml(Fleet(devices=tuple(devices))))
    store = Store(str(tmp_path / "store"))
    store.append([encoded_image(0), encoded_image(1)])
    store.append([source(0, device="cam-b"), source(1, device="cam-b")])
    contact(store, devices[0], ENCODING)
    return ["--fleet", f"{tmp_path}/fleet.toml", "--store", store.url], store, Edge(devices[0], generation=1)


def test_standing_says_what_waits_and_what_was_refused(place: tuple[list[str], Store, Edge]):
    options, store, edge = place
    told = " ".join(invoke("standing", *options).split())
    assert "cam-a │ 0 │ 2 │ – │" in told
    assert "bytes wait since" in told
    assert told.count("fine") == 1
    first, second = json.loads(invoke("standing", *options, "--json"))["devices"]
    assert (first["device"], first["shards_waiting"], first["images_sent"], first["silent"]) == ("cam-a", 1, 2, False)
    assert (second["images_waiting"], second["waiting_since"], second["last_heard"]) == (0, None, None)
    edge.acknowledge(wanted=(1,), refused=(RefusedShard("shard-0001-00000001", Fault.EDITED, "[red]x"),))
    contact(store, edge.device, ENCODING)
    told = invoke("standing", *options, code=1)
    assert "edited: [red]x" in " ".join(told.split())


def test_reset_asks_and_begins_a_generation(place: tuple[list[str], Store, Edge]):
    options, store, edge = place
    told = invoke("reset", "cam-a", *options, code=1, input="n\n")
    assert "2 images in 1 shards of generation 1" in told
    assert "nothing was changed" in told
    assert json.loads(invoke("reset", "cam-a", *options, "--yes", "--json")) == {"device": "cam-a", "generation": 2}
    assert "generation 3 begins" in invoke("reset", "cam-a", *options, input="y\n")
    assert "no device 'cam-x' in the fleet" in invoke("reset", "cam-x", *options, code=2)
    assert [shard.name for shard in contact(store, edge.device, ENCODING).sent] == ["shard-0003-00000001"]
