"""What a stage leaves behind is gone before the next one in the same process."""

import os
import random

import numpy as np
import pytest
import torch

from pipeline.runtime.fresh_start import FreshStart
from pipeline.runtime.processes import _host_peak

MEGABYTE = 2**20


def test_generators_and_threads_are_those_of_a_new_process() -> None:
    torch.manual_seed(7)
    fresh, before, draws = FreshStart(), torch.get_num_threads(), torch.rand(3)
    try:
        torch.manual_seed(99)
        torch.set_num_threads(before + 1)
        fresh.restore()
        assert torch.equal(torch.rand(3), draws)
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(before)


def test_generators_without_a_seed_in_a_new_process_have_none_after_it() -> None:
    fresh, draws = FreshStart(), set()
    for _ in range(2):
        random.seed(1)
        np.random.seed(1)
        fresh.restore()
        draws.add((random.random(), np.random.rand()))
    assert len(draws) == 2


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux can forget a peak")
def test_the_peak_of_memory_is_the_next_stage_s_own() -> None:
    fresh = FreshStart()
    fresh.restore()
    before = _host_peak()
    large = np.ones(200 * MEGABYTE, dtype=np.uint8)
    small = [bytes(1000) for _ in range(100_000)]  # which malloc keeps, unless it is told to give it back
    assert _host_peak() > before + 250 * MEGABYTE
    del small, large
    fresh.restore()
    assert _host_peak() < before + 50 * MEGABYTE
