"""The queries in ``docs/queries.md`` run as they stand there, without this project, and say the truth."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rinr.cli.main import app
from rinr.codec.frame import unpack_frame
from storage.store import Store
from storage.tables import IMAGES, LAYOUTS
from tests.storage.example_store import EXPORTED, GOLDEN, Answers, Written, write_store
from tests.storage.examples import digest

DOCS = Path(__file__).parents[2] / "docs"
ENGINES = ("pyarrow", "DuckDB", "Polars")
QUERIES = range(1, 11)
MODULES = {"pyarrow": {"pyarrow"}, "DuckDB": {"duckdb", "pyarrow"}, "Polars": {"polars"}}

Blocks = dict[tuple[str, str], list[str]]
Printed = dict[str, dict[int, list[str]]]


def blocks() -> Blocks:
    """The page's blocks of Python by the heading and the engine above them (``""`` where none is named)."""
    found: Blocks = {}
    text = (DOCS / "queries.md").read_text()
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading, engine = section.split("\n", 1)[0], ""
        for name, code in re.findall(r"^\*\*(.*?)\*\*$|^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            engine = name or engine
            if code:
                found.setdefault((heading, engine), []).append(code)
    return found


def query(number: int, engine: str) -> str:
    ((_, [code]),) = [item for item in blocks().items() if re.match(rf"{number} ", item[0][0]) and item[0][1] == engine]
    return code


def run(engine: str, values: dict[str, Any], pieces: list[str], numbers: list[int], folder: Path) -> dict[int, list]:
    """Run blocks and queries of one engine as a script; the lines that each query printed."""
    folder.mkdir()
    script = ["import datetime", *(f"{name} = {value!r}" for name, value in values.items()), *pieces]
    for number in numbers:
        script += [f"print('query {number}')", query(number, engine)]
    script += ["import sys", "assert not {'rinr', 'storage', 'device'} & set(sys.modules)"]
    (folder / "queries.py").write_text("\n".join(script))
    # Isolated from this project's folder and from PYTHONPATH.
    done = subprocess.run(
        [sys.executable, "-I", "queries.py"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    parts = re.split(r"^query (\d+)\n", done.stdout, flags=re.MULTILINE)
    return {int(number): lines.splitlines() for number, lines in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write_store(str(tmp_path_factory.mktemp("docs") / "it's a störe"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("run")
    return {engine: base / engine for engine in ENGINES}


@pytest.fixture(scope="module")
def printed(written: Written, folders: dict[str, Path]) -> Printed:
    """What each engine printed for each query."""
    found = blocks()
    return {
        engine: run(engine, written.values(), found["The tables", engine], list(QUERIES), folders[engine])
        for engine in ENGINES
    }


def test_each_query_stands_there_in_each_engine():
    found = blocks()
    for engine in ENGINES:
        assert len(found["The tables", engine]) == 2
        assert len(found["A store on S3", engine]) == 1
    assert len(found) == 1 + 3 + 4 + len(QUERIES) * len(ENGINES)
    for (_, engine), codes in found.items():
        for code in codes:
            assert not re.search(r"^\s*(import|from) (rinr|storage|device|tasks|flows|services)\b", code, re.MULTILINE)
            imported = {
                name.split(".")[0]
                for node in ast.walk(ast.parse(code))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
            }
            assert imported - set(sys.stdlib_module_names) <= MODULES.get(engine, set()) | {"deltalake"}


def test_the_values_are_those_that_the_test_sets(written: Written):
    ((code,),) = [codes for (heading, _), codes in blocks().items() if heading == "The values"]
    values: dict[str, Any] = {}
    exec(code, values)
    asked = written.values()
    assert {name: type(values[name]) for name in asked} == {name: type(value) for name, value in asked.items()}
    assert set(values) - {"__builtins__", "datetime", "timedelta", "UTC"} == set(asked)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("number", QUERIES)
def test_a_query_says_the_truth(written: Written, printed: Printed, number: int, engine: str):
    expected = Answers(written).of(number)
    assert len(expected) > (2 if number not in (9, 10) else 0)
    assert [json.loads(line) for line in printed[engine][number]] == expected


def test_the_engines_print_the_same(printed: Printed):
    assert printed["pyarrow"] == printed["DuckDB"] == printed["Polars"]


def test_the_rows_that_count_are_those_of_the_store(written: Written):
    """The page's rule is the one that this project goes by."""
    table = Store(written.url).scan(IMAGES, ["image_id", "labels_id", "encoding_id"])
    mine = Answers(written).keys()
    assert set(zip(*(column.to_pylist() for column in table.columns), strict=True)) == mine
    assert table.num_rows == len(mine) < len(written.images)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_exported_frame(printed: Printed, folders: dict[str, Path], engine: str):
    assert printed[engine][10]
    stem = folders[engine] / digest(f"image {EXPORTED}")
    payload = stem.with_suffix(".rinr").read_bytes()
    assert payload == GOLDEN.read_bytes()
    boxes = [
        {"label": box.label, "x": box.x, "y": box.y, "width": box.width, "height": box.height}
        for box in unpack_frame(payload).boxes
    ]
    assert boxes
    assert json.loads(stem.with_suffix(".json").read_text()) == boxes


def test_the_exported_frame_is_decoded(printed: Printed, folders: dict[str, Path], tmp_path: Path):
    from PIL import Image
    from typer.testing import CliRunner

    stem = folders["DuckDB"] / digest(f"image {EXPORTED}")
    done = CliRunner().invoke(app, ["decode", f"{stem}.rinr", "--out", str(tmp_path), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / f"{stem.name}.png") as picture, Image.open(GOLDEN.with_suffix(".png")) as golden:
        assert picture.size == golden.size


@pytest.mark.parametrize("engine", ENGINES)
def test_fewer_images_than_were_asked_for(tmp_path: Path, written: Written, engine: str):
    values = written.values() | {"count": 1000}
    lines = run(engine, values, blocks()["The tables", engine], [2], tmp_path / "run")
    assert [json.loads(line) for line in lines[2]] == Answers(written).worst()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_that_is_still_empty(tmp_path: Path, written: Written, engine: str):
    Store(str(tmp_path / "store")).create()
    values = written.values() | {"store": str(tmp_path / "store")}
    numbers = [1, 2, 4, 5, 6, 7, 8, 9]
    lines = run(engine, values, blocks()["The tables", engine], numbers, tmp_path / "run")
    assert lines == {number: [] for number in numbers}


def test_a_store_on_s3(tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ACCESS_KEY_ID": "me",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            monkeypatch.setenv(name, value)
        bucket = s3fs.S3FileSystem(skip_instance_cache=True)
        bucket.mkdir("bucket")
        bucket.put(written.url, "bucket/a störe", recursive=True)
        values = written.values() | {"store": "s3://bucket/a störe"}
        found = blocks()
        options = found["A store on S3", ""]
        for engine in ENGINES:
            pieces = [*options, *found["A store on S3", engine], found["The tables", engine][1]]
            lines = run(engine, values, pieces, [1, 6, 10], tmp_path / engine)
            for number, printed in lines.items():
                assert [json.loads(line) for line in printed] == Answers(written).of(number), (engine, number)
    finally:
        server.stop()


def test_every_column_is_documented():
    text = (DOCS / "store.md").read_text()
    for layout in LAYOUTS:
        section = text.split(f"\n### {layout.name}\n")[1].split("\n#")[0]
        cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        documented = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
        assert documented == layout.schema.names


def test_the_links_lead_somewhere():
    text = (DOCS / "queries.md").read_text()
    headings = re.findall(r"^##+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    linked = re.findall(r"\]\(#(.*?)\)", text) + re.findall(r"queries\.md#([\w-]+)", (DOCS / "store.md").read_text())
    assert len(linked) > len(QUERIES)
    assert set(linked) <= anchors
    assert all((DOCS / target).exists() for target in re.findall(r"\]\(([\w.]+)\)", text))
