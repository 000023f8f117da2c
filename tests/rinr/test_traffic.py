import itertools
import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rinr.traffic import (
    ACKNOWLEDGEMENT_BYTES,
    ROW_BYTES,
    SHARD_BYTES,
    Exchange,
    SharedPart,
    Traffic,
    bound,
    break_even,
    device_to_device,
    direct,
    images_for_model,
    model_break_even,
    model_sent,
    own_link_seconds,
    paper_break_even,
    radio_seconds,
    ratio,
    relative_size,
    relayed,
    through_fog,
    with_receivers,
)

SIZES = st.floats(1, 1e6)
QUICK = settings(max_examples=40, deadline=None)


class Air:
    """Counts what is sent, file by file: each file to each hearer until it has arrived."""

    def __init__(self, loss: float = 0.0, seed: int = 0) -> None:
        self.loss, self.chance = loss, random.Random(seed)
        self.by_devices = self.by_fog = 0.0

    def send(self, size: float, *, fog: bool = False, hearers: int = 1) -> None:
        """To all of so many hearers at once, again and again while one of them has not heard it."""
        while hearers:
            hearers = sum(self.chance.random() < self.loss for _ in range(hearers))
            if fog:
                self.by_fog += size
            else:
                self.by_devices += size


def wanting(image: int, devices: int, receivers: int, wanted: int) -> list[int]:
    """Who gets an image: of the devices after its own as many as are to receive, of those so many that want it."""
    source = image % devices
    neighbours = [(source + step) % devices for step in range(1, receivers + 1)]
    turn = image // devices
    return [neighbours[(turn + number) % receivers] for number in range(wanted)]


def counted(
    air: Air, exchange: Exchange, wanted: int, upload: float, payload: float, clip: SharedPart | None = None
) -> Air:
    """A round through the fog as events: uploads, then each device's shard, row by row, and its acknowledgement."""
    boxes: dict[int, list[int]] = {}
    for image in range(exchange.images):
        air.send(upload)
        for device in wanting(image, exchange.devices, exchange.receivers, wanted):
            boxes.setdefault(device, []).append(image)
    for images in boxes.values():
        for _ in images:
            air.send(payload + ROW_BYTES, fog=True)
        for _ in {image // clip.frames for image in images} if clip else ():
            air.send(clip.bytes + ROW_BYTES, fog=True)
        air.send(SHARD_BYTES, fog=True)
        air.send(ACKNOWLEDGEMENT_BYTES)
    return air


def test_the_papers_figure():
    assert ratio(9, 0.083) == pytest.approx(5.16, abs=0.01)
    assert relative_size(5.16, 9) == pytest.approx(0.083, abs=0.0005)
    assert bound(9) == 9
    # However small the INRs are, nine receivers do not pass 9; halved uploads double what can be reached.
    assert ratio(9, 1e-9) < bound(9) < ratio(9, 1e-9, upload=0.5) < bound(9, upload=0.5) == 18


@QUICK
@given(st.integers(1, 50), st.floats(0.001, 2), st.floats(0.01, 1), SIZES)
def test_ratio_size_and_bytes_say_the_same(receivers, size, upload, captured):
    found = ratio(receivers, size, upload)
    sent = sum(captured for _ in range(receivers))
    fog = captured * upload + sum(size * captured for _ in range(receivers))
    assert device_to_device(captured, receivers) == pytest.approx(sent)
    assert through_fog(captured, receivers, size, upload) == pytest.approx(fog)
    assert found == pytest.approx(sent / fog)
    assert relative_size(found, receivers, upload) == pytest.approx(size, abs=1e-9)
    assert found < bound(receivers, upload)


@QUICK
@given(st.integers(0, 1_200), st.integers(1, 3_000))
def test_the_papers_break_even_is_the_first_number_that_gains(size, upload):
    """In exact thousandths; where a number of receivers is level, rounding decides."""
    first = next((n for n in range(1, 4_000) if 1_000 * n > upload + n * size), None)
    level = any(1_000 * n == upload + n * size for n in range(1, 4_000))
    found = paper_break_even(size / 1_000, upload / 1_000)
    assert found == first or (level and first is not None and found == first - 1)


@QUICK
@given(st.data(), st.integers(2, 12), SIZES, st.floats(1, 1e5), st.floats(0, 5_000))
def test_bytes_are_those_of_every_file_sent_to_every_receiver(data, devices, picture, payload, labels):
    receivers = data.draw(st.integers(1, devices - 1))
    wanted = data.draw(st.integers(1, receivers))
    images = devices * receivers * data.draw(st.integers(1, 3))
    exchange = Exchange(images, devices, receivers, share=wanted / receivers)
    straight = Air()
    for image in range(images):
        for _ in wanting(image, devices, receivers, wanted):
            straight.send(picture)
            straight.send(labels)
    assert direct(exchange, picture, labels) == Traffic(pytest.approx(straight.by_devices), 0)
    air = counted(Air(), exchange, wanted, picture + labels, payload)
    assert relayed(exchange, picture + labels, payload) == Traffic(
        pytest.approx(air.by_devices), pytest.approx(air.by_fog)
    )


@pytest.mark.parametrize("loss", [0.01, 0.3])
def test_what_is_lost_is_sent_again(loss):
    exchange = Exchange(images=900, devices=10, receivers=9, loss=loss)
    air = counted(Air(loss, seed=1), exchange, 9, 80_000, 2_000)
    found = relayed(exchange, 80_000, 2_000)
    assert found.up == pytest.approx(air.by_devices, rel=0.03)
    assert found.down == pytest.approx(air.by_fog, rel=0.03)
    # Of both ways as much is lost, so that the ratio stays.
    kept, lost = (direct(e, 80_000).total / relayed(e, 80_000, 2_000).total for e in (Exchange(900, 10, 9), exchange))
    assert kept == pytest.approx(lost)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_one_sending_reaches_all(loss):
    exchange = Exchange(images=3_000, devices=10, receivers=9, loss=loss, broadcast=True)
    air = Air(loss, seed=2)
    for _ in range(3_000):
        air.send(1_000, hearers=9)
    assert direct(exchange, 1_000).total == pytest.approx(air.by_devices, rel=0.02)
    if not loss:
        assert exchange.copies == 1


def test_a_broadcast_is_sent_where_anybody_wants_it():
    """All 2^n ways in which receivers may want a picture, each with its probability."""
    for share, receivers in ((0.3, 4), (0.9, 3), (1.0, 2)):
        expected = sum(
            share ** sum(who) * (1 - share) ** (receivers - sum(who))
            for who in itertools.product((0, 1), repeat=receivers)
            if any(who)
        )
        assert Exchange(10, receivers + 1, receivers, share, broadcast=True).copies == pytest.approx(expected)


def test_what_a_clip_shares_is_sent_once_to_each_receiver():
    clip = SharedPart(bytes=14_000, frames=9)
    exchange = Exchange(images=90, devices=10, receivers=9)
    # Frames of one clip are of one device here, so that those that receive any of it receive all.
    sources = 10
    air = Air()
    for _ in range(sources):
        for _ in range(9):
            air.send(clip.bytes + ROW_BYTES, fog=True)
            for _ in range(clip.frames):
                air.send(500 + ROW_BYTES, fog=True)
    for _ in range(10):
        air.send(SHARD_BYTES, fog=True)
    assert relayed(exchange, 0, 500, clip).down == pytest.approx(air.by_fog)


def test_whoever_wants_a_part_of_a_clip_needs_all_that_it_shares():
    clip, share = SharedPart(bytes=14_000, frames=4), 0.25
    exchange = Exchange(images=40_000, devices=2, receivers=1, share=share)
    chance, air = random.Random(3), Air()
    for _ in range(10_000):
        frames = sum(chance.random() < share for _ in range(4))
        for _ in range(frames):
            air.send(500 + ROW_BYTES, fog=True)
        if frames:
            air.send(14_000 + ROW_BYTES, fog=True)
    assert relayed(exchange, 0, 500, clip).down == pytest.approx(air.by_fog, rel=0.02)


@QUICK
@given(st.integers(2, 400), SIZES, st.floats(0, 3_000), st.floats(0.02, 1), SIZES, st.sampled_from([1.0, 0.5]))
def test_break_even_is_the_first_number_of_receivers_that_gains(images, picture, labels, upload, payload, share):
    assume(images * share >= 2)  # every device is sent something
    assume(payload < 64e6 / 400)
    exchange = Exchange(images, 10, 9, share)
    found = break_even(exchange, picture, labels, upload * picture, payload)

    def gain(n: int) -> float:
        # Counted for all n + 1 devices of a fleet; the difference is a straight line in n.
        straight = images * n * share * (picture + labels)
        fog = images * upload * picture + images * n * share * (payload + ROW_BYTES)
        return straight - fog - (n + 1) * (SHARD_BYTES + ACKNOWLEDGEMENT_BYTES)

    if found is None:
        assert gain(10**7) <= 0
        return
    assert gain(found) > -1e-6 * images * picture
    assert found == 1 or gain(found - 1) <= 1e-6 * images * picture
    if found < 1_000:
        exact = with_receivers(Exchange(images, 2, 1, share), found)
        assert direct(exact, picture, labels).total - relayed(exact, upload * picture, payload).total == pytest.approx(
            gain(found), rel=1e-6, abs=1
        )


def test_break_even_where_all_hear_at_once():
    exchange = Exchange(100, 10, 9, broadcast=True)
    assert break_even(exchange, 80_000, 100, 80_100, 2_000) is None
    assert break_even(exchange, 80_000, 100, 8_000, 2_000) == 1
    # With half of it lost, those that still lack a JPEG cost more the more of them there are.
    lossy = Exchange(100, 10, 9, broadcast=True, loss=0.5)
    found = break_even(lossy, 80_000, 100, 80_100, 2_000)
    assert found is not None

    def gains(n: int) -> bool:
        tried = Exchange(100, n + 1, n, broadcast=True, loss=0.5)
        return relayed(tried, 80_100, 2_000).total < direct(tried, 80_000, 100).total

    assert [gains(n) for n in range(1, found + 3)] == [False] * (found - 1) + [True] * 3


@QUICK
@given(st.integers(2, 20), SIZES, st.floats(1e3, 1e7))
def test_from_so_many_images_a_model_takes_fewer_bytes(devices, payload, model):
    exchange = Exchange(devices, devices, devices - 1)
    first = images_for_model(exchange, payload, model)
    assume(devices <= first < 20_000)
    assume(first * payload < 64e6)  # one shard a device

    def gain(images: int) -> float:
        tried = Exchange(images, devices, devices - 1)
        return relayed(tried, 50_000, payload).total - model_sent(tried, 50_000, model).total

    assert gain(first) > 0
    assert gain(first - 1) <= 0 or first == devices


@pytest.mark.parametrize("broadcast", [False, True])
def test_break_even_of_a_model_is_the_first_number_of_receivers_that_gains(broadcast):
    exchange = Exchange(100, 10, 9, loss=0.4, broadcast=broadcast)

    def gains(n: int) -> bool:
        tried = Exchange(100, n + 1, n, loss=0.4, broadcast=broadcast)
        return model_sent(tried, 80_100, 2e6).total < direct(tried, 80_000, 100).total

    found = model_break_even(exchange, 80_000, 100, 80_100, 2e6)
    assert found is not None
    assert [gains(n) for n in range(1, found + 3)] == [False] * (found - 1) + [True] * 3
    assert model_break_even(exchange, 100, 0, 80_100, 2e9) is None


def test_a_model_goes_to_every_device_once():
    air = Air()
    for _ in range(100):
        air.send(80_000)
    for _ in range(10):
        air.send(950_000, fog=True)
        air.send(ACKNOWLEDGEMENT_BYTES)
    assert model_sent(Exchange(100, 10, 9), 80_000, 950_000) == Traffic(air.by_devices, air.by_fog)
    assert model_sent(Exchange(100, 10, 9, broadcast=True), 80_000, 950_000).down == 950_000


def test_seconds_on_the_radio():
    traffic = Traffic(up=6e6, down=4e6)
    assert radio_seconds(traffic, 2e6) == 5
    exchange = Exchange(100, 10, 9)
    assert own_link_seconds(traffic, exchange, 2e6) == pytest.approx((0.6e6 + 0.4e6) / 2e6)
    # What one device sends another one hears: on a link that does one at a time both take time.
    assert own_link_seconds(Traffic(6e6, 0), exchange, 2e6) == pytest.approx(2 * 0.6e6 / 2e6)
    everybody = Exchange(100, 10, 9, broadcast=True)
    assert own_link_seconds(Traffic(6e6, 0), everybody, 2e6) == pytest.approx(6e6 / 2e6)
    assert own_link_seconds(traffic, everybody, 2e6) == pytest.approx((0.6e6 + 4e6) / 2e6)


def test_many_rows_make_several_shards():
    exchange = Exchange(images=90_000, devices=10, receivers=9)  # 81,000 rows a device: five shards, heard twice
    found = relayed(exchange, 0, 100)
    assert found.down == pytest.approx(810_000 * (100 + ROW_BYTES) + 50 * SHARD_BYTES)
    assert found.up == pytest.approx(20 * ACKNOWLEDGEMENT_BYTES)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"images": 0}, "images is 0, expected 1 or more"),
        ({"devices": 1}, "devices is 1, expected 2 or more"),
        ({"receivers": 10}, "receivers is 10, expected 1 to 9"),
        ({"receivers": 0}, "receivers is 0, expected 1 to 9"),
        ({"share": 0.0}, "share is 0"),
        ({"share": float("nan")}, "share is nan"),
        ({"loss": 1.0}, "loss is 1, expected 0 or more and less than 1"),
        ({"loss": float("nan")}, "loss is nan"),
    ],
)
def test_fleets_that_cannot_be_are_refused_by_field(changed, says):
    with pytest.raises(ValueError, match=says):
        Exchange(**({"images": 1, "devices": 10, "receivers": 9} | changed))
