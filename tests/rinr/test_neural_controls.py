from rinr.decoder import decode_background
from rinr.encoder import encode
from rinr.neural_controls import direct, rapid, with_bytes
from rinr.presets import find_preset
from tests.conftest import frame


def test_rapid_is_one_network_for_the_whole_frame():
    one = frame(0)
    preset = find_preset("balanced")
    (ours,) = encode([one], preset)
    image = with_bytes(one, ours.frame.bytes_total, lambda factor: rapid(preset, factor))
    assert image.frame.bytes_objects == 1  # a byte that says that there are none
    assert image.frame.boxes == one.boxes
    assert 0.99 * ours.frame.bytes_total <= image.frame.bytes_total < 1.3 * ours.frame.bytes_total
    assert image.background_db > ours.background_db


def test_direct_has_our_background_and_pasted_objects_of_pixels():
    one = frame(1)
    preset = find_preset("balanced")
    (ours,) = encode([one], preset)
    image = with_bytes(one, ours.frame.bytes_total, lambda factor: direct(preset, factor))
    assert image.frame.pasted
    assert image.frame.background == ours.frame.background
    assert image.background_db == ours.background_db
    assert image.frame.bytes_total >= 0.99 * ours.frame.bytes_total
    box = one.boxes[0]
    assert (decode_background(image.frame)[box.slices] == decode_background(ours.frame)[box.slices]).all()


def test_siren_controls_are_sirens(tiny):
    assert rapid(tiny).objects == ()
    assert rapid(tiny, 0.25).background.shape.width == 2 * tiny.background.shape.width
    assert direct(tiny).objects == tiny.objects
    assert direct(tiny).pasted
