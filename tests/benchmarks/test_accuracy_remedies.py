import torch

from benchmarks.accuracy_pictures import Canvases, Remedies
from benchmarks.accuracy_remedies import blurred
from rinr.training.augment import USUAL

BOXES = torch.tensor([[20.0, 10.0, 40.0, 30.0]])


def test_blur_keeps_the_mean_and_takes_the_contrast() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(96)[None]) % 2
    image = checks.float().expand(3, 64, 96)
    results = [blurred(image, place, 0, 0) for place in range(40)]
    contrasts = torch.stack([result.std() for result in results])
    assert 8 < (contrasts < 0.45).sum() < 32
    assert all(abs(result.mean() - 0.5) < 0.02 for result in results)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    chance = torch.Generator().manual_seed(2)
    pictures = torch.randint(0, 256, (6, 3, 64, 96), dtype=torch.uint8, generator=chance)
    plain = Canvases(pictures, [BOXES] * 6)
    remedies = Remedies(blur=True, backgrounds=pictures.flip(3), patches=plain.sources())
    treated = Canvases(pictures, [BOXES] * 6, remedies)
    whole, alone = (treated.batch(places, seed=3, epoch=1, augment=True) for places in (range(6), [4]))
    assert torch.allclose(whole.images[4], alone.images[0], atol=1e-5)
    assert torch.equal(whole.targets[4]["boxes"], alone.targets[0]["boxes"])
    # Without augmentation nothing is done.
    assert torch.equal(treated.batch([2]).images[0], pictures[2] / 255)


def test_dropped_objects_show_their_background() -> None:
    pictures, backgrounds = (torch.full((40, 3, 16, 16), value, dtype=torch.uint8) for value in (255, 0))
    treated = Canvases(pictures, [torch.zeros(0, 4)] * 40, Remedies(backgrounds=backgrounds))
    images = treated.batch(range(40), seed=0, epoch=0, augment=True).images
    dark = [value < 0.5 for value in images[:, 0, 8, 8].tolist()]  # the middle is covered wherever they are moved
    assert dark == USUAL.draw(range(40), (16, 16), seed=0, epoch=0).bare.tolist()
