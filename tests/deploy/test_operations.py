"""docs/operations.md: its commands exist, its links lead somewhere, its copy of a store in use is sound."""

import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from flows.catalogue import DEVICE_POOL, FOG_POOL
from storage.store import Store
from storage.tables import IMAGES
from storage.upkeep.verification import verify
from tests.storage.stores import sound_image, sound_source

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def test_links_and_files_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        if not target.startswith("http"):
            assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"(?<![/\w])deploy/[\w.@/-]+\w", PAGE):
        assert (ROOT / path).exists(), path


def test_pools_are_the_catalogues() -> None:
    assert f"work-pool create {FOG_POOL} " in PAGE
    assert f"work-pool create {DEVICE_POOL} " in PAGE


def test_units_are_those_there_are() -> None:
    units = {path.name.removesuffix(".service").removesuffix("@") for path in (ROOT / "deploy/systemd").iterdir()}
    assert set(re.findall(r"\brinr-(?:server|fog|device-run|device)\b", PAGE)) == units


@pytest.mark.parametrize("block", BLOCKS)
def test_the_shell_understands_it(block: str) -> None:
    subprocess.run(["bash", "-n", "-c", block], check=True, timeout=10)


def test_a_store_that_is_written_to_is_copied_soundly(tmp_path: Path) -> None:
    """The commands of the page, while another one writes and compacts."""
    if shutil.which("tar") is None:
        pytest.skip("tar is not here")
    (block,) = [block for block in BLOCKS if "_delta_log" in block]
    commands = block.replace("/srv/rinr/store", str(tmp_path / "store")).replace("/backup", str(tmp_path / "backup"))
    commands = "\n".join(line for line in commands.splitlines() if not line.startswith("rinr"))
    store = Store(str(tmp_path / "store"))
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        for number in range(10_000):
            store.append([sound_source(number)])
            store.append([sound_image(number)])
            if number % 10 == 9:
                store.compact()
            if number == 12:
                written.set()
            if stop.is_set():
                return

    store.create()
    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(60)
        done = subprocess.run(["bash", "-ec", commands], capture_output=True, text=True, timeout=60, check=False)
    finally:
        stop.set()
        writer.join(60)
    assert done.returncode == 0, done.stderr
    found = verify(str(tmp_path / "backup" / "store"))
    assert found.clean, found.findings
    copied = Store(str(tmp_path / "backup" / "store")).scan(IMAGES, ["image_id"]).num_rows
    assert 12 <= copied <= store.scan(IMAGES, ["image_id"]).num_rows
