"""Arrays that are too large to hold: their shape and dtype now, their rows block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class BlockStream(Protocol):
    """Anything with a shape, a NumPy dtype and consecutive blocks along the first axis.

    Writers take one block at a time and keep none, so the array is never whole in memory.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array."""

    @property
    def dtype(self) -> np.dtype:
        """Type of every block."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield arrays of shape (n, *shape[1:]) whose n add up to shape[0]."""


def is_block_stream(value: object) -> bool:
    """Whether the value is to be written a block at a time; an array in memory is not.

    >>> is_block_stream(np.zeros(3))
    False
    """
    return (
        isinstance(value, BlockStream)
        and isinstance(value.dtype, np.dtype)
        and not isinstance(value, (np.ndarray, np.generic))
    )


def consecutive(stream: BlockStream, name: str) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield each block with the rows it fills, and check that `stream` keeps its word; errors call it `name`.

    Raises
    ------
    TypeError
        if a block is no NumPy array.
    ValueError
        if a block has another dtype or shape than promised, or the rows do not add up.

    Examples
    --------
    >>> class Steps:
    ...     shape, dtype = (3,), np.dtype("int64")
    ...     def __iter__(self):
    ...         yield np.arange(2)
    ...         yield np.arange(2, 3)
    >>> [rows for rows, block in consecutive(Steps(), "steps")]
    [slice(0, 2, None), slice(2, 3, None)]
    """
    shape, dtype = tuple(stream.shape), np.dtype(stream.dtype)
    start = 0
    for block in stream:
        if not isinstance(block, np.ndarray):
            raise TypeError(f"{name}: expected blocks that are NumPy arrays, found {type(block).__name__}")
        if block.dtype != dtype or block.ndim != len(shape) or block.shape[1:] != shape[1:]:
            expected = ", ".join(["rows", *map(str, shape[1:])])
            raise ValueError(
                f"{name}: expected blocks of shape ({expected}) and dtype {dtype}, as the stream promised, "
                f"found {block.shape} and {block.dtype}; correct the stream's shape or dtype"
            )
        stop = start + len(block)
        if stop > shape[0]:
            raise ValueError(
                f"{name}: expected {shape[0]} rows, as the stream promised, found at least {stop}"
            )
        yield slice(start, stop), block
        start = stop
    if start != shape[0]:
        raise ValueError(f"{name}: expected {shape[0]} rows, as the stream promised, found {start}")
