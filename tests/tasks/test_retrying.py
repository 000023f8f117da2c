from pathlib import Path

import pytest
from prefect import task
from prefect.states import Completed, Failed

from device.job import DeviceJobError
from storage.credentials import CredentialError, Reference, environment
from storage.devices import DeviceError, DeviceStorage
from storage.fleet import Device, FleetError
from storage.fleet_file import load_fleet
from storage.inbox import InboxError
from storage.quarantine import QuarantineError
from storage.shards.faults import KeyringError
from storage.store import Store, StoreError
from storage.tables import SOURCES
from storage.weights.versions import StoreVersionError
from tasks.retrying import is_lasting, may_succeed_later
from tests.storage.examples import source


@task
def nothing() -> None: ...


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (OSError("gone"), True),
        (ConnectionResetError("reset"), True),
        (TimeoutError(), True),
        (RuntimeError("busy"), True),
        (StoreError("the server answers 503"), True),
        (DeviceError("no route to host"), True),
        (InboxError("no space left"), True),
        (ValueError("wrong"), False),
        (FleetError("line 3"), False),
        (CredentialError("not set"), False),
        (QuarantineError("no id"), False),
        (StoreVersionError("newer"), False),
        (KeyringError("no key that signs"), False),
        (ModuleNotFoundError("s3fs"), False),
        (KeyError("name"), False),
        (DeviceJobError("nothing to train on"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_wrong_with_the_input_is_not_tried_again(error: Exception, again: bool) -> None:
    assert may_succeed_later(nothing, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_what_succeeded_is_not_tried_again() -> None:
    assert may_succeed_later(nothing, None, Completed(data=1)) is False  # type: ignore[arg-type]


def raised_by(do: object, *arguments: object) -> Exception:
    try:
        do(*arguments)  # type: ignore[operator]
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_errors_as_they_really_come(tmp_path: Path) -> None:
    """Each from the code that raises it: what it was made of decides, also where ``from None`` hides it."""
    missing = Device(name="a", storage=str(tmp_path / "gone"), inbox="/i", home="/h")
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "store.json").write_text('{"format": "rinr-store", "version": 99}')
    lasting = [
        raised_by(Store, "nosuchscheme://bucket/store"),
        raised_by(Store(str(newer)).append, [source(1)]),
        raised_by(DeviceStorage(missing, environment).list),
        raised_by(load_fleet, str(tmp_path / "fleet.toml")),
        raised_by(environment, Reference("env", "RINR_NO_SUCH_VARIABLE")),
    ]
    assert [type(error).__name__ for error in lasting if not is_lasting(error)] == []
    assert [type(error).__name__ for error in lasting[:3]] == ["StoreError", "StoreError", "DeviceError"]

    torn = Store(str(tmp_path / "store"))
    torn.append([source(1)])
    for file in (tmp_path / "store" / "sources").glob("*.parquet"):
        file.unlink()  # as when it is compacted away between a look at the log and the reading
    assert not is_lasting(raised_by(Store(torn.url).scan, SOURCES))


def test_a_job_that_met_a_full_disk_is_tried_again() -> None:
    error = DeviceJobError("the home cannot be written")
    error.__cause__ = OSError(28, "No space left on device")
    assert not is_lasting(error)
