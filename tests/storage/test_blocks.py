"""A block stream keeps its word, or is refused."""

import numpy as np
import pytest

from gnet.storage.blocks import consecutive, is_block_stream


def test_blocks_arrive_with_the_rows_they_fill(blocks):
    array = np.arange(14).reshape(7, 2)
    out = np.zeros_like(array)
    for rows, block in consecutive(blocks(array, [3, 0, 4]), "images"):
        out[rows] = block
    np.testing.assert_array_equal(out, array)


@pytest.mark.parametrize(
    ("lengths", "text"),
    [
        ([3, 3], "images: expected 7 rows, as the stream promised, found 6"),
        ([4, 4], "images: expected 7 rows, as the stream promised, found at least 8"),
    ],
)
def test_rows_that_do_not_add_up(blocks, lengths, text):
    stream = blocks(np.zeros((8, 2)), lengths)
    stream.shape = (7, 2)
    with pytest.raises(ValueError, match=text):
        list(consecutive(stream, "images"))


def test_blocks_of_another_dtype_or_shape(blocks):
    stream = blocks(np.zeros((4, 2)), [4])
    stream.dtype = np.dtype("uint8")
    with pytest.raises(ValueError, match=r"shape \(rows, 2\) and dtype uint8.*found \(4, 2\) and float64"):
        list(consecutive(stream, "images"))
    stream = blocks(np.zeros((4, 2)), [4])
    stream.shape = (4, 3)
    with pytest.raises(ValueError, match=r"shape \(rows, 3\)"):
        list(consecutive(stream, "images"))


def test_blocks_that_are_no_arrays(blocks):
    stream = blocks(np.zeros(2), [2])
    stream.__class__ = type("Lists", (blocks,), {"__iter__": lambda self: iter([[0.0, 0.0]])})
    with pytest.raises(TypeError, match="expected blocks that are NumPy arrays, found list"):
        list(consecutive(stream, "images"))


def test_what_is_a_block_stream(blocks):
    torch = pytest.importorskip("torch")
    assert is_block_stream(blocks(np.zeros(2), [2]))
    for value in (np.zeros(2), np.float32(1), torch.zeros(2), [1.0], "text", {"a": 1}):
        assert not is_block_stream(value)
