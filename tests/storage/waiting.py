"""Pictures of a standing camera that have landed and wait to be encoded."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from rinr.boxes import Annotation
from rinr.labels import canonical_labels, image_id, labels_id
from storage.landing import Landing
from storage.store import Store
from storage.tables import Source
from tests.conftest import jpeg
from tests.rinr.standing import still
from tests.storage.examples import source

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def land(store: Store, numbers: Iterable[int], *, seed: int = 0, device: str = "cam-a", hours: int = 0) -> list[Source]:
    """Frames of one scene, ``number`` seconds past noon, whose sources and JPEGs the store has."""
    landing, sources = Landing(store.url), []
    for number in numbers:
        data, boxes = jpeg(still(seed, number % 16)), (Annotation(18, 8 + number % 16, 12, 12, "square"),)
        landing.put(image_id(data), data)
        sources.append(
            source(
                number,
                image_id=image_id(data),
                labels_id=labels_id(boxes),
                labels=canonical_labels(boxes).decode(),
                annotated_size=(64, 48),
                device=device,
                path=f"{hours:02}-{number}.jpg",
                captured_at=NOON + timedelta(hours=hours, seconds=number),
            )
        )
    store.append(sources)
    return sources
