"""What waits, in the order of capture, however ids and paths are ordered."""

from dataclasses import replace
from pathlib import Path

from storage.store import Store
from tests.storage.examples import ENCODING, encoded_image, source


def test_each_device_in_the_order_of_capture_less_what_is_encoded(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    assert store.missing_in_order(ENCODING) == []
    sources = [source(number, path=f"{9 - number}.jpg") for number in range(6)]
    others = [source(number, device="cam-b", path=f"{number}.jpg") for number in range(10, 13)]
    store.append([*others, *sources[::-1], replace(sources[0], device="cam-b", path="copy.jpg")])
    store.append([encoded_image(2), encoded_image(11)])
    expected = [source(number).image_id for number in (0, 1, 3, 4, 5, 10, 12)]
    assert store.missing_in_order(ENCODING) == expected
    assert {pending.image_id for pending in store.missing(ENCODING)} == set(expected)
    assert [pending.captured_at for pending in store.missing(ENCODING, [expected[3]])] == [source(4).captured_at]
    assert len(store.missing_in_order("another")) == 9
