from pathlib import Path

import pytest

from storage.fleet import Device, Fleet, FleetError, LabelsPlace, fleet_toml, load_fleet

TWO = Fleet(
    devices=(
        Device(
            name="cam-a",
            storage="s3://captures/cam-a",
            storage_options={"key": {"env": "K"}, "client_kwargs": {"endpoint_url": "http://x", "n": [1, 2.5, True]}},
            labels=LabelsPlace(format="yolo", path="labels", classes=("a", "ä\x7f"[:1])),
            inbox="/srv/in/a b",
            work_queue="queue",
            home="/var/lib/ä",
            public_key="ab/cd+",
            after="move",
            limit=5,
            settle=0.5,
        ),
        Device(name="2", storage='file:///data/"2"', inbox="memory://in", home="/home\\x"),
    )
)


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return str(path)


def test_a_written_fleet_reads_back(tmp_path: Path):
    assert load_fleet(write(tmp_path, fleet_toml(TWO))) == TWO


def test_relative_folders_lie_beside_the_file_and_the_queue_is_named_after_the_device(tmp_path: Path):
    text = '[[device]]\nname = "a"\nstorage = "devices/a"\ninbox = "memory://a"\nhome = "homes/a"\n'
    device = load_fleet(write(tmp_path, text)).devices[0]
    assert device == Device(
        name="a", storage=f"{tmp_path}/devices/a", inbox="memory://a", work_queue="a", home=f"{tmp_path}/homes/a"
    )


def test_find():
    assert TWO.find("2") is TWO.devices[1]
    with pytest.raises(FleetError, match="no device 'x' in the fleet; there are: cam-a, 2"):
        TWO.find("x")


GOOD = {"name": '"a"', "storage": '"s"', "inbox": '"i"', "home": '"h"'}


def table(**changes: str | None) -> str:
    fields = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return "[[device]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = [", "is not TOML of a fleet: "),
        ("", "has no `[[device]]` table"),
        ('device = "a"', "has no `[[device]]` table"),
        ("port = 1\n" + table(), "line 1: `port` is not known"),
        (table(storage=None), "line 1: device[0].storage is missing, expected text"),
        (table(inbox="7"), "line 4: device[0].inbox is 7, expected text"),
        (table(inbox='"a\\nb"'), "device[0].inbox"),
        (table(colour='"red"'), "line 6: device[0].colour is not known"),
        (table(name='"Cam"'), "device[0].name is 'Cam', expected lower-case"),
        (table(name='"../x"'), "device[0].name"),
        (table(name=f'"{"a" * 64}"'), "device[0].name"),
        (table(home='"s3://x"'), "device[0].home is 's3://x', expected a local folder"),
        (table() + table(storage='"t"', inbox='"j"', home='"g"'), "line 7: device[1].name is 'a', as in device[0]"),
        (table() + table(name='"b"', storage='"t"', home='"g"'), "device[1].inbox"),
    ],
)
def test_a_wrong_file_is_refused_by_field(tmp_path: Path, text: str, message: str):
    with pytest.raises(FleetError) as error:
        load_fleet(write(tmp_path, text))
    assert message in str(error.value)


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(FleetError, match=r"nothing\.toml cannot be read: No such file"):
        load_fleet(str(tmp_path / "nothing.toml"))
