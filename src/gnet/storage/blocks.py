"""Arrays that are too large to hold: shape and dtype are known now, rows are made block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Blocks:
    """An array whose rows are made block by block, each time it is iterated.

    Writers take one block at a time and keep none, so the array is never whole in memory. `make` starts to
    yield arrays of shape (n, *shape[1:]) whose n add up to shape[0]; see `filled` for the errors.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    make: Callable[[], Iterator[np.ndarray]]

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (block for _, block in self.filled())

    def filled(self, name: str = "blocks") -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the rows that each block fills, and the block; error messages call the array `name`.

        Raises TypeError if a block is not a NumPy array, and ValueError if it has another dtype or shape than
        promised, or the rows do not add up.
        """
        length, *row = self.shape
        start = 0
        for block in self.make():
            if not isinstance(block, np.ndarray):
                raise TypeError(
                    f"{name}: expected blocks that are NumPy arrays, found {type(block).__name__}"
                )
            if block.dtype != self.dtype or not block.ndim or list(block.shape[1:]) != row:
                expected = ", ".join(["rows", *map(str, row)])
                raise ValueError(
                    f"{name}: expected blocks of shape ({expected}) and dtype {self.dtype}, as promised, "
                    f"found {block.shape} and {block.dtype}; correct the shape or dtype of the Blocks"
                )
            stop = start + len(block)
            if stop > length:
                raise ValueError(f"{name}: expected {length} rows, as promised, found at least {stop}")
            yield slice(start, stop), block
            start = stop
        if start != length:
            raise ValueError(f"{name}: expected {length} rows, as promised, found {start}")
