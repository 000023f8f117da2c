"""What the example and ``docs/fleet.md`` show is read, and nothing is left out."""

import re
import tomllib
from pathlib import Path

from storage.fleet import Device, Fog, LabelsPlace, Receives
from storage.fleet_file import check_tables, load_fleet

ROOT = Path(__file__).parents[2]
GOOD = {"name": "d", "storage": "/s", "inbox": "/i", "home": "/h"}
DOCUMENT = (ROOT / "docs" / "fleet.md").read_text()


def test_the_example_is_read_and_shows_every_field():
    fleet = load_fleet(str(ROOT / "fleet.example.toml"))
    tables = tomllib.loads((ROOT / "fleet.example.toml").read_text())
    assert {name for table in tables["device"] for name in table} == set(Device.model_fields)
    assert {name for table in tables["device"] for name in table.get("receives", {})} == set(Receives.model_fields)
    assert fleet.fog.keyring == "/etc/rinr/keys"
    assert {device.labels.format for device in fleet.devices} == {"coco", "yolo", "voc"}
    assert {device.storage.split(":")[0] for device in fleet.devices} == {"/srv/cameras/bridge", "s3", "sftp", "https"}


def test_the_document_names_every_field_and_its_default():
    (table,) = re.findall(r"## Fields of a.*?\n\|.*?\n\|[-|]*\n(.*?)\n\n", DOCUMENT, re.DOTALL)
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    assert {row[0].strip("`") for row in rows} == set(Device.model_fields)
    assert len(rows) == len(Device.model_fields)
    required = {name for name, field in Device.model_fields.items() if field.is_required()}
    assert {row[0].strip("`") for row in rows if not row[1]} == required
    for name in (*LabelsPlace.model_fields, *Receives.model_fields, *Fog.model_fields):
        assert f"`{name}`" in DOCUMENT


def test_the_pieces_in_the_document_are_read():
    pieces = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(pieces) == 6
    for piece in pieces:
        table = tomllib.loads(piece)
        assert Fog(**table.pop("fog", {}))
        check_tables([GOOD | table])
    for inline in re.findall(r"`(\w+ = \{.*?\})`", DOCUMENT):
        check_tables([GOOD | {"storage_options": tomllib.loads(inline)}])
