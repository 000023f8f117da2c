from rinr.clip_objects import narrowed, picked_tiles
from rinr.encoder import encode
from rinr.networks.cosine_coding import TILES
from rinr.networks.payload import read_networks
from rinr.presets import BALANCED, FAST, ObjectClass
from tests.conftest import frame

(ANY,) = BALANCED.objects


def test_boxes_try_the_tiles_of_the_box_nearest_to_them_in_area():
    classes = narrowed([ANY], [(100, 12), (400, 24), (400, 16)])
    assert [(each.max_area, each.network.tiles) for each in classes] == [(200, (12,)), (None, (16, 24))]
    assert classes[0].network.step == ANY.network.step


def test_classes_of_which_nothing_is_known_stay_as_they_are():
    small = ObjectClass(50, ANY.network)
    assert narrowed([small, ANY], [(60, 16)]) == (small, narrowed([ANY], [(60, 16)])[0])
    assert narrowed([ANY], []) == (ANY,)
    assert narrowed(FAST.objects, [(100, 12)]) == FAST.objects


def test_what_was_picked_is_what_payloads_hold():
    (image,) = encode([frame(0)], BALANCED)
    (network,) = read_networks(image.frame.objects, [(12, 12)])
    assert picked_tiles([image.frame]) == [(144, TILES[network.network.layout.tile])]
