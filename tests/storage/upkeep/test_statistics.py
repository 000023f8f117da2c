"""Statistics of a store, against sums of what was written."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from rinr.codec.frame import pack_frame
from storage.quarantine import quarantine_path
from storage.store import Store, StoreError
from storage.tables import Refusal, image_row
from storage.upkeep.statistics import NO_SOURCE, Share, statistics
from storage.upkeep.statistics_picture import draw, in_words
from tests.storage.stores import append_raw, files, fill, sound_image, sound_source

MOMENT = datetime(2026, 5, 2, tzinfo=UTC)


def size(*numbers: int) -> int:
    """Payload bytes of images, by their numbers."""
    return sum(len(pack_frame(sound_image(number).frame)) for number in numbers)


def test_rows_files_and_bytes(store: Store) -> None:
    fill(store)
    (Path(store.url) / "images" / "left.parquet").write_bytes(b"x" * 77)
    found = statistics(store.url)
    assert [(table.name, table.rows, table.files, table.orphans) for table in found.tables] == [
        ("images", 12, 3, 1), ("parts", 0, 0, 0), ("sources", 12, 1, 0), ("quarantine", 1, 1, 0),
        ("deliveries", 1, 1, 0),
    ]  # fmt: skip
    assert found.tables[0].bytes == sum(path.stat().st_size for path in files(store))
    assert found.tables[0].orphan_bytes == 77
    log = Path(store.url) / "images" / "_delta_log"
    assert found.tables[0].log_bytes == sum(path.stat().st_size for path in log.rglob("*") if path.is_file())
    assert found.payload_bytes == size(*range(12))
    assert found.images == 12
    of_tables = sum(path.stat().st_size for name in ("images", "sources", "quarantine", "deliveries")
                    for path in files(store, name))  # fmt: skip
    assert found.ratio == pytest.approx(of_tables / size(*range(12)))


def test_an_image_of_several_devices_counts_with_each_and_a_moved_file_once(store: Store) -> None:
    store.append([sound_image(number) for number in range(4)])
    store.append([sound_source(0), sound_source(1), sound_source(1, path="again.jpg")])
    store.append([sound_source(1, device="cam-b"), sound_source(2, device="cam-b"), sound_source(9, device="cam-c")])
    assert set(statistics(store.url).devices) == {
        Share("cam-a", 2, size(0, 1)),
        Share("cam-b", 2, size(1, 2)),
        Share(NO_SOURCE, 1, size(3)),
    }


def test_shares_and_growth(store: Store) -> None:
    store.create()
    days = [datetime(2026, 5, 1, 23, 59, 59, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)]
    rows = []
    for number in range(5):
        image = sound_image(number, family="cosine" if number == 4 else "siren", preset=f"p{number % 2}")
        rows.append(image_row(image, days[number > 1]))
    append_raw(store, "images", rows)
    store.append([sound_image(0, encoding_id="other", family="cosine", preset="p9")])
    found = statistics(store.url)
    assert set(found.families) == {Share("siren", 4, size(0, 1, 2, 3)), Share("cosine", 2, size(0, 4))}
    assert found.families[0].bytes >= found.families[1].bytes
    assert {share.name: share.rows for share in found.presets} == {"p0": 3, "p1": 2, "p9": 1}
    assert {share.name: share.rows for share in found.encodings} == {"siren-test-1": 5, "other": 1}
    assert [(share.name, share.rows) for share in found.days[:2]] == [("2026-05-01", 2), ("2026-05-02", 3)]
    assert found.days[0].bytes == size(0, 1)
    assert (found.images, found.payload_bytes) == (5, size(0, 1, 2, 3, 4, 0))


def test_what_lies_open_in_the_quarantine(store: Store) -> None:
    def refusal(path: str, minute: int, **changes: Any) -> Refusal:
        at = MOMENT + timedelta(minutes=minute)
        row = Refusal("cam-a", path, 5, MOMENT, f"{path}: broken", quarantined_at=at)
        return replace(row, **changes)

    store.append(
        [refusal("open.jpg", 0), refusal("given-up.jpg", 0), refusal("again.jpg", 0), refusal("mended.jpg", 0)]
    )
    store.append([refusal("given-up.jpg", 1, status="dropped"), refusal("again.jpg", 1, status="retry")])
    store.append([sound_source(1, path="mended.jpg", ingested_at=MOMENT + timedelta(days=1))])
    found = statistics(store.url)
    assert (found.refused, found.to_retry) == (1, 1)
    # A picture that could not be read to be encoded is closed by its encoding, and a path is found as it is spelled.
    image = sound_image(1)
    odd = "odd\u202e.jpg"
    store.append(
        [
            refusal("unread.jpg", 2, size=None, modified=None, image_id=image.image_id),
            refusal(quarantine_path(odd), 2),
            refusal(quarantine_path("other\u202e.jpg"), 2, status="retry"),
        ]
    )
    found = statistics(store.url)
    assert (found.refused, found.to_retry) == (3, 2)
    store.append([image])
    store.append([sound_source(2, path=odd, ingested_at=MOMENT + timedelta(days=1))])
    store.append([sound_source(3, path="other\u202e.jpg", ingested_at=MOMENT + timedelta(days=1))])
    found = statistics(store.url)
    assert (found.refused, found.to_retry) == (1, 1)


def test_an_empty_store_and_none(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        statistics(str(tmp_path / "nowhere"))
    store.create()
    found = statistics(store.url)
    assert (found.images, found.payload_bytes, found.ratio, found.days, found.devices) == (0, 0, None, (), ())
    assert Image.open(io.BytesIO(draw(found))).size == (1320, 770)


@pytest.mark.parametrize("days", [1, 2, 400])
def test_the_picture_takes_many_days_and_devices(store: Store, days: int) -> None:
    fill(store)
    found = replace(
        statistics(store.url),
        days=tuple(Share((date(2026, 1, 1) + timedelta(days=day)).isoformat(), 1, 10 + day) for day in range(days)),
        devices=tuple(Share(f"$a_{number}^" * 10, 1, 100 - number) for number in range(40)),
    )
    picture = Image.open(io.BytesIO(draw(found)))
    assert (picture.format, picture.size) == ("PNG", (1320, 770))
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_234_567, "1.23 MB"), (5e9, "5 GB"), (2e12, "2 TB")],
)
def test_bytes_for_people(number: float, words: str) -> None:
    assert in_words(number) == words
