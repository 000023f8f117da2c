from dataclasses import replace
from datetime import UTC, datetime

import pytest

from storage.devices import DeviceFile
from storage.quarantine import (
    Case,
    QuarantineError,
    Refused,
    case_id,
    cases,
    closed,
    drop,
    find_case,
    quarantine_path,
    refuse,
    retry,
)
from storage.store import Store
from storage.tables import QUARANTINE, Refusal
from tests.storage.examples import digest, encoded_image, source

TIME = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)


def refusal(path: str = "a.jpg", **changes: object) -> Refusal:
    return replace(Refusal("cam-a", path, 10, TIME, f"{path}: it is broken", digest(path)), **changes)


def standing(store: Store) -> dict[str, str]:
    return {case.refusal.path: case.standing for case in cases(store)}


def test_cases_are_listed_newest_first(store: Store):
    assert cases(store) == []
    for path in ("a.jpg", "b.jpg"):
        refuse(store, [refusal(path)])
    refuse(store, [refusal("c.jpg", device="cam-b")])
    assert [case.refusal.path for case in cases(store)] == ["c.jpg", "b.jpg", "a.jpg"]
    assert [case.refusal.path for case in cases(store, "cam-b")] == ["c.jpg"]
    assert set(standing(store).values()) == {"open"}


def test_an_id_is_of_what_the_rows_of_a_case_share():
    one = refusal()
    # Worked out by hand: SHA-256 of the fields with zero bytes between.
    fields = ("cam-a", "a.jpg", "10", "2024-05-06T07:08:09.123456+00:00", "a.jpg: it is broken")
    assert case_id(one) == digest("\0".join(fields))[:12]
    assert case_id(replace(one, status="retry", quarantined_at=TIME, image_id=None, etag="x")) == case_id(one)
    others = [replace(one, size=None), replace(one, modified=None), replace(one, reason="x"), replace(one, path="b")]
    assert len({case_id(other) for other in [one, *others]}) == 5


def test_retry_drop_and_refuse_again(store: Store):
    refuse(store, [refusal("a.jpg"), refusal("b.jpg")])
    first = {case.refusal.path: case.first for case in cases(store)}
    assert retry(store, [case for case in cases(store) if case.refusal.path == "a.jpg"]) == 1
    assert standing(store) == {"a.jpg": "retry", "b.jpg": "open"}
    assert retry(store, [case for case in cases(store) if case.refusal.path == "a.jpg"]) == 0
    assert drop(store, cases(store)) == 2
    assert standing(store) == {"a.jpg": "dropped", "b.jpg": "dropped"}
    assert refuse(store, [refusal("a.jpg"), refusal("c.jpg")]) == 1  # what was given up is not listed again
    assert standing(store) == {"a.jpg": "dropped", "b.jpg": "dropped", "c.jpg": "open"}
    assert retry(store, [case for case in cases(store) if case.refusal.path == "a.jpg"]) == 1
    assert refuse(store, [refusal("a.jpg")]) == 1
    assert standing(store)["a.jpg"] == "open"
    assert {case.refusal.path: case.first for case in cases(store)}["a.jpg"] == first["a.jpg"]
    assert [case_id(case.refusal) for case in cases(store)] == [case.id for case in cases(store)]
    # Nothing is ever changed: every decision is a row.
    assert store.scan(QUARANTINE).num_rows == 8


def test_a_case_is_closed_by_a_later_source_of_its_file(store: Store):
    store.append([source(1, path="a.jpg")])
    refuse(store, [refusal("a.jpg"), refusal("b.jpg"), refusal("c.jpg", device="cam-b")])
    refuse(store, [refusal("named.jpg", size=None, modified=None, image_id=None)])
    assert set(standing(store).values()) == {"open"}
    store.append([source(2, path="b.jpg"), source(3, path="c.jpg"), source(4, path="named.jpg")])
    assert standing(store) == {"a.jpg": "open", "b.jpg": "taken", "c.jpg": "open", "named.jpg": "taken"}
    # So is one that was to be read again, and one that was given up is not.
    retry(store, [case for case in cases(store) if case.refusal.path == "a.jpg"])
    drop(store, [case for case in cases(store) if case.refusal.path == "c.jpg"])
    assert (standing(store)["a.jpg"], standing(store)["c.jpg"]) == ("retry", "dropped")
    store.append([source(5, path="a.jpg"), source(6, path="c.jpg", device="cam-b")])
    assert (standing(store)["a.jpg"], standing(store)["c.jpg"]) == ("taken", "dropped")


def test_a_path_that_is_spelled_otherwise_is_found_in_sources(store: Store):
    path = "\u202e" + "x" * 400 + ".jpg"
    refuse(store, [refusal(quarantine_path(path))])
    store.append([source(2, path=path)])
    assert list(standing(store).values()) == ["taken"]


def test_a_picture_that_could_not_be_read_is_closed_by_its_encoding(store: Store):
    unread = [refusal(f"{n}.jpg", size=None, modified=None, image_id=digest(f"image {n}")) for n in (1, 2)]
    refuse(store, unread)
    store.append([encoded_image(1)])
    assert standing(store) == {"1.jpg": "taken", "2.jpg": "open"}


def test_what_is_dropped_is_passed_over_and_what_is_retried_is_not(store: Store):
    refuse(store, [refusal("a.jpg"), refusal("b.jpg"), refusal("c.jpg")])
    by_path = {case.refusal.path: case for case in cases(store)}
    retry(store, [by_path["b.jpg"]])
    drop(store, [by_path["c.jpg"]])
    refused = Refused(store, "cam-a")
    assert [bool(refused.holds(DeviceFile(path, 10, TIME))) for path in ("a.jpg", "b.jpg", "c.jpg")] == [
        True,
        False,
        True,
    ]
    assert not refused.holds(DeviceFile("a.jpg", 11, TIME))
    assert not Refused(store, "cam-b").holds(DeviceFile("a.jpg", 10, TIME))
    # A retry that ended with another reason does not leave the first one asking for ever.
    refuse(store, [refusal("b.jpg", reason="b.jpg: still broken")])
    assert Refused(store, "cam-a").holds(DeviceFile("b.jpg", 10, TIME))


def test_cases_of_files_that_are_gone_are_taken_off_the_list(store: Store):
    refuse(store, [refusal("a.jpg"), refusal("b.jpg"), refusal("labels.json", size=None, modified=None, image_id=None)])
    outdated = Refused(store, "cam-a").outdated([DeviceFile("a.jpg", 10, TIME, "etag"), DeviceFile("b.jpg", 11, TIME)])
    assert [(row.path, row.status) for row in outdated] == [("b.jpg", "retry")]
    store.append(outdated)
    assert standing(store) == {"a.jpg": "open", "b.jpg": "retry", "labels.json": "open"}
    strays = Refused(store, "cam-a").of_no_file()
    assert [row.path for row in strays] == ["labels.json"]
    assert closed(strays, strays) == []
    store.append(closed(strays, []))
    assert standing(store)["labels.json"] == "retry"


def test_rows_of_the_first_release_have_no_status(store: Store):
    store.append([refusal("a.jpg", status=None)])
    assert standing(store) == {"a.jpg": "open"}
    assert Refused(store, "cam-a").holds(DeviceFile("a.jpg", 10, TIME))
    drop(store, cases(store))
    assert standing(store) == {"a.jpg": "dropped"}


def test_find_case():
    found = [Case(refusal(path), TIME) for path in ("a.jpg", "b.jpg")]
    assert find_case(found, found[0].id) is found[0]
    assert find_case(found, found[1].id[:6]) is found[1]
    with pytest.raises(QuarantineError, match="no case has the id 0000; `rinr quarantine list --all` shows"):
        find_case(found, "0000" if not any(case.id.startswith("0000") for case in found) else "ffff")
    with pytest.raises(QuarantineError, match="`x; rm` is no id: expected 12 hexadecimal digits"):
        find_case(found, "x; rm")
    with pytest.raises(QuarantineError, match=r"`a\\nb` is no id"):
        find_case(found, "a\nb")
    twice = [found[0], Case(replace(found[0].refusal), TIME)]
    with pytest.raises(
        QuarantineError, match=f"2 cases have ids that start with {found[0].id[:4]}: .*give more digits"
    ):
        find_case(twice, found[0].id[:4])


@pytest.mark.parametrize("path", ["a.jpg", "é b.jpg", "a" * 300])
def test_a_plain_path_stands_for_itself(path: str):
    assert quarantine_path(path) == path


def test_other_paths_are_spelled_safely_and_never_alike():
    paths = ["a\nb", "a\\nb", "a\rb", "\ud800", "x" * 301, "x" * 302, "\x1b[2J", "\u202e"]
    spelled = [quarantine_path(path) for path in paths]
    assert len(set(spelled)) == len(paths)
    assert all(text.isprintable() and len(text) <= 300 for text in spelled)
