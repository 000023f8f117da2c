"""What of a fleet and a weight store ``rinr doctor`` looks at."""

from collections.abc import Iterator
from pathlib import Path

from rinr.cli.doctor_findings import Finding, ok, problem, warning
from rinr.cli.doctor_machine import PACKAGE


def look_at_fleet(fleet: Path, seconds: float) -> Iterator[Finding]:
    """The fleet file, the fog's key, and every URL, credential, label file and clock of each device."""
    try:
        from storage.fleet_check import check_devices, check_fog
        from storage.fleet_file import FleetError, load_fleet
    except ModuleNotFoundError as error:
        yield problem("fleet", f"needs the package {error.name}", f"pip install '{PACKAGE}[fog]'")
        return
    from rinr.cli.fleet_access import secrets_of

    try:
        found = load_fleet(str(fleet))
    except FleetError as error:
        yield problem("fleet", str(error), f"mend it, or write another: rinr fleet init {fleet}")
        return
    yield ok("fleet", f"{fleet}: {len(found.devices)} devices")
    secrets = secrets_of(found.devices, found.fog)
    key = check_fog(found.fog, secrets)
    if key is None:
        yield ok("signing key", "there is one")
    else:
        yield problem("signing key", key.what, f"rinr keys new --keys {found.fog.keyring}")
    for one in check_devices(found.devices, secrets, seconds=seconds):
        subject = f"device {one.device}"
        if one.findings:
            told = "; ".join(f"{each.field}: {each.what}" for each in one.findings)
            yield problem(subject, told, f"then try it alone: rinr fleet check {fleet} --device {one.device}")
        else:
            yield ok(subject, f"{one.pictures or 0:,} pictures; {one.labels or 'no labels yet'}")


def look_at_store(store: str) -> Iterator[Finding]:
    """Whether the store opens, and of which version its schema is."""
    try:
        from storage.store import Store, StoreError
        from storage.tables import IMAGES
        from storage.weights.versions import VERSION, StoreVersionError, check_version
    except ModuleNotFoundError as error:
        yield problem("store", f"needs the package {error.name}", f"pip install '{PACKAGE}[fog]'")
        return
    try:
        version = check_version(store)
        if version is None:
            yield ok("store", f"{store}: none yet; the first run makes it")
            return
        rows = Store(store).scan(IMAGES, ["image_id"]).num_rows
    except StoreVersionError as error:
        yield problem("store", str(error), "update rinr, or name another store")
    except (StoreError, OSError, ValueError, ImportError) as error:
        yield problem("store", f"{store} does not open: {error}", f"rinr store verify --store {store}")
    else:
        said = f"{store}: version {version} of the schema, {rows:,} rows of images"
        if version < VERSION:
            do = "nothing need be done; back it up before: rinr of before cannot read it then"
            yield warning("store", f"{said}; the next write makes it version {VERSION}", do)
        else:
            yield ok("store", said)
