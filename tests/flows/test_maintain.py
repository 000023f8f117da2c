"""The flow `maintain`, its tasks called as plain functions: what it does to a store, and what it publishes."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
from deltalake import DeltaTable
from prefect.exceptions import ParameterTypeError
from prefect.logging import disable_run_logger

import flows.maintain
import tasks.maintain
import tasks.publish_maintain
from flows.maintain import maintain
from storage.store import Store
from storage.upkeep.verification import verify
from tasks.artifacts import Summary
from tests.storage.stores import files, fill

Published = dict[str, Any]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Published:
    """What was published, by key; the flow runs without a server."""
    found: Published = {}

    def keep(key: str, description: str, content: Sequence[Mapping[str, Any]] | bytes | Summary) -> None:
        found[key] = content

    for name in ("compact", "vacuum", "count"):
        monkeypatch.setattr(flows.maintain, name, getattr(tasks.maintain, name).fn)
    monkeypatch.setattr(flows.maintain, "publish_statistics", tasks.publish_maintain.publish_statistics.fn)
    monkeypatch.setattr(flows.maintain, "turn", lambda verb, store: nullcontext())
    for name in ("publish_table", "publish_picture", "publish_summary"):
        monkeypatch.setattr(tasks.publish_maintain, name, keep)
    return found


def run(store: Store, **parameters: Any) -> int:
    """Maintain a store; returns the files removed. What the run's page would say of it stands in ``said``."""
    with disable_run_logger():
        state = cast(Any, maintain.fn(store.url, **parameters))
    said.append(state.message)
    return int(state.data)


said: list[str] = []


def test_many_small_files_become_few_and_the_store_stays_as_it_is(tmp_path: Path, published: Published) -> None:
    store = Store(str(tmp_path / "store"))
    fill(store, batches=20, size=2)
    before = len(files(store))
    assert run(store) == 0  # what was replaced a moment ago is kept for its readers
    assert (before, len(files(store))) == (20, 1)
    assert verify(store.url).clean
    assert said[-1] == "1 tables compacted"
    summary = published["maintenance"]
    assert summary.did == ["images: 20 files are now 1"]
    assert "40 images" in summary.cost[0]
    assert "replaced, not yet removed" in summary.left[0]
    (images, *_) = published["store-tables"]
    assert (images["table"], images["rows"], images["files before"], images["files"]) == ("images", 40, 20, 1)
    assert {name: value for name, value in published["store-shares"][0].items() if name != "payload bytes"} == {
        "of": "device",
        "name": "cam-a",
        "rows": 40,
    }
    assert published["store-picture"].startswith(b"\x89PNG")


def test_where_nothing_is_to_be_done_nothing_is_rewritten(tmp_path: Path, published: Published) -> None:
    store = Store(str(tmp_path / "store"))
    fill(store)
    run(store)  # the first run writes down for how long the tables keep what was replaced
    before = files(store), DeltaTable(store.table_url("images")).version()
    published.clear()
    assert run(store) == 0
    assert said[-1] == "nothing new"
    assert published == {}
    assert (files(store), DeltaTable(store.table_url("images")).version()) == before


def test_no_store_yet_is_no_failure(tmp_path: Path, published: Published) -> None:
    assert run(Store(str(tmp_path / "store"))) == 0
    assert published == {}
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("hours", [0, 0.5, 10_000])
def test_hours_out_of_bounds_are_refused(hours: float) -> None:
    with pytest.raises(ParameterTypeError):
        maintain.validate_parameters({"store": "/srv/store", "keep_hours": hours})
