from dataclasses import replace
from typing import Any

import pyarrow as pa

from storage.tables import (
    DELIVERIES,
    IMAGES,
    LAYOUTS,
    SOURCES,
    Delivery,
    delivery_row,
    image_row,
    now,
    source_from_row,
    source_row,
)
from tests.storage.examples import digest, encoded_image, source


def test_columns_of_images_in_order():
    assert IMAGES.schema.names == [
        "image_id",
        "labels_id",
        "encoding_id",
        "width",
        "height",
        "source_width",
        "source_height",
        "family",
        "preset",
        "picked",
        "stopped",
        "payload",
        "objects",
        "bytes_total",
        "bytes_background",
        "bytes_objects",
        "bytes_overhead",
        "bytes_shared",
        "background_db",
        "object_db",
        "fit_seconds",
        "codec_version",
        "part_id",
        "clip",
        "created_at",
    ]


def test_layouts_name_columns_that_exist():
    for layout in LAYOUTS:
        named = {*layout.key, layout.probe, layout.order, *layout.subject, *layout.index}
        assert named <= set(layout.schema.names)
        assert layout.probe in layout.key


def test_a_source_survives_its_row():
    for row in (source(1), source(2, annotated_size=None, notes=("a", "b"))):
        table = pa.Table.from_pylist([source_row(row)], schema=SOURCES.schema)
        assert source_from_row(table.to_pylist()[0]) == row


def delivery_from_row(row: dict[str, Any]) -> Delivery:
    """The inverse of ``delivery_row``, for rows of version 3."""
    values = {name: value for name, value in row.items() if name not in ("shard", "encoding_ids")}
    return Delivery(**values | {name: tuple(row[name] or ()) for name in ("image_ids", "labels_ids", "part_ids")})


def test_a_delivery_survives_its_row():
    heard = Delivery("cam-b", 2, 0, "heard", number=2**60)
    planned = Delivery("cam-b", 1, 7, "planned", 0, "e", digest("s"), 10, 8, 2, ("i", "j"), ("l", "m"), ("p",))
    for delivery in (heard, planned, replace(planned, status="refused", reason="edited", number=-1)):
        row = pa.Table.from_pylist([delivery_row(delivery)], schema=DELIVERIES.schema).to_pylist()[0]
        assert row["shard"] == f"shard-{delivery.generation:04d}-{delivery.sequence:08d}"
        assert row["labels_ids"] == (list(delivery.labels_ids) or None)
        assert delivery_from_row(row) == delivery


def test_bytes_of_an_image_row_add_up_to_what_travels():
    image = encoded_image(1)
    row = image_row(image, now())
    assert row["bytes_background"] == len(image.frame.background)
    assert row["bytes_objects"] == len(image.frame.objects)
    assert row["bytes_total"] == row["bytes_background"] + row["bytes_objects"] + row["bytes_overhead"]
