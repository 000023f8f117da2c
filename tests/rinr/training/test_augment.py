import torch

from rinr.training.augment import MAX_MOVE, MAX_ZOOM, augmented


def painted(box, width=96, height=64):
    """A dark picture with a white box."""
    picture = torch.full((1, 3, height, width), 0.2)
    x0, y0, x1, y1 = box
    picture[:, :, y0:y1, x0:x1] = 1
    return picture


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_boxes_follow_what_they_enclose():
    box = (30, 22, 54, 40)
    seen = set()
    for seed in range(30):
        pictures, (boxes,) = augmented(painted(box), [torch.tensor([box]).float()], seeded(seed))
        light = pictures[0].mean(0)
        bright = light > (light.max() + 0.5) / 2  # grey comes in from outside
        y, x = torch.nonzero(bright, as_tuple=True)
        x0, y0, x1, y1 = boxes[0].tolist()
        assert abs(x0 - x.min()) <= 1.5
        assert abs(x1 - x.max() - 1) <= 1.5
        assert abs(y0 - y.min()) <= 1.5
        assert abs(y1 - y.max() - 1) <= 1.5
        zoom = (x1 - x0) / 24
        assert 1 / MAX_ZOOM - 0.01 < zoom < MAX_ZOOM + 0.01
        assert abs((x0 + x1) / 2 - 48) <= 6 * MAX_ZOOM + MAX_MOVE * 96
        seen.add(((x0 + x1) / 2 < 48, zoom > 1))
    assert len(seen) == 4  # to both sides, larger and smaller


def test_some_pictures_are_mirrored_and_some_are_not():
    picture = torch.linspace(0, 1, 96).expand(1, 3, 64, 96).contiguous()
    rising = [
        (lambda p: bool(p[0, 0, 32, 70] > p[0, 0, 32, 26]))(augmented(picture, [torch.zeros(0, 4)], seeded(s))[0])
        for s in range(40)
    ]
    assert 10 < sum(rising) < 30


def test_values_stay_from_0_to_1_and_shapes_as_they_were():
    pictures = torch.rand(5, 3, 32, 48)
    boxes = [torch.tensor([[4.0, 4, 20, 20]])] * 4 + [torch.zeros(0, 4)]
    looked, followed = augmented(pictures, boxes, seeded(1))
    assert looked.shape == pictures.shape
    assert looked.min() >= 0
    assert looked.max() <= 1
    assert [len(one) for one in followed] == [1, 1, 1, 1, 0]


def test_boxes_are_clipped_and_dropped_once_too_little_is_left():
    corner = torch.tensor([[0.0, 0, 10, 8]])
    numbers = set()
    for seed in range(60):
        _, (boxes,) = augmented(torch.zeros(1, 3, 64, 96), [corner], seeded(seed))
        numbers.add(len(boxes))
        assert boxes.numel() == 0 or (boxes.min() >= 0 and boxes[0, 2] <= 96 and boxes[0, 3] <= 64)
    assert numbers == {0, 1}


def test_the_same_seed_gives_the_same_pictures():
    picture = torch.rand(2, 3, 32, 48)
    boxes = [torch.tensor([[4.0, 4, 20, 20]])] * 2
    first, again, other = (augmented(picture, boxes, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1][0], again[1][0])
    assert not torch.equal(first[0], other[0])
