import os

import pytest
import torch

from rinr.threads import each_in_a_thread


@pytest.fixture
def threads():
    """Sets how many threads torch has, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_part_is_done_once_with_one_thread_for_each_product(threads, count):
    threads(count)
    done = []
    each_in_a_thread(lambda part: done.append((part, torch.get_num_threads(), torch.is_grad_enabled())), range(7))
    assert sorted(part for part, _, _ in done) == list(range(7))
    assert {each for _, each, _ in done} == {1}
    assert count == 1 or not any(gradients for _, _, gradients in done)
    assert torch.get_num_threads() == count


def test_what_a_part_raises_is_raised(threads):
    def work(part):
        raise ValueError(f"part {part}")

    for count in (1, 2):
        threads(count)
        with pytest.raises(ValueError, match="part 0"):
            each_in_a_thread(work, range(3))


def test_a_forked_process_has_threads_of_its_own(threads):
    threads(2)
    each_in_a_thread(str, range(4))
    child = os.fork()
    if not child:
        try:
            done = []
            each_in_a_thread(done.append, range(4))
            os._exit(0 if sorted(done) == [0, 1, 2, 3] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
