from dataclasses import replace

import numpy as np
import pytest
import torch

from rinr.boxes import Annotation
from rinr.training.augment import Augmentation
from rinr.training.jpegs import JpegDataset
from rinr.training.patches import PATCHES, Patched, paste
from tests.conftest import frame

SIZE = (64, 48)
BOX = Annotation(20, 14, 16, 12, "a")
STILL = Augmentation(mirror=0, zoom=1, move=0, light=0)


@pytest.fixture
def plain():
    return JpegDataset([frame(seed, (BOX,)) for seed in range(6)], size=SIZE, augmentation=STILL)


@pytest.fixture
def others():
    return JpegDataset([frame(seed, (BOX,)) for seed in range(10, 13)], size=SIZE)


def shown(pictures, places=range(6), **options):
    return pictures.batch(list(places), **{"seed": 3, "epoch": 1, "augment": True, **options})


def test_patches_are_pixels_of_the_others_and_touch_no_object(plain, others):
    before, after = shown(plain), shown(Patched(plain, others))
    changed = (before.images != after.images).any(dim=1)
    assert changed.any(dim=2).any(dim=1).sum() >= 4  # most pictures have some
    for mask, target in zip(changed, after.targets, strict=True):
        x0, y0, x1, y1 = target["boxes"][0].long().tolist()
        assert not mask[y0:y1, x0:x1].any()
    theirs = np.concatenate([others.still(place)[0].reshape(-1, 3).numpy() for place in range(3)])
    colours = {tuple(colour) for colour in theirs.tolist()}
    pasted = (after.images.permute(0, 2, 3, 1)[changed] * 255).round().long().tolist()
    assert all(tuple(colour) in colours for colour in pasted)


def test_no_patch_shows_an_object_of_the_others(plain):
    marked = frame(20, (BOX,))
    pixels = marked.pixels.copy()
    pixels[14:26, 20:36] = (255, 0, 255)  # nothing else has this colour
    marked = replace(marked, pixels=pixels)
    after = shown(Patched(plain, JpegDataset([marked], size=SIZE)), seed=8)
    magenta = (after.images.permute(0, 2, 3, 1) == torch.tensor([1.0, 0.0, 1.0])).all(dim=3)
    assert not magenta.any()


def test_what_a_picture_gets_depends_on_seed_epoch_and_place_alone(plain, others):
    pictures = Patched(plain, others)
    together = shown(pictures).images
    assert torch.equal(shown(pictures, [4, 2]).images, together[[4, 2]])
    assert not torch.equal(shown(pictures, epoch=2).images, together)


def test_without_augmentation_or_without_others_nothing_is_pasted(plain, others):
    assert torch.equal(shown(Patched(plain, others), augment=False).images, shown(plain, augment=False).images)
    nobody = JpegDataset([], size=SIZE)
    assert torch.equal(shown(Patched(plain, nobody)).images, shown(plain).images)


def test_pictures_without_objects_get_patches_too(others):
    bare = JpegDataset([frame(1, ())], size=SIZE, augmentation=STILL)
    changed = [
        not torch.equal(shown(bare, [0], seed=seed).images, shown(Patched(bare, others), [0], seed=seed).images)
        for seed in range(5)
    ]
    assert any(changed)


def pasted(picture, sources, place, box=(20.0, 10.0, 40.0, 30.0)):
    image = picture.clone()
    paste(image, np.array([box]), sources, seed=0, epoch=0, place=place)
    return image


def test_patches_are_of_other_pictures_and_leave_objects_alone():
    picture = torch.zeros(3, 64, 96)
    noise = torch.randint(1, 256, (4, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    noise[:, :, :48] = 255  # what is left of the middle is object, and never shown
    sources = [(still, np.array([[0.0, 0.0, 48.0, 64.0]])) for still in noise]
    found = [pasted(picture, sources, place) for place in range(20)]
    shown = torch.stack(found)
    assert (shown[:, :, 10:30, 20:40] == 0).all()
    assert (shown.amax(dim=(1, 2, 3)) > 0).sum() > 10
    assert (shown < 1).float().mean() > 0.99  # no patch of their objects, whose values are all 1
    # At most PATCHES of at most twice the box's sides.
    assert (shown != 0).any(dim=1).sum(dim=(1, 2)).max() <= PATCHES * 40 * 40
    assert torch.equal(found[3], pasted(picture, sources, 3))


def test_plain_patches_are_left_out():
    grey = [(torch.full((64, 96, 3), 128, dtype=torch.uint8), np.zeros((0, 4)))] * 2
    picture = torch.zeros(3, 64, 96)
    assert torch.equal(pasted(picture, grey, 0), picture)
