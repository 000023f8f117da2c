import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rinr.cli.main import app
from storage.fleet import Device, Fleet
from storage.fleet_file import fleet_toml, load_fleet
from storage.shards.keyring import Keyring
from tests.storage.examples import coco, jpeg

KEY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="

run = CliRunner()


def invoke(*words: object, code: int = 0, **options: str) -> str:
    result = run.invoke(app, ["fleet", *map(str, words)], terminal_width=200, **options)
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Two devices that are fine and one whose storage is not there."""
    devices = []
    for name in ("cam-a", "cam-b", "gone"):
        place = tmp_path / name
        if name != "gone":
            (place / "storage").mkdir(parents=True)
            (place / "storage" / "a.jpg").write_bytes(jpeg(1))
            (place / "storage" / "annotations.json").write_bytes(coco({"a.jpg": []}))
        devices.append(
            Device(name=name, storage=str(place / "storage"), inbox=str(place / "inbox"), home=str(place / "home"))
        )
    path = tmp_path / "fleet.toml"
    path.write_text(fleet_toml(Fleet(devices=tuple(devices))))
    Keyring(tmp_path / "keys").new()
    return path


def test_check_says_what_is_wrong_with_each_device(fleet: Path):
    told = " ".join(invoke("check", fleet, code=1).split())
    for part in ("cam-a", "cam-b", "gone", "fine", "does not exist", "2 of 3 devices are fine"):
        assert part in told
    assert "2 of 2 devices are fine" in invoke("check", fleet, "--device", "cam-a", "--device", "cam-b")
    assert "no device 'cam-x' in the fleet" in invoke("check", fleet, "--device", "cam-x", code=2)


def test_check_as_json(fleet: Path):
    told = json.loads(invoke("check", fleet, "--json", code=1))
    assert (told["fine"], [one["fine"] for one in told["devices"]]) == (False, [True, True, False])
    (finding,) = told["devices"][2]["findings"]
    assert finding["field"] == "storage"
    assert finding["what"].endswith("does not exist; check `storage` of device gone in the fleet file")
    assert told["devices"][0]["labels"] == "coco: 1 images, 0 boxes"
    assert json.loads(invoke("check", fleet, "--device", "cam-a", "--json"))["fine"] is True


def test_check_wants_a_key_to_sign_with(fleet: Path):
    for file in (fleet.parent / "keys").iterdir():
        file.unlink()
    told = invoke("check", fleet, "--device", "cam-a", code=1)
    assert "fog.keyring" in told
    assert "rinr keys new" in told
    found = json.loads(invoke("check", fleet, "--device", "cam-a", "--json", code=1))
    assert (found["fine"], found["fog"]["fine"], found["devices"][0]["fine"]) == (False, False, True)


def test_check_reads_what_a_device_says(fleet: Path):
    outbox = fleet.parent / "cam-a" / "inbox" / "outbox"
    outbox.mkdir(parents=True)
    (outbox / "acknowledgement").write_bytes(b"\x1b[31m")
    (finding,) = json.loads(invoke("check", fleet, "--device", "cam-a", "--json", code=1))["devices"][0]["findings"]
    assert finding["field"] == "outbox"
    assert "the acknowledgement of cam-a is malformed" in finding["what"]


def test_check_of_a_wrong_file(tmp_path: Path):
    (tmp_path / "fleet.toml").write_text('[[device]]\nname = "A"\n')
    told = invoke("check", tmp_path / "fleet.toml", code=1)
    assert "line 2: device[0].name is 'A', expected lower-case letters" in told
    assert "cannot be read" in invoke("check", tmp_path / "no.toml", code=1)


def test_nothing_is_printed_unescaped(fleet: Path):
    place = fleet.parent / "cam-a" / "storage"
    (place / "a.jpg").unlink()
    (place / "\x1b[31m[red]:smiley:\\[x\n.jpg").write_bytes(b"no picture")
    told = invoke("check", fleet, "--device", "cam-a", code=1)
    assert "\x1b" not in told
    assert "[red]:smiley:" in told


def test_init_of_one_device_without_a_question(tmp_path: Path):
    path = tmp_path / "fleet.toml"
    words = ["--name", "cam-a", "--storage", "s3://b/cam-a", "--inbox", "inboxes/cam-a", "--labels", "yolo"]
    options = ["--storage-option", "secret=env:CAM_SECRET", "--storage-option", "endpoint_url=http://nas:9000"]
    invoke("init", path, *words, *options)
    (device,) = load_fleet(str(path)).devices
    assert device.storage_options == {"secret": {"env": "CAM_SECRET"}, "endpoint_url": "http://nas:9000"}
    assert (device.inbox, device.home) == (f"{tmp_path}/inboxes/cam-a", "/var/lib/rinr/cam-a")
    assert (device.labels.format, device.labels.classes) == ("yolo", "classes.txt")
    before = path.read_bytes()
    assert "is there already" in invoke("init", path, "--name", "b", "--storage", "s", "--inbox", "i", code=1)
    assert path.read_bytes() == before
    invoke("init", path, "--force", "--name", "b", "--storage", "s", "--inbox", "i")
    assert [device.name for device in load_fleet(str(path)).devices] == ["b"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--name", "B", "--storage", "s", "--inbox", "i"], "device[0].name is 'B', expected lower-case"),
        (["--name", "b", "--storage", "s"], "give --storage and --inbox as well"),
        (["--storage", "s"], "give --name as well"),
        (["--name", "b", "--storage", "s", "--inbox", "i", "--storage-option", "x"], "expected KEY=VALUE"),
        (
            ["--name", "b", "--storage", "s", "--inbox", "i", "--inbox-option", "token=hunter2"],
            "is a secret in plain",
        ),
        (["--name", "b", "--storage", "s", "--inbox", "i", "--labels", "csv"], "labels.format is 'csv', expected"),
    ],
)
def test_init_with_wrong_words_writes_nothing(tmp_path: Path, words: list[str], told: str):
    output = invoke("init", tmp_path / "fleet.toml", *words, code=2)
    assert told in output
    assert "hunter2" not in output
    assert list(tmp_path.iterdir()) == []


def test_init_asks(tmp_path: Path):
    path = tmp_path / "fleet.toml"
    answers = [
        "Cam", "storage", "coco", "", "inbox", "/home/cam", "",  # a name that is refused: asked once more
        "cam-a", "s3://b/a", "http://nas:9000", "", "-", "yolo", "labels", "", "s3://in/a", "y", "", KEY, "y",
        "cam-b", "sftp://pi/data", "", "", "voc", "", "sftp://pi/inbox", "n", "/key", "", "", "n",
    ]  # fmt: skip
    told = invoke("init", path, input="\n".join(answers) + "\n")
    assert "the fog node has no key to sign with yet; make one: rinr keys new --keys" in told
    a, b = load_fleet(str(path)).devices
    assert a.storage_options == {"endpoint_url": "http://nas:9000", "key": {"env": "CAM_A_KEY"}} == a.inbox_options
    assert (a.public_key, b.public_key) == (KEY, None)
    assert (a.labels.format, a.labels.path, a.labels.classes) == ("yolo", "labels", "classes.txt")
    assert (b.storage_options, b.inbox_options) == ({"password": {"env": "CAM_B_PASSWORD"}}, {"client_keys": ["/key"]})
    assert (b.labels.format, b.labels.path, b.home) == ("voc", "", "/var/lib/rinr/cam-b")
