"""A newcomer's first day: from a wheel in an empty environment to a fleet that learns, queried, reset and upgraded.

``RINR_FIRST_DAY_VENV`` names an environment that has the dependencies already; without it they are downloaded.
"""

import io
import json
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rinr.version import __version__
from services.processes import Processes
from storage.store import Store
from storage.tables import IMAGES, SOURCES
from storage.weights.versions import VERSION, check_version
from tests.drills.browser import Pages, browser
from tests.drills.wheels import CHECKOUT, NEXT_VERSION, Newcomer, build
from tests.storage.test_docs import blocks, run
from tests.test_readme import blocks as readme_blocks
from tests.test_readme import lines

pytestmark = [pytest.mark.drill, pytest.mark.server]

DEVICES = ("device-1", "device-2", "device-3")
OLD = {"1f69af8ab5655391"}
"""Encodings of the golden store: what the first release made of four of the pictures."""

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
HANG_SECONDS = 2_400.0


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    work = tmp_path_factory.mktemp("first-day")
    came = Newcomer.arriving(build(work), work)
    yield came
    Processes(came.folder / "fog").stop_all()
    Processes(came.folder / "demo").stop_all()


@pytest.fixture
def pages() -> Iterator[Pages]:
    with browser() as opened:
        yield opened


def test_first_day_demo(newcomer: Newcomer) -> None:
    """`rinr demo` without the repository."""
    assert newcomer.rinr("--version") == f"rinr {__version__}\n"
    newcomer.rinr("demo", "--preset", "instant", "--epochs", "1", "--frames", "3")
    report = json.loads((newcomer.folder / "demo" / "report.json").read_text())
    assert report["failures"] == []
    assert [row["device"] for row in report["devices"]] == list(DEVICES)


def test_first_day(newcomer: Newcomer, pages: Pages, tell: Callable[[str], None], tmp_path: Path) -> None:
    folder, store = newcomer.folder, newcomer.folder / "store"
    shutil.copytree(CHECKOUT / "tests" / "golden" / "store-1", store)  # what the first release wrote on these devices
    assert {row["encoding_id"] for row in rows(store)} == OLD
    newcomer.rinr("sample", "sample")

    assert newcomer.told("doctor")["fine"]
    for device in DEVICES:
        some_pictures(folder, device, range(1, 7))
    newcomer.rinr("fleet", "init", typed=answers())
    told = newcomer.told("doctor", "--fleet", "fleet.toml", "--store", "store", code=1)
    (missing,) = [each for each in told["findings"] if each["standing"] == "problem"]
    assert missing["subject"] == "signing key"
    newcomer.rinr(*missing["do"].split()[1:])  # as it says
    told = newcomer.told("doctor", "--fleet", "fleet.toml", "--store", "store")
    assert "version 1 of the schema" in next(each["what"] for each in told["findings"] if each["subject"] == "store")

    up = newcomer.told("up", "--devices", "all", "--every", "1")
    assert set(up["runs"]) == {"server", "fog", *(f"device-{device}" for device in DEVICES)}
    again = newcomer.told("up")
    assert again == up, "up twice is up"
    tell(f"up: {up['pages']}")

    started = time.monotonic()
    wait("18 images taken and encoded by the schedule", lambda: encoded(store) == 18)
    for device in DEVICES:
        some_pictures(folder, device, range(7, 13))
    wait("the other 18", lambda: encoded(store) == 36)
    wait("every device has what the others took", lambda: holdings(newcomer) == [24, 24, 24])
    assert check_version(str(store)) == VERSION
    tell(f"36 pictures, in two lots, are on the devices after {time.monotonic() - started:.0f} s of schedule")

    counted = query(store, tmp_path)
    assert [row[0] for row in counted[:-1]] == list(DEVICES)
    assert counted[-1][0] == 36
    tell(f"DuckDB: {counted}")

    newcomer.rinr("device", "reset", "device-2", "--yes", "--store", "store")
    run = from_the_page(pages, up["pages"])
    tell(f"a run from the page: {run['name']}")
    wait("the device has all anew", lambda: standing(newcomer, "device-2") == (2, 24))

    newcomer.install(build(tmp_path, NEXT_VERSION))
    told = newcomer.told("doctor")
    assert any(each["subject"] == "deployments" and each["standing"] == "warning" for each in told["findings"])
    before = len(rows(store))
    upgraded = newcomer.told("up")
    assert (upgraded["version"], upgraded["up"], upgraded["port"]) == (NEXT_VERSION, True, up["port"])
    (folder / "places" / "device-1" / "thirteenth.jpg").write_bytes(another_picture(folder))
    wait("a picture taken by the new version", lambda: len(rows(store)) == before + 1)
    findings = newcomer.told("doctor")["findings"]
    assert {each["standing"] for each in findings if each["subject"] in ("deployments", "store")} == {"ok"}
    tell(f"upgraded to {NEXT_VERSION} over the store: {before + 1} rows")

    newcomer.rinr("down")
    assert Processes(folder / "fog").alive() == []
    newcomer.told("up", "--status", code=1)
    newcomer.rinr("store", "verify", "--store", "store")
    keys = [tuple(row.values()) for row in rows(store, "labels_id")]
    assert len(keys) == len(set(keys)) == before + 1, "nothing is lost, and nothing is there twice"


def test_first_day_readme(newcomer: Newcomer, tell: Callable[[str], None]) -> None:
    """The README's own words, on all of the sample and on devices of one machine."""
    reader = Newcomer(newcomer.venv, newcomer.folder.with_name("reader"))
    reader.folder.mkdir()
    try:
        for heading in ("Your own pictures", "Before you buy anything", "Your own devices"):
            ((_, block),) = readme_blocks(heading)
            for program, *words in lines(block):
                assert program == "rinr"
                if words[:2] == ["fleet", "init"]:
                    for device in DEVICES:
                        some_pictures(reader.folder, device, range(1, 4))
                reader.rinr(*words, typed=answers() if words[:2] == ["fleet", "init"] else ())
                tell(f"rinr {' '.join(words)}")
                if words[0] == "up":
                    wait("what the devices have", lambda: encoded(reader.folder / "store") == 9)
        for _, code in readme_blocks("Your own detector"):
            reader.python(code)
    finally:
        Processes(reader.folder / "fog").stop_all()


def rows(store: Path, *more: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Store(str(store)).scan(IMAGES, ["image_id", "encoding_id", *more]).to_pylist()
    return found


def encoded(store: Path) -> int:
    """Pictures that have a row of today's encoding and stand in `sources`."""
    taken = set(Store(str(store)).scan(SOURCES, ["image_id"])["image_id"].to_pylist())
    return len({row["image_id"] for row in rows(store) if row["encoding_id"] not in OLD} & taken)


def holdings(newcomer: Newcomer) -> list[int]:
    words = ("device", "standing", "--store", "store", "--json")
    return [one["images_acknowledged"] for one in json.loads(newcomer.rinr(*words))["devices"]]


def standing(newcomer: Newcomer, device: str) -> tuple[int, int]:
    devices = newcomer.told("device", "standing", "--store", "store")["devices"]
    (found,) = [one for one in devices if one["device"] == device]
    return found["generation"], found["images_acknowledged"]


def answers() -> list[str]:
    """What is typed when `rinr fleet init` asks: an empty line takes what it proposes."""
    lines = []
    for device in DEVICES:
        lines += [device, f"places/{device}", "", "", f"inboxes/{device}", f"homes/{device}", ""]
        lines += ["n" if device == DEVICES[-1] else "y"]
    return lines


def some_pictures(folder: Path, device: str, numbers: range) -> None:
    """Pictures arrive at a device, with labels of all that it will ever have."""
    place = folder / "places" / device
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "sample" / device / "annotations.json", place)
    for number in numbers:
        shutil.copy(folder / "sample" / device / f"frame-{number:02}.jpg", place)


def another_picture(folder: Path) -> bytes:
    """One that no device has had."""
    with Image.open(folder / "sample" / "device-1" / "frame-01.jpg") as picture:
        made = io.BytesIO()
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(made, format="JPEG", quality=90)
    return made.getvalue()


def query(store: Path, folder: Path) -> list[Any]:
    """What docs/queries.md prints for bytes by device and day, in DuckDB."""
    (encoding,) = {row["encoding_id"] for row in rows(store) if row["encoding_id"] not in OLD}
    values = {"store": str(store), "encoding": encoding}
    lines = run("DuckDB", values, blocks()["The tables", "DuckDB"], [3], folder / "queries")[3]
    return [json.loads(line) for line in lines]


def from_the_page(pages: Pages, address: str) -> Any:
    """Start the pipeline by its form, and wait for the end of the run."""
    deployment = ask(address, "deployments/name/pipeline/pipeline")["id"]
    pages.open(f"{address}/deployments/deployment/{deployment}/run")
    pages.wait_for("1 to 1000")
    pages.fill("Epochs", "2")
    before = {run["id"] for run in by_hand(address)}
    pages.click("Submit")
    wait("the run of the form", lambda: {run["id"] for run in by_hand(address)} > before)
    (run_id,) = {run["id"] for run in by_hand(address)} - before
    wait("its end", lambda: ask(address, f"flow_runs/{run_id}")["state"]["type"] in ENDED)
    run = ask(address, f"flow_runs/{run_id}")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    pages.open(f"{address}/runs/flow-run/{run_id}")
    pages.wait_for(run["name"])
    return run


def by_hand(address: str) -> list[Any]:
    """Runs of the pipeline that no schedule made."""
    wanted = {"flows": {"name": {"any_": ["pipeline"]}}, "sort": "START_TIME_DESC", "limit": 200}
    return [run for run in ask(address, "flow_runs/filter", wanted) if not run["auto_scheduled"]]


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def wait(what: str, look: Callable[[], bool]) -> None:
    end = time.monotonic() + HANG_SECONDS
    while not look():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(3)
