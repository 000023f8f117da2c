from storage.tables import DELIVERIES, IMAGES, SOURCES
from storage.upkeep.relations import loose_deliveries, loose_images
from storage.upkeep.row_prints import Place, RowPrints, fingerprint


def image(number: int, labels: str = "none") -> dict[str, str]:
    return {"image_id": f"image {number}", "labels_id": labels, "encoding_id": "e"}


def prints(layout, groups: dict[tuple[str, int], list]) -> RowPrints:
    kept = RowPrints(layout)
    for (path, group), rows in groups.items():
        for number, row in enumerate(rows):
            kept.add(Place(path, group, number), row)
    return kept


def test_texts_do_not_run_into_each_other():
    assert fingerprint(["ab", "c"]) == fingerprint(["ab", "c"])
    assert (
        len({fingerprint(["ab", "c"]), fingerprint(["a", "bc"]), fingerprint(["abc"]), fingerprint(["abc", None])}) == 4
    )


def test_rows_are_found_where_they_stand():
    groups = {
        ("a", 0): [image(0), None, image(1)],
        ("a", 2): [image(0)],  # of the group before nothing could be read
        ("b", 0): [None, image(2), image(1), image(1, "other")],
    }
    kept = prints(IMAGES, groups)
    places = [Place(path, group, row) for (path, group), rows in groups.items() for row in range(len(rows))]
    assert [kept.place(number) for number in range(len(places))] == places
    assert [places[number] for number in kept.repeated()] == [Place("a", 2, 0), Place("b", 0, 2)]


def test_rows_that_speak_of_what_is_not_there():
    images = prints(IMAGES, {("a", 0): [image(0), image(1), image(2)]})
    sources = prints(SOURCES, {("s", 0): [{"image_id": "image 0"}, None, {"image_id": "image 2"}]})
    (loose,) = loose_images(images, sources)
    assert (loose.row, loose.prints) == (1, (fingerprint(["image 1"]),))

    def delivery(*numbers: int) -> dict[str, list[str]]:
        rows = [image(number) for number in numbers]
        return {f"{name}s": [row[name] for row in rows] for name in ("image_id", "labels_id", "encoding_id")}

    deliveries = prints(DELIVERIES, {("d", 0): [delivery(0, 1), None, delivery(2, 7, 8), delivery()]})
    (loose,) = loose_deliveries(deliveries, images)
    assert (loose.row, loose.what) == (2, "2 of its 3 images have no row in images")
    assert loose.prints == tuple(fingerprint([f"image {number}", "none", "e"]) for number in (7, 8))
