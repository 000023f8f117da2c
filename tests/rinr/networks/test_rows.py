import numpy as np
import pytest
import torch

from rinr.networks.rows import Rows, Segments

ARRAY = np.arange(60, dtype=np.int16).reshape(10, 2, 3)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def segments():
    return Segments([ARRAY[:4], ARRAY[4:5], ARRAY[5:5], ARRAY[5:]])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
@pytest.mark.parametrize("array", [ARRAY, segments()], ids=["one", "several"])
def test_rows_are_those_of_the_array_wherever_they_lie(array, share, device):
    rows = Rows(array, device, share)
    assert (len(rows), rows.shape) == (10, (10, 2, 3))
    for chosen in ([3], [9, 0, 4, 4, 5], [], list(range(10))):
        taken = rows.take(torch.tensor(chosen, dtype=torch.long, device=device))
        assert taken.device.type == device
        assert taken.dtype == torch.int16
        assert np.array_equal(taken.cpu().numpy(), ARRAY[chosen].reshape(-1, 2, 3))


@pytest.mark.parametrize("share", [0.0, 0.35, 1.0])
def test_rows_that_are_not_on_the_device_are_gathered(share):
    """The way of an accelerator, on a device that needs none: what lies there is copied, the rest is left."""
    array = segments()
    rows = Rows(array, "cpu", share)
    rows._here = torch.from_numpy(ARRAY[: int(10 * share)].copy())
    rows._parts = [torch.from_numpy(part) for part in array.parts]
    rows._all_here = False
    chosen = [9, 0, 4, 4, 5]
    assert np.array_equal(rows.take(torch.tensor(chosen)).numpy(), ARRAY[chosen])


def test_on_a_cpu_nothing_is_copied():
    array = ARRAY.copy()
    rows = Rows(array, "cpu", 0.5)
    array[7] = -1
    assert (rows.take(torch.tensor([7])) == -1).all()


def test_segments_read_like_one_array():
    array = segments()
    assert (len(array), array.shape, array.dtype, array.nbytes) == (10, (10, 2, 3), np.int16, 120)
    assert np.array_equal(np.stack(list(array)), ARRAY)
    with pytest.raises(IndexError):
        array[10]
