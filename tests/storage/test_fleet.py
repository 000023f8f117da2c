import resource
import time
from pathlib import Path

import pytest

from storage.credentials import Reference
from storage.fleet import Device, Fleet, FleetError, Fog, LabelsPlace, Receives
from storage.fleet_file import MAX_DEVICES, fleet_toml, load_fleet
from storage.toml_lines import toml_lines

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
            public_key="MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=",
            after="move",
            limit=5,
            settle=0.5,
            outbox="sftp://h/out",
            outbox_options={"password": {"block": "b"}},
            receives=Receives(labels=("ä",), neighbours=("2",), days=0.5, budget=7),
            silent_after=1.5,
        ),
        Device(name="2", storage='file:///data/"2"', inbox="memory://in", inbox_options={"x": 1}, home="/home\\x"),
    ),
    fog=Fog(keyring="/etc/keys", signing_key=Reference("env", "FOG_KEY")),
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


def test_the_outbox_lies_in_the_inbox_and_has_its_options_unless_said(tmp_path: Path):
    device = load_fleet(write(tmp_path, table(inbox="'i'", inbox_options="{ key = { env = 'K' } }"))).devices[0]
    assert (device.outbox, device.outbox_options) == (f"{tmp_path}/i/outbox", {"key": {"env": "K"}})
    assert "outbox =" not in fleet_toml(Fleet(devices=(device,)))
    device = load_fleet(write(tmp_path, table(inbox_options="{ a = 1 }", outbox="'o'"))).devices[0]
    assert (device.outbox, device.outbox_options) == (f"{tmp_path}/o", {})


def test_the_keys_of_the_fog_lie_beside_the_file_and_those_of_a_device_in_its_home(tmp_path: Path):
    fleet = load_fleet(write(tmp_path, table()))
    assert fleet.fog == Fog(keyring=f"{tmp_path}/keys")
    assert fleet.devices[0].keyring == f"{tmp_path}/h/keys"
    fleet = load_fleet(write(tmp_path, '[fog]\nkeyring = "k"\nsigning_key = { block = "fog" }\n' + table()))
    assert fleet.fog == Fog(keyring=f"{tmp_path}/k", signing_key=Reference("block", "fog"))


def test_a_signing_key_in_plain_sight_is_refused_and_not_repeated(tmp_path: Path):
    told = message(tmp_path, '[fog]\nsigning_key = "-----BEGIN PRIVATE KEY-----"\n' + table())
    assert "line 2: fog.signing_key is a secret in plain sight, expected { env" in told
    assert "BEGIN" not in told


def test_find():
    assert TWO.find("2") is TWO.devices[1]
    with pytest.raises(FleetError, match="no device 'x' in the fleet; there are: cam-a, 2"):
        TWO.find("x")


GOOD = {"name": '"a"', "storage": '"s"', "inbox": '"i"', "home": '"h"'}


def table(**changes: str | None) -> str:
    fields = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return "[[device]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


def message(tmp_path: Path, text: str) -> str:
    with pytest.raises(FleetError) as error:
        load_fleet(write(tmp_path, text))
    return str(error.value)


def test_defaults(tmp_path: Path):
    device = load_fleet(write(tmp_path, table())).devices[0]
    assert (device.storage_options, device.inbox_options, device.labels) == ({}, {}, LabelsPlace())
    assert (device.work_queue, device.public_key, device.after, device.limit) == ("a", None, "keep", None)
    assert device.settle == 10.0
    assert device.labels.path == "annotations.json"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("{ format = 'coco', path = 'labels/x.json' }", LabelsPlace(format="coco", path="labels/x.json")),
        ("{ format = 'yolo' }", LabelsPlace(format="yolo", path="", classes="classes.txt")),
        ("{ format = 'yolo', path = 't', classes = ['ä b'] }", LabelsPlace(format="yolo", path="t", classes=("ä b",))),
        ("{ format = 'voc' }", LabelsPlace(format="voc", path="", classes=None)),
    ],
)
def test_places_of_labels(tmp_path: Path, written: str, place: LabelsPlace):
    assert load_fleet(write(tmp_path, table(labels=written))).devices[0].labels == place


YOLO = '{{ format = "yolo", classes = {} }}'
SUB_TABLE = """
[device.storage_options]
key = { env = "K" }
# a comment = "[x]"
x = [
 "\\"]",
 inf]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = [", "is not TOML of a fleet: "),
        ("", "has no `[[device]]` table"),
        ('device = "a"', "has no `[[device]]` table"),
        ("port = 1\n" + table(), "line 1: `port` is not known"),
        ("fog = 1\n" + table(), "line 1: fog is 1, expected one table `[fog]`"),
        ("[fog]\nkey = 1\n" + table(), "line 2: fog.key is not known, expected one of keyring, signing_key"),
        (
            "[fog]\npreset = 'cheapest:200/1'\n" + table(),
            "fog.preset is 'cheapest:200/1', expected text: the name of a preset",
        ),
        ("[fog]\nkeyring = 's3://k'\n" + table(), "line 2: fog.keyring is 's3://k', expected a local folder"),
        ("[fog]\nsigning_key = { env = 'a b' }\n" + table(), "line 2: fog.signing_key is a table of env, expected { e"),
        (table(receives="1"), "line 6: device[0].receives is 1, expected a table with `labels`, `neighbours`"),
        (table(receives="{ label = 'a' }"), "line 6: device[0].receives.label is not known, expected one of labels,"),
        (table(receives="{ labels = 'a' }"), "line 6: device[0].receives.labels is 'a', expected a list of labels"),
        (table(receives="{ labels = ['a', ''] }"), "device[0].receives.labels is ['a', ''], expected at most 1,000"),
        (table(receives="{ days = 0 }"), "device[0].receives.days is 0, expected days, more than 0"),
        (table(receives="{ days = inf }"), "device[0].receives.days is inf, expected days, more than 0"),
        (table(receives="{ budget = 1.5 }"), "device[0].receives.budget is 1.5, expected bytes for each contact"),
        (
            table(receives="{ neighbours = ['b'] }"),
            "receives.neighbours[0] is 'b', expected the name of another device",
        ),
        (
            table(receives="{ neighbours = ['a'] }"),
            "receives.neighbours[0] is 'a', expected the name of another device",
        ),
        (table(receives="{ neighbours = ['../x'] }"), "receives.neighbours is ['../x'], expected at most 10,000 names"),
        (
            table(public_key="'ab/cd+'"),
            "line 6: device[0].public_key is 'ab/cd+', expected text: the device's public key",
        ),
        (table(silent_after="0"), "line 6: device[0].silent_after is 0, expected hours, more than 0"),
        (table(outbox="'sftp://u:p@h/x'"), "line 6: device[0].outbox holds a password"),
        (table(storage=None), "line 1: device[0].storage is missing, expected text: an fsspec URL or a folder"),
        (table(inbox="7"), "line 4: device[0].inbox is 7, expected text: an fsspec URL or a folder"),
        (table(inbox='"a\\nb"'), "line 4: device[0].inbox is 'a\\nb', expected text on one line"),
        (table(inbox='""'), "line 4: device[0].inbox is '', expected text on one line"),
        (table(colour='"red"'), "line 6: device[0].colour is not known, expected one of name, storage,"),
        (table(name='"Cam"'), "line 2: device[0].name is 'Cam', expected lower-case"),
        (table(name='"../x"'), "line 2: device[0].name"),
        (table(name=f'"{"a" * 64}"'), "line 2: device[0].name"),
        (table(home='"s3://x"'), "line 5: device[0].home is 's3://x', expected a local folder"),
        (table(storage='"sftp://u:p@h/x"'), "line 3: device[0].storage holds a password, expected a URL without one"),
        (
            table(storage='"https://h/x?sig=1"'),
            "line 3: device[0].storage holds a query, expected the address of a fol",
        ),
        (
            table(storage='"sftp://u:p@[h/x"'),
            "line 3: device[0].storage is no URL that can be read, expected an fsspec",
        ),
        (table(after='"burn"'), 'line 6: device[0].after is \'burn\', expected "keep", "move" or "delete"'),
        (table(limit="0"), "line 6: device[0].limit is 0, expected a whole number, 1 or more"),
        (table(limit="true"), "line 6: device[0].limit is True, expected a whole number"),
        (table(settle="inf"), "line 6: device[0].settle is inf, expected seconds, 0 to 86,400"),
        (table(settle="nan"), "line 6: device[0].settle is nan, expected seconds"),
        (table(settle="-1"), "line 6: device[0].settle is -1, expected seconds"),
        (table(labels='"x.json"'), "line 6: device[0].labels is 'x.json', expected a table with `format`"),
        (table(labels='{ format = "csv" }'), "line 6: device[0].labels.format is 'csv', expected \"coco\", "),
        (table(labels='{ path = "../x.json" }'), "line 6: device[0].labels.path is '../x.json', expected a plain path"),
        (table(labels='{ classes = "x" }'), "line 6: device[0].labels.classes is 'x', expected nothing: only the for"),
        (table(labels=YOLO.format("[1]")), "device[0].labels.classes is [1], expected text: the name"),
        (table(labels=YOLO.format("[]")), "device[0].labels.classes is [], expected 1 to 10,000 names"),
        (table() + "[device.labels]\n\npath = 7\n", "line 8: device[0].labels.path is 7, expected text: a path within"),
        (
            table() + "[device.labels]\nform = 7\n",
            "line 7: device[0].labels.form is not known, expected one of",
        ),
        (table(storage_options="[1]"), "line 6: device[0].storage_options is no table, expected a table of options"),
        (table(storage_options="{ x = inf }"), "line 6: device[0].storage_options.x is inf, expected text, a finite"),
        (table(storage_options="{ x = 1979-05-27 }"), "device[0].storage_options.x is datetime.date(1979, 5, 27"),
        (
            table(storage_options='{ x = { env = "a b" } }'),
            "device[0].storage_options.x is a table of env, expected { env",
        ),
        (table(storage_options='{ x = { env = "A", y = 1 } }'), 'expected { env = "NAME" } with the name'),
        (table() + SUB_TABLE, "line 12: device[0].storage_options.x[1] is inf, expected text, a finite number"),
        (table() + table(storage='"t"', inbox='"j"', home='"g"'), "line 7: device[1].name is 'a', as in device[0]"),
        (table() + table(name='"b"', storage='"t"', home='"g"'), "line 9: device[1].inbox is '"),
        (table() + table(name='"b"', storage='"s/"', inbox='"j"', home='"g"'), "line 8: device[1].storage is '"),
    ],
)
def test_a_wrong_file_is_refused_by_line_and_field(tmp_path: Path, text: str, expected: str):
    told = message(tmp_path, text)
    assert expected in told
    assert told.startswith(f"the fleet file {tmp_path}/fleet.toml")
    assert "\n" not in told


@pytest.mark.parametrize("key", ["secret", "password", "token", "key", "account_key", "Authorization", "AWS_KEY"])
@pytest.mark.parametrize("field", ["storage_options", "inbox_options"])
def test_a_secret_in_plain_sight_is_refused_and_not_shown(tmp_path: Path, key: str, field: str):
    for value in ('"hunter2"', "7331", '["hunter2"]'):
        for options in (f"{{ {key} = {value} }}", f"{{ deeper = [{{ {key} = {value} }}] }}"):
            told = message(tmp_path, table(**{field: options}))
            assert f"line 6: device[0].{field}." in told
            assert 'is a secret in plain sight, expected no secret in this file: write { env = "NAME" } and' in told
            assert "hunter2" not in told
            assert "7331" not in told
    for reference in ('{ env = "CAM" }', '{ block = "cam-secret" }'):
        device = load_fleet(write(tmp_path, table(**{field: f"{{ {key} = {reference} }}"}))).devices[0]
        assert reference.split('"')[1] in str(getattr(device, field))


def test_secrets_are_not_shown_with_other_errors(tmp_path: Path):
    told = message(tmp_path, table(storage='"sftp://u:hunter2@h/x"', inbox_options='"password=hunter2"', home="7"))
    assert "3 errors" in told
    assert "hunter2" not in told
    for options in (
        '{ "a.b" = inf, secret = "hunter2" }',
        '{ x = { env = "A", password = "hunter2" } }',
        "{ many = [" + "1," * 300 + '], secret = "hunter2" }',
    ):
        assert "hunter2" not in message(tmp_path, table(storage_options=options))
    assert "sftp" not in told
    assert "line 5: device[0].home is 7" in told


def test_a_private_key_is_refused_under_any_name(tmp_path: Path):
    told = message(tmp_path, table(storage_options='{ client_keys = ["-----BEGIN PRIVATE KEY-----MII"] }'))
    assert "device[0].storage_options.client_keys[0] is a secret in plain sight" in told
    assert "MII" not in told


def test_all_errors_are_listed_in_the_order_of_their_lines(tmp_path: Path):
    text = table(inbox="7", after='"x"') + "\n# between\n" + table(name='"b"', storage=None, inbox='"j"', home='"i"')
    assert message(tmp_path, text).splitlines() == [
        f"the fleet file {tmp_path}/fleet.toml has 3 errors:",
        "  line 4: device[0].inbox is 7, expected text: an fsspec URL or a folder",
        '  line 6: device[0].after is \'x\', expected "keep", "move" or "delete"',
        "  line 9: device[1].storage is missing, expected text: an fsspec URL or a folder",
    ]


def test_what_was_found_is_cut_and_escaped(tmp_path: Path):
    told = message(tmp_path, table(name='"' + "x" * 500_000 + '"')).removeprefix(f"the fleet file {tmp_path}")
    assert len(told) < 300
    assert message(tmp_path, table(name=r'"\u001b[31m\u202e"')).isprintable()
    assert message(tmp_path, table(**{r'"\u001b[31m"': "1"})).isprintable()
    assert message(tmp_path, table(storage_options=r'{ "\u001b[31m" = inf }')).isprintable()
    assert message(tmp_path, r'"\u001b[31m" = 1' + "\n" + table()).isprintable()
    assert message(tmp_path, table(**{"colour" * 50_000: "1"})).count("colour") < 20


def test_a_missing_file(tmp_path: Path):
    with pytest.raises(FleetError, match=r"nothing\.toml cannot be read: No such file"):
        load_fleet(str(tmp_path / "nothing.toml"))


HOSTILE = {
    "a million tables": "[[device]]\n" * 95_000,
    "many keys": "[[device]]\n" + "".join(f"a{n}=1\n" for n in range(100_000)),
    "deep arrays": "x = " + "[" * 500_000,
    "deep tables": "x = " + "{a=" * 300_000,
    "a long dotted key": "a." * 400_000 + "a = 1",
    "a long dotted header": "[" + "a." * 400_000 + "a]",
    "many options": table(storage_options="{ x = [" + "1," * 300_000 + "] }"),
    "nested options": table(storage_options="{ x = " + "[" * 9 + "]" * 9 + " }"),
    "a string without end": table(name='"""' + "x" * 900_000),
    "quotes": '"' * 900_000,
    "escapes": table(name='"' + "\\" * 900_000),
    "triple quotes": '"""' * 300_000,
    "not UTF-8": "\udcff",
    "a long number": table(limit="9" * 900_000),
}


@pytest.mark.parametrize("name", [*HOSTILE, "a gigabyte", "no end"])
def test_a_hostile_file_is_refused_in_bounded_time_and_memory(tmp_path: Path, name: str):
    path = tmp_path / "fleet.toml"
    if name == "no end":
        path = Path("/dev/zero")
    elif name == "a gigabyte":
        with path.open("wb") as file:
            file.truncate(1 << 30)
    else:
        path.write_bytes(HOSTILE[name].encode(errors="surrogateescape"))
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(FleetError) as error:
        load_fleet(str(path))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert time.monotonic() - began < 60
    assert grown < 500_000  # KiB
    assert len(str(error.value)) < 20_000


def test_ten_thousand_devices_are_read_and_no_more(tmp_path: Path):
    text = "".join(f"[[device]]\nname='d{n}'\nstorage='s{n}'\ninbox='i{n}'\nhome='h{n}'\n" for n in range(MAX_DEVICES))
    assert len(load_fleet(write(tmp_path, text)).devices) == MAX_DEVICES
    assert "has 10,001 devices; at most 10,000" in message(tmp_path, text + table())


def test_lines_of_everything_in_a_file():
    text = (
        "top = 1\n[a.b]\nx.y = 2\n[[t]]\nk = \"\"\"\n[no]\n\"\"\"\nz = '''\n''' # [no]\n[t.sub]\nq = 1\n[[t]]\n"
        'l = [1,\n 2, {m = 3,\n n = [4]}]\n[[t.u]]\n[[t.u]]\n"quo.ted" = 1.5\n'
    )
    lines = toml_lines(text)
    expected = {
        ("top",): 1, ("a", "b"): 2, ("a", "b", "x", "y"): 3, ("t", 0): 4, ("t", 0, "k"): 5, ("t", 0, "z"): 8,
        ("t", 0, "sub"): 10, ("t", 0, "sub", "q"): 11, ("t", 1): 12, ("t", 1, "l"): 13, ("t", 1, "l", 0): 13,
        ("t", 1, "l", 1): 14, ("t", 1, "l", 2, "m"): 14, ("t", 1, "l", 2, "n"): 15, ("t", 1, "u", 0): 16,
        ("t", 1, "u", 1): 17, ("t", 1, "u", 1, "quo.ted"): 18, ("t", 1, "missing"): 12, ("nothing",): None,
    }  # fmt: skip
    assert {path: lines.line_of(path) for path in expected} == expected


def test_a_fleet_is_taken_apart_as_prefect_does_with_what_a_task_is_given(tmp_path: Path):
    fleet = load_fleet(write(tmp_path, table()))
    for model in (fleet, fleet.fog, *fleet.devices):
        assert set(dict(model)) == set(type(model).model_fields)
