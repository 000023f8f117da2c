"""What runs leave to look at: the three headings, their figures, and text from elsewhere that stays text."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_UI_URL, temporary_settings

from storage.delivery import DeliveryReport, SentShard, Standing
from storage.ingestion import IngestReport
from storage.tables import Summary as StoreSummary
from tasks import artifacts
from tasks.artifacts import Summary, plain, publish_summary, run_link
from tasks.deliver import UnreachedDevice
from tasks.device_runs import DeviceRun
from tasks.ingest import Ingested, IngestError
from tasks.publish_deliver import delivery_summary
from tasks.publish_encode import encoding_sentence, encoding_summary
from tasks.publish_ingest import ingest_summary
from tasks.publish_pipeline import pipeline_summary
from tasks.report import PipelineReport
from tasks.stages import Stage, rate


def report(device: str, **counts: Any) -> IngestReport:
    return IngestReport(device, 9, counts.pop("new", 0), 0, counts.pop("refused", 0), (), **counts)


INGESTED = Ingested(
    (report("a", new=4, bytes=4000, backlog=7), report("b", new=2, bytes=500, refused=1, waiting=3), report("c")),
    ("gone: sftp://gone does not answer <b>now</b>",),
)


def test_a_run_of_ingestion_says_what_it_did_what_it_cost_and_what_is_left() -> None:
    summary = ingest_summary(INGESTED, open_cases=5, seconds=3.0)
    assert summary.did == ["6 new (a 4, b 2)", "1 refused (b 1)"]
    assert summary.cost == ["6 images in 3.0 s, 2.0 images/s", "4,500 bytes of new pictures"]
    assert summary.left == [
        "3 wait for their labels to be repaired (b 3)",
        "7 are over the limit of one run: the next one takes more (a 7)",
        "not read: gone: sftp://gone does not answer &lt;b&gt;now&lt;/b&gt;",
        "5 refused in the quarantine: `rinr quarantine list` says why",
    ]


def test_the_sentence_of_an_ingestion_and_its_failure() -> None:
    assert INGESTED.sentence == "6 new from 2 of 3 devices, 1 refused"
    assert Ingested((report("a", waiting=2),), ()).sentence == "nothing new"
    assert not Ingested((report("a", waiting=2),), ()).changed
    with pytest.raises(IngestError, match="1 of 4 devices not read: gone: sftp"):
        INGESTED.raise_for_failures()


def test_a_run_of_encoding_says_what_it_did_what_it_cost_and_what_is_left() -> None:
    held = StoreSummary(10, 1000, 500, 400, 100, 25.0, 32.0, ("cosine",))
    summary = encoding_summary(held, "balanced", added=6, missing=2, open_cases=0, seconds=3.0)
    assert summary.did == ["6 images encoded with `balanced`"]
    assert summary.cost == ["6 images in 3.0 s, 2.0 images/s", "100 bytes an image in the mean of 10"]
    assert summary.left == ["2 images have no row of this encoding"]
    shared = encoding_summary(replace(held, bytes_shared=500), "clip", added=6, missing=0, open_cases=0, seconds=3.0)
    assert shared.cost[1] == "150 bytes an image in the mean of 10"
    assert encoding_sentence(6, "balanced") == "6 images encoded as balanced"
    assert encoding_sentence(0, "balanced") == "nothing new"


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def contact(device: str, **changes: Any) -> DeliveryReport:
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Standing)), 0)
    standing = Standing(**nothing | {
        "device": device, "shards_sent": changes.pop("shards", 0), "images_sent": changes.pop("images", 0),
        "waiting_since": changes.pop("since", None), "refused": changes.pop("refusals", ()),
        "silent": changes.pop("silent", False),
    })  # fmt: skip
    said = {"sent": (), "acknowledged": (), "asked": (), "refused": (), "left_out": 0, "notes": ()}
    return DeliveryReport(device, 1, 2, **(said | changes), standing=standing, trained=None)


def test_a_run_of_delivery_says_what_it_did_what_it_cost_and_what_is_left() -> None:
    run = str(uuid4())
    sent = (SentShard("shard-0001-00000002", 6, 900),)
    reports = [
        contact("a", sent=sent, acknowledged=("shard-0001-00000001",), shards=1, images=6, since=NOON, left_out=7),
        contact("b", shards=2, images=9, since=NOON - timedelta(hours=30), silent=True),
        contact("c", refusals=(("shard-0001-00000001", "it is *edited*"),)),
    ]
    with temporary_settings({PREFECT_UI_URL: "http://fog:4200"}):
        summary = delivery_summary(
            reports, [UnreachedDevice("d", "no route")], [DeviceRun("a", run)], 3.0, NOON + timedelta(hours=1)
        )
    assert summary.did == [
        "a: 1 shards with 6 images, 900 bytes, sent, 1 shards acknowledged "
        f"([its run](http://fog:4200/runs/flow-run/{run}))"
    ]
    assert summary.cost == ["6 images in 3.0 s, 2.0 images/s", "900 bytes sent"]
    assert summary.left == [
        "a: 6 images wait for it since 1.0 hours",
        "a: 7 images found no room now and come later",
        "b: 9 images wait for it since 31.0 hours, and it says nothing",
        r"c refused shard-0001-00000001: it is \*edited\*",
        "d not reached: no route",
    ]


def test_the_pipelines_page_leads_to_its_runs() -> None:
    run, stage = str(uuid4()), str(uuid4())
    done = PipelineReport(
        preset="balanced",
        encoding_id="e",
        stages=(Stage("ingest", 1.5), Stage("encode", 3.0)),
        ingested=INGESTED.reports,
        encoded=6,
        runs=(DeviceRun("a", run),),
        store=StoreSummary(10, 1000, 500, 400, 100, 25.0, 32.0, ("cosine",)),
        comparison=None,
        devices=(),
        failures=("ingest: it *broke*",),
    )
    with temporary_settings({PREFECT_UI_URL: "http://fog:4200"}):
        summary = pipeline_summary(done, {"encode": stage})
        assert summary.did == [
            f"[encode](http://fog:4200/runs/flow-run/{stage}): 6 images encoded with `balanced`",
            f"[train on a](http://fog:4200/runs/flow-run/{run})",
        ]
    assert "encoding: 6 images in 3.0 s, 2.0 images/s" in summary.cost
    assert "1,000 bytes for the 10 images" in summary.cost[-1]
    assert summary.left == [
        r"**failed**: ingest: it \*broke\*",
        "3 pictures wait for their labels to be repaired",
        "7 pictures are taken by a later run",
    ]


def test_a_summary_has_three_headings_and_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda text, **_: written.append(text))
    publish_summary("k", "d", Summary([f"line {i}" for i in range(150)], ["1 s"], []))
    (text,) = written
    assert [line for line in text.splitlines() if line.startswith("#")] == ["## Did", "## Cost", "## Left"]
    assert "- and 50 more" in text
    assert text.rstrip().endswith("nothing")


def test_text_from_elsewhere_is_shown_as_it_is() -> None:
    assert plain("bridge-cam_1") == r"bridge-cam\_1"
    assert plain("[x](javascript:alert(1))<img src=x onerror=y>") == (
        r"\[x\]\(javascript:alert\(1\)\)&lt;img src=x onerror=y&gt;"
    )
    assert "\n" not in plain("a\n# heading\x1b[2J")
    assert len(plain("x" * 10_000)) < 600


def test_a_link_without_an_address_of_the_pages_is_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "url_for", lambda *_: None)
    assert run_link("train on a", str(uuid4())) == "train on a"


def test_a_rate_of_nothing_is_no_rate() -> None:
    assert rate(0, 3.0) == "0 images in 3.0 s"
    assert rate(5, 0.0) == "5 images in 0.0 s"
