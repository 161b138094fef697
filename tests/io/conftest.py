"""What the tests of the datasets share."""

from collections.abc import Callable

import numpy as np
import pytest


class Blocks:
    """A block stream over an array that counts how many of its blocks are alive at a time."""

    def __init__(self, array, lengths, fail_after=None):
        self.array, self.lengths, self.fail_after = array, lengths, fail_after
        self.shape, self.dtype = array.shape, array.dtype
        self.handed_out = 0

    def __iter__(self):
        start = 0
        for length in self.lengths:
            if self.handed_out == self.fail_after:
                raise RuntimeError("the stimuli are gone")
            self.handed_out += 1
            yield np.array(self.array[start : start + length])
            start += length


@pytest.fixture
def blocks() -> type[Blocks]:
    """Make a block stream: blocks(array, lengths of its blocks, fail_after=number of blocks)."""
    return Blocks


@pytest.fixture
def left_over(tmp_path) -> Callable[[], list[str]]:
    """Names of everything below the test's folder."""
    return lambda: sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
