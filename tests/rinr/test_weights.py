import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from rinr.codec.frame import unpack_frame
from rinr.decoder import LoadedFrames
from rinr.weights import entropy_decode, join
from rinr.weights_file import WEIGHTS_VERSION, map_weights, write_weights

GOLDEN = [unpack_frame(path.read_bytes()) for path in sorted((Path(__file__).parents[1] / "golden").glob("*.rinr"))]


def pictures(weights):
    return LoadedFrames(weights).render(range(len(weights)), 40, 30)


def same(one, other):
    """Whether all arrays of two sets of weights are equal, those of their networks up to the order of stacks."""
    for name in ("sizes", "pasted", "boxes", "owners", "overlapping"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert [one.names[label] for label in one.labels] == [other.names[label] for label in other.labels]
    for kind in ("backgrounds", "objects"):
        a, b = getattr(one, kind), getattr(other, kind)
        for index in range(len(a.stack_of)):
            assert (a.stack_of[index] < 0) == (b.stack_of[index] < 0)
            if a.stack_of[index] < 0:
                continue
            mine, others = a.stacks[a.stack_of[index]], b.stacks[b.stack_of[index]]
            assert (mine.family, mine.group, set(mine.arrays)) == (others.family, others.group, set(others.arrays))
            for name in mine.arrays:
                own, its = mine.arrays[name][a.place_in[index]], others.arrays[name][b.place_in[index]]
                assert own.dtype == its.dtype
                assert np.array_equal(own, its)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("cuts", [(0, 1), (0, 3, 5), tuple(range(len(GOLDEN)))])
def test_joined_weights_are_those_of_all_frames_decoded_together(cuts, copy):
    frames = GOLDEN + GOLDEN
    cuts = [*cuts, len(GOLDEN), len(frames)]
    parts = [entropy_decode(frames[first:last]) for first, last in itertools.pairwise(cuts)]
    joined, together = join(parts, copy=copy), entropy_decode(frames)
    same(joined, together)
    for kind in ("backgrounds", "objects"):
        assert len(getattr(joined, kind).stacks) == len(getattr(together, kind).stacks)
    torch.testing.assert_close(pictures(joined), pictures(together), atol=2e-5, rtol=0)


def test_weights_come_back_from_a_file_as_they_were(tmp_path):
    weights = entropy_decode(GOLDEN)
    write_weights(tmp_path / "a.arrow", weights)
    mapped = map_weights(tmp_path / "a.arrow")
    same(mapped, weights)
    assert mapped.names == weights.names
    assert torch.equal(pictures(mapped), pictures(weights))
    write_weights(tmp_path / "b.arrow", mapped)
    assert (tmp_path / "a.arrow").read_bytes() == (tmp_path / "b.arrow").read_bytes()


def test_frames_without_objects_and_none_at_all_come_back_too(tmp_path):
    bare = [frame for frame in GOLDEN if not frame.boxes][:1]
    for frames in (bare, []):
        write_weights(tmp_path / "a.arrow", entropy_decode(frames))
        mapped = map_weights(tmp_path / "a.arrow")
        assert (len(mapped), mapped.boxes.shape, mapped.names) == (len(frames), (0, 4), ())


def test_a_mapped_file_is_read_where_it_is_used_and_never_written(tmp_path):
    path = tmp_path / "a.arrow"
    write_weights(path, entropy_decode(GOLDEN))
    before = path.read_bytes()
    mapped = map_weights(path)
    largest = max((array for stack in mapped.backgrounds.stacks for array in stack.arrays.values()), key=len)
    base = largest
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    largest += 1  # its own pages, not the file's
    assert path.read_bytes() == before


def test_the_version_stands_for_the_arrays_of_all_families():
    """When this fails because a family's arrays changed, raise WEIGHTS_VERSION and write down what they are now."""
    weights = entropy_decode(GOLDEN)
    arrays = {
        (stack.family, name, array.dtype.str, array.ndim)
        for networks in (weights.backgrounds, weights.objects)
        for stack in networks.stacks
        for name, array in stack.arrays.items()
    }
    siren = {("shape", "|u1", 2), ("weights", "|i1", 2), ("weights", "<i2", 2), ("steps", "|u1", 2)}
    cosine = {("coarse", "|i1", 4), ("fine", "|i1", 6), ("coarse", "<i2", 4), ("fine", "<i2", 6), ("size", "<i4", 2)}
    cosine |= {("step", "|u1", 1), ("overlap", "|u1", 1), ("turns", "|u1", 2), ("offset", "|u1", 2)}
    known = {("jpeg", "pictures", "|u1", 4)}
    known |= {(family, *array) for family in ("siren", "siren-1") for array in siren}
    known |= {("cosine", *array) for array in cosine}
    assert WEIGHTS_VERSION == 2
    assert arrays <= known
    assert {family for family, *_ in arrays} == {"siren", "siren-1", "cosine", "jpeg"}
