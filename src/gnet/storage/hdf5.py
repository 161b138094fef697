"""Nested arrays in one HDF5 file: written piece by piece, read piece by piece, no pickle anywhere."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from gnet.errors import StorageError
from gnet.storage.atomic import atomic_path
from gnet.storage.blocks import Blocks
from gnet.storage.members import DEPTH, attribute, member, names, opened, refusal, walk
from gnet.storage.steady_file import SteadyFile

BLOCK_BYTES = 64 * 2**20
"""Most that a partial read takes from the file at a time."""
CHUNK_BYTES = 2**20
"""Size of the chunks in which `Blocks` are stored."""


def write_tree(path: str | os.PathLike, members: Mapping[str, Any], **layout: Any) -> None:
    """Write nested arrays, text and numbers into one HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or path
        Where the file is to be. A file that already exists is replaced.
    members : mapping
        By name: NumPy arrays of booleans, numbers or text (HDF5 datasets); text, booleans, integers and
        floats (attributes); mappings, and what another file was loaded as (groups); pandas tables (groups
        with a dataset per column, in order; unnamed row labels are not kept); `Blocks`, written one at a
        time; callables without arguments that return any of these, called one after another when their turn
        comes. `None` is refused, because HDF5 has no word for it. NaN stays NaN.
    **layout
        How h5py stores every array that is not a single value, empty or of text: `compression`,
        `compression_opts`, `shuffle`, `chunks`.

    Raises
    ------
    TypeError
        naming the key whose value cannot be stored, and what to store instead.
    StorageError
        if the disk or the folder refuses.
    """
    with (
        atomic_path(path) as part,
        SteadyFile(part) as steady,
        h5py.File(steady, "w", track_order=True) as file,
    ):
        TreeWriter(steady, layout).members(file, members)


def open_tree(path: str | os.PathLike) -> Stored:
    """Open a file that `write_tree` wrote; only its first page is read.

    Raises
    ------
    StorageError
        if there is no such file, or it cannot be read.
    """
    with opened(Path(path)):
        return Stored(Path(path))


@dataclass(frozen=True)
class Stored(Mapping):
    """A group of an HDF5 file as a read-only mapping. Nothing is open between two reads.

    Holds a path and a name, so it can be pickled, copied and sent to other processes at no cost. Values are
    `Stored` (groups), `StoredArray` (arrays), `str`, `bool`, `int` or `float`. Single values come before
    arrays and groups; otherwise the order is that of saving. Two are equal if they name the same group of the
    same file.
    """

    path: Path
    group: str = "/"

    def __getitem__(self, key: object) -> Stored | StoredArray | str | bool | int | float:
        """Look one key up; KeyError tells which there are.

        Raises
        ------
        StorageError
            if the file is gone, damaged, or holds there what is not read (`gnet.storage.members`).
        """
        with opened(self.path) as file:
            group = walk(file, self.group)
            keys = names(group)
            if isinstance(key, str) and key in keys:
                return self._value(group, key)
        raise KeyError(f"{self.path}: no '{key}' in '{self.group}', only {', '.join(keys) or 'nothing'}")

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        with opened(self.path) as file:
            keys = names(walk(file, self.group))
        return iter(keys)

    def __len__(self) -> int:
        """Count the keys."""
        return sum(1 for _ in self)

    def read(self) -> dict[str, Any]:
        """Everything in this group and below as nested dictionaries of plain arrays, all in memory."""
        with opened(self.path) as file:
            return _whole(walk(file, self.group))

    def _value(self, group: h5py.Group, key: str) -> Stored | StoredArray | str | bool | int | float:
        if key in group.attrs:
            return attribute(group, key)
        found = member(group, key)
        name = f"{self.group.rstrip('/')}/{key}"
        if isinstance(found, h5py.Group):
            return Stored(self.path, name)
        return StoredArray(self.path, name, found.shape, _dtype(found))


@dataclass(frozen=True)
class StoredArray:
    """An array of an HDF5 file, read when indexed. Nothing is open between two reads.

    `array[a:b, c]` reads just that: integers and slices with positive steps on every axis. `array[rows]`
    takes a list or an array of rows, integers in any order or a mask. `numpy.asarray(array)` reads
    everything. Strings come as NumPy strings, and `dtype` is then `<U0`: their length is known once they are
    read.
    """

    path: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        """Length of the first axis."""
        if not self.shape:
            raise TypeError(f"{self.path}: '{self.name}' is a single value and has no length")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read everything."""
        if copy is False:
            raise ValueError(
                f"{self.path}: '{self.name}' is on disk and cannot become an array without a copy"
            )
        whole = self.read()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        """Read a part: integers, slices, `...`, or a list or array of rows.

        Raises
        ------
        IndexError
            if a row is out of range.
        StorageError
            if the file is gone or damaged.
        """
        if isinstance(index, (list, np.ndarray)):
            return self._rows(np.arange(len(self))[index])
        with self._opened() as array:
            return _plain(array, array[index])

    def read(self) -> np.ndarray:
        """The whole array."""
        with self._opened() as array:
            return np.asarray(_plain(array, array[()]))

    def columns(
        self,
        index: np.ndarray | Sequence[int] | slice,
        rows: np.ndarray | Sequence[int] | slice = slice(None),
    ) -> np.ndarray:
        """Chosen columns of a two-dimensional array, perhaps of some rows only: `array[rows][:, index]`.

        Reads the file once from start to end, at most 64 MiB at a time, so that memory holds little more than
        the result. HDF5's own selection of scattered columns accesses the disk once for each of them.

        Parameters
        ----------
        index : array or list of int, mask, or slice
            The columns, in any order, perhaps repeated.
        rows : array or list of int, mask, or slice
            The rows, likewise; all by default.

        Raises
        ------
        ValueError
            if the array is not two-dimensional.
        IndexError
            if a column or a row is out of range.
        """
        if self.ndim != 2:
            raise ValueError(f"{self.path}: '{self.name}': expected two dimensions, found shape {self.shape}")
        rows, columns = (
            np.arange(size)[chosen] for size, chosen in zip(self.shape, (rows, index), strict=True)
        )
        if self.dtype.kind == "U":
            return self.read()[np.ix_(rows, columns)]
        chosen = np.empty((rows.size, columns.size), self.dtype)
        if chosen.size == 0:
            return chosen
        first, last = int(columns.min()), int(columns.max()) + 1
        with self._opened() as array:
            for places, hull, within in self._hulls(rows, width=last - first):
                chosen[places] = array[hull, first:last][np.ix_(within, columns - first)]
        return chosen

    def blocks(self) -> Iterator[np.ndarray]:
        """The array in consecutive blocks of rows of at most 64 MiB."""
        for rows in self._spans():
            yield self[rows]

    def _rows(self, rows: np.ndarray) -> np.ndarray:
        if self.dtype.kind == "U":
            return self.read()[rows]
        chosen = np.empty((rows.size, *self.shape[1:]), self.dtype)
        with self._opened() as array:
            for places, hull, within in self._hulls(rows):
                chosen[places] = array[hull][within]
        return chosen

    def _hulls(
        self, rows: np.ndarray, width: int | None = None
    ) -> Iterator[tuple[np.ndarray, slice, np.ndarray]]:
        """Split scattered rows into ranges that are read at once.

        The file is divided into spans of as many rows as may be read at a time (`_spans`). The hull of a span
        is the shortest range of rows that holds all rows wanted from it: for each, this yields the places in
        `rows` that it fills, the hull, and the places of these rows in the hull. Spans from which nothing is
        wanted are not read.

        With spans of four rows, rows 9, 1, 8 and 1 have two hulls. Row 1 fills places 1 and 3 of the result.

        >>> array = StoredArray(Path("x.h5"), "/x", (12, BLOCK_BYTES // 4), np.dtype("uint8"))
        >>> for places, hull, within in array._hulls(np.array([9, 1, 8, 1])):
        ...     print(places, hull, within)
        [1 3] slice(1, 2, None) [0 0]
        [2 0] slice(8, 10, None) [0 1]

        Parameters
        ----------
        rows : array of int
            Rows in any order, perhaps repeated.
        width : int, optional
            Number of elements to read of each row; all if None.
        """
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        for span in self._spans(width):
            begin, end = np.searchsorted(ascending, [span.start, span.stop])
            if begin < end:
                wanted = ascending[begin:end]
                hull = slice(int(wanted[0]), int(wanted[-1]) + 1)
                yield order[begin:end], hull, wanted - hull.start

    def _spans(self, width: int | None = None) -> Iterator[slice]:
        """Consecutive ranges of rows that hold at most BLOCK_BYTES, `width` elements of each row."""
        elements = math.prod(self.shape[1:]) if width is None else width
        step = max(1, BLOCK_BYTES // max(1, elements * self.dtype.itemsize))
        for start in range(0, len(self), step):
            yield slice(start, min(start + step, len(self)))

    @contextlib.contextmanager
    def _opened(self) -> Iterator[h5py.Dataset]:
        with opened(self.path) as file:
            array = walk(file, self.name)
            if isinstance(array, h5py.Group) or array.shape != self.shape or _dtype(array) != self.dtype:
                raise StorageError(
                    f"{self.path}: '{self.name}': expected the array of shape {self.shape} that was there "
                    "before, found another: the file has been replaced. Run the command again."
                )
            yield array


@dataclass(frozen=True)
class TreeWriter:
    """Writes values of every kind into groups of a file, and stops soon after a write has failed."""

    steady: SteadyFile
    save_args: Mapping[str, Any]

    def members(self, group: h5py.Group, members: Mapping) -> None:
        for key, value in members.items():
            if not isinstance(key, str) or key in {"", "."} or "/" in key:
                raise TypeError(
                    f"'{group.name}': expected keys that are names without '/', found {key!r}; "
                    "rename it, or nest mappings"
                )
            self.value(group, key, value)
            self.steady.check()

    def value(self, group: h5py.Group, key: str, value: Any) -> None:
        name = f"{group.name.rstrip('/')}/{key}"
        if isinstance(value, np.generic):
            value = value.item()
        if name.count("/") > DEPTH:
            raise TypeError(f"'{name}': expected at most {DEPTH} levels of mappings, found more; nest fewer")
        if value is None:
            raise TypeError(
                f"'{name}' is None, which HDF5 cannot hold; leave the key out, or store NaN or ''"
            )
        if isinstance(value, (str, bool, int, float)):
            with _refused(name):
                group.attrs[key] = value
        elif isinstance(value, Mapping):
            self.members(group.create_group(key, track_order=True), value)
        elif isinstance(value, pd.DataFrame):
            self.table(group.create_group(key, track_order=True), value)
        elif isinstance(value, np.ndarray):
            self.array(group, key, value)
        elif isinstance(value, StoredArray):
            self.stored(group, key, value)
        elif isinstance(value, Blocks):
            self.blocks(group, key, value)
        elif callable(value):
            self.value(group, key, value())
        else:
            raise TypeError(
                f"'{name}': expected an array, a table, a string, a number, a mapping, Blocks or a "
                f"callable that returns one, found {type(value).__name__}; make it a NumPy array or a mapping"
            )

    def array(self, group: h5py.Group, key: str, array: np.ndarray) -> None:
        name = f"{group.name.rstrip('/')}/{key}"
        if array.dtype.kind in "UTO":
            text = array.astype(object)
            other = next((item for item in text.flat if not isinstance(item, str)), "")
            if not isinstance(other, str):
                raise TypeError(
                    f"'{name}': expected an array of numbers or of strings only, found {other!r} in it; "
                    "convert it, and store '' for a missing string"
                )
            with _refused(name):
                group.create_dataset(key, data=text, dtype=h5py.string_dtype())
        elif array.dtype.kind in "biufc":
            with _refused(name):
                group.create_dataset(key, data=array, **(self.save_args if array.size and array.ndim else {}))
        else:
            raise TypeError(
                f"'{name}': expected an array of booleans, numbers or strings, found {array.dtype}; "
                "convert it, dates for instance to strings"
            )

    def table(self, group: h5py.Group, table: pd.DataFrame) -> None:
        if any(level is not None for level in table.index.names):
            raise TypeError(
                f"'{group.name}': expected a table with unnamed row labels, which are not kept, "
                f"found {list(table.index.names)}; call reset_index() first"
            )
        if not table.columns.is_unique:
            raise TypeError(
                f"'{group.name}': expected different column names, found {list(table.columns)}; rename"
            )
        self.members(group, {column: table[column].to_numpy() for column in table.columns})

    def blocks(self, group: h5py.Group, key: str, blocks: Blocks) -> None:
        name = f"{group.name.rstrip('/')}/{key}"
        layout: dict[str, Any] = {}
        if all(blocks.shape):
            length, *rest = blocks.shape
            rows_a_chunk = max(1, CHUNK_BYTES // (blocks.dtype.itemsize * math.prod(rest)))
            layout = {"chunks": (min(length, rows_a_chunk), *rest), **self.save_args}
        with _refused(name):
            dataset = group.create_dataset(key, blocks.shape, blocks.dtype, **layout)
        for rows, block in blocks.filled(name):
            if block.size:
                dataset[rows] = block
                self.steady.check()

    def stored(self, group: h5py.Group, key: str, array: StoredArray) -> None:
        if array.dtype.kind == "U" or not array.ndim:
            self.array(group, key, array.read())
            return
        dataset = group.create_dataset(
            key, array.shape, array.dtype, **(self.save_args if math.prod(array.shape) else {})
        )
        start = 0
        for block in array.blocks():
            if block.size:
                dataset[start : start + len(block)] = block
                self.steady.check()
            start += len(block)


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    """Name the value that could not be stored."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"'{name}' cannot be stored: {error}") from error


def _dtype(array: h5py.Dataset) -> np.dtype:
    return np.dtype(str) if h5py.check_string_dtype(array.dtype) else array.dtype


def _whole(group: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Everything in a group and below; KeyError if it is an array."""
    content: dict[str, Any] = {}
    for key in names(group):
        if key in group.attrs:
            content[key] = attribute(group, key)
        elif isinstance(found := member(group, key), h5py.Group):
            content[key] = _whole(found)
        else:
            content[key] = np.asarray(_plain(found, found[()]))
    return content


def _plain(array: h5py.Dataset, value: Any) -> Any:
    """What h5py has read of an array, with text as NumPy strings instead of bytes in objects."""
    if not h5py.check_string_dtype(array.dtype):
        return value
    try:
        if isinstance(value, bytes):
            return value.decode()
        text = [item.decode() if isinstance(item, bytes) else item for item in np.ravel(value)]
    except UnicodeDecodeError as error:
        key = array.name.rpartition("/")[2]
        raise refusal(array.parent, key, "text in UTF-8", f"other bytes ({error})") from error
    return np.array(text, dtype=str).reshape(np.shape(value))
