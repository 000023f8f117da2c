"""The query in ``docs/store.md`` runs as it stands there, without this project, and says the truth."""

import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from storage.store import Store
from storage.tables import LAYOUTS
from tests.storage.examples import ENCODING, digest, encoded_image, source

DOCUMENT = Path(__file__).parents[2] / "docs" / "store.md"


@pytest.fixture
def query(tmp_path: Path) -> Path:
    """The document's one block of Python, as a file."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert not re.search(r"^\s*(import|from) (rinr|storage|device|tasks|flows)", block, re.MULTILINE)
    path = tmp_path / "frames.py"
    path.write_text(block)
    return path


def ask(query: Path, store: Store, device: str, first: datetime, last: datetime) -> list[str]:
    arguments = [str(query), store.url, device, first.isoformat(), last.isoformat()]
    # Isolated from this project's folder and from PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-I", *arguments], cwd=query.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_documented_query(query: Path, store: Store):
    images = [encoded_image(number) for number in range(6)]
    for start in (0, 2, 4):  # several files, as batches make them
        store.append(images[start : start + 2])
    of = ["cam-a", "cam-a", "cam-b", "cam-a", "cam-a", "cam-a"]
    sources = [source(number, device=name) for number, name in enumerate(of)]
    store.append(sources)
    # Frame 3 was labelled anew and encoded again; frame 4 was labelled anew and waits.
    later = sources[0].ingested_at + timedelta(hours=1)
    relabelled = [replace(sources[n], labels_id=digest(f"corrected {n}"), ingested_at=later) for n in (3, 4)]
    store.append(relabelled)
    again = encoded_image(3, labels_id=relabelled[0].labels_id, frame=images[5].frame)
    store.append([again])
    DeltaTable(store.table_url("images")).optimize.compact()

    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    lines = ask(query, store, "cam-a", noon + timedelta(minutes=1), noon + timedelta(minutes=5))
    one, three = images[1], again
    assert lines == [
        f"2026-05-01T12:01:00+00:00 0001.jpg {ENCODING} {one.frame.bytes_total} bytes",
        f"2026-05-01T12:03:00+00:00 0003.jpg {ENCODING} {three.frame.bytes_total} bytes",
        f"sum {one.frame.bytes_total + three.frame.bytes_total} bytes",
        f"payload {one.frame.bytes_total} bytes: background 192 objects 21",
        "object boat [3, 4, 10, 12]",
    ]
    assert ask(query, store, "cam-c", noon, noon + timedelta(days=1)) == ["sum 0 bytes"]


def test_every_column_is_documented():
    text = DOCUMENT.read_text()
    for layout in LAYOUTS:
        section = text.split(f"\n### {layout.name}\n")[1].split("\n#")[0]
        cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
        assert documented == layout.schema.names
