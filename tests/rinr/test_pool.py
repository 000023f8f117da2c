import pytest

from rinr.encoder import encode
from rinr.pool import EncoderPool, cores
from tests.conftest import frame


def test_processes_give_the_same_payloads_in_the_same_order(tiny):
    frames = [frame(seed) for seed in range(9)]
    told = []
    with EncoderPool(2) as pool:
        images = pool.encode(frames, tiny, progress=lambda done, of: told.append((done, of)))
        assert [image.frame for image in images] == [image.frame for image in encode(frames, tiny)]
        assert [image.image_id for image in images] == [one.image_id for one in frames]
        assert pool.encode([], tiny) == []
    assert told[-1] == (9, 9)
    assert cores() >= 1


def test_a_process_that_dies_is_a_clear_error(tiny):
    with EncoderPool(1) as pool:
        pool.encode([frame(0)], tiny)
        (process,) = pool._pool._processes.values()
        process.kill()
        process.join()
        with pytest.raises(RuntimeError, match="--jobs"):
            pool.encode([frame(0)], tiny)
