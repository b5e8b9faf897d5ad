from __future__ import annotations

import numpy as np

from edgemed.imaging.scratch import Scratch


def test_arrays_of_one_round_share_nothing() -> None:
    scratch = Scratch()
    first, second = scratch.take((3, 4)), scratch.take((3, 4))

    assert not np.shares_memory(first, second)
    assert (first.shape, first.dtype, first.flags.c_contiguous) == ((3, 4), np.uint8, True)


def test_next_round_uses_the_same_memory_and_grows_where_it_must() -> None:
    scratch = Scratch()
    small, wide = scratch.take((3, 4)), scratch.take((5,), np.int64)
    scratch.reset()

    assert np.shares_memory(scratch.take((2, 2)), small)
    assert np.shares_memory(scratch.take((40,)), wide)
    scratch.reset()
    large = scratch.take((100, 100))
    scratch.reset()
    assert np.shares_memory(scratch.take((1, 1)), large)
