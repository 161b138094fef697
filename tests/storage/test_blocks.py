"""Blocks are what was promised, or are refused."""

import numpy as np
import pytest

from gnet.storage.blocks import Blocks


def test_blocks_arrive_with_the_rows_they_fill(blocks):
    array = np.arange(14).reshape(7, 2)
    out = np.zeros_like(array)
    for rows, block in blocks(array, [3, 0, 4]).filled("images"):
        out[rows] = block
    np.testing.assert_array_equal(out, array)


def test_blocks_can_be_iterated_again(blocks):
    made = blocks(np.arange(7), [3, 4])
    assert len(made) == 7
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(list(made)), np.arange(7))


def test_nothing_is_made_before_it_is_asked_for(blocks):
    made = iter(blocks(np.arange(7), [3, 4]))
    assert blocks.handed_out == 0
    next(made)
    assert blocks.handed_out == 1


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([3, 3], "images: expected 7 rows, as promised, found 6"),
        ([4, 4], "images: expected 7 rows, as promised, found at least 8"),
    ],
)
def test_rows_that_do_not_add_up(blocks, lengths, text):
    made = blocks(np.zeros((8, 2)), lengths, shape=(7, 2))
    with pytest.raises(ValueError, match=text):
        list(made.filled("images"))
    with pytest.raises(ValueError, match="blocks: expected 7 rows"):
        list(made)


@pytest.mark.parametrize(
    ("promise", "text"),
    [
        ({"dtype": "uint8"}, r"shape \(rows, 2\) and dtype uint8.*found \(4, 2\) and float64"),
        ({"shape": (4, 3)}, r"shape \(rows, 3\)"),
        ({"shape": (4,)}, r"shape \(rows\)"),
    ],
)
def test_blocks_of_another_dtype_or_shape(blocks, promise, text):
    with pytest.raises(ValueError, match=text):
        list(blocks(np.zeros((4, 2)), [4], **promise))


def test_blocks_that_are_no_arrays():
    made = Blocks((2,), np.dtype(float), lambda: iter([[0.0, 0.0]]))
    with pytest.raises(TypeError, match="expected blocks that are NumPy arrays, found list"):
        list(made)
