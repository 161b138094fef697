"""Nested arrays in one HDF5 file: written piece by piece, read piece by piece, no pickle anywhere."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
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
"""Most of an array that is copied from file to file at a time."""


def write_tree(path: str | os.PathLike, members: Mapping[str, Any], **layout: Any) -> None:
    """Write nested arrays, text and numbers into one HDF5 file, atomically; a file that exists is replaced.

    Parameters
    ----------
    members : mapping
        By name: NumPy arrays of booleans, numbers or text (HDF5 datasets); text, booleans, integers and
        floats (attributes); mappings, and what another file was loaded as (groups); pandas tables (groups
        with a dataset per column, in order; unnamed row labels are not kept); `Blocks`, written one at a
        time; callables without arguments that return any of these, called one after another when their turn
        comes. `None` is refused, because HDF5 has no word for it. NaN stays NaN.
    **layout
        How h5py stores every array that is not a single value, empty or of text: `compression`,
        `compression_opts`, `shuffle`, `chunks`. By default rows lie one behind the other, as in memory.

    Raises TypeError, which names the key whose value cannot be stored, and StorageError if the disk refuses.
    """
    with (
        atomic_path(path) as part,
        SteadyFile(part) as steady,
        h5py.File(steady, "w", track_order=True) as file,
    ):
        TreeWriter(steady, layout).members(file, members)


def open_tree(path: str | os.PathLike) -> Stored:
    """Open a file of `write_tree`, of which only the first page is read; StorageError if it cannot be."""
    with opened(Path(path)):
        return Stored(Path(path))


@dataclass(frozen=True)
class Stored(Mapping):
    """A group of an HDF5 file as a read-only mapping. Nothing is open between two reads.

    Holds a path and a name, so it can be pickled, copied and sent to other processes at no cost. Values are
    `Stored` (groups), `StoredArray` (arrays), `str`, `bool`, `int` or `float`. Single values come before
    arrays and groups; otherwise the order is that of saving. Two are equal if they name the same group of the
    same file. Every access raises StorageError if the file is gone, damaged, or holds there what is not read
    (`gnet.storage.members`).
    """

    path: Path
    group: str = "/"

    def __getitem__(self, key: object) -> Stored | StoredArray | str | bool | int | float:
        """Look one key up; KeyError tells which there are."""
        with opened(self.path) as file:
            group = walk(file, self.group)
            keys = names(group)
            if isinstance(key, str) and key in keys:
                if key in group.attrs:
                    return attribute(group, key)
                found, name = member(group, key), f"{self.group.rstrip('/')}/{key}"
                if isinstance(found, h5py.Group):
                    return Stored(self.path, name)
                return StoredArray(self.path, name, found.shape, _dtype(found))
        raise KeyError(f"{self.path}: no '{key}' in '{self.group}', only {', '.join(keys) or 'nothing'}")

    def __iter__(self) -> Iterator[str]:
        with opened(self.path) as file:
            return iter(names(walk(file, self.group)))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def read(self) -> dict[str, Any]:
        """Everything in this group and below as nested dictionaries of plain arrays, all in memory."""
        with opened(self.path) as file:
            return _whole(walk(file, self.group))


@dataclass(frozen=True)
class StoredArray:
    """An array of an HDF5 file, read when indexed. Nothing is open between two reads.

    `array[a:b, c]` reads just that: integers, `...` and slices with positive steps on every axis.
    `array[rows]` takes a list or an array of rows, integers in any order or a mask. `numpy.asarray(array)`
    reads everything. Strings come as NumPy strings, and `dtype` is then `<U0`: their length is known once
    they are read. Every read raises StorageError if the file is gone, damaged or replaced by another.
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
        if not self.shape:
            raise TypeError(f"{self.path}: '{self.name}' is a single value and has no length")
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError(
                f"{self.path}: '{self.name}' is on disk and cannot become an array without a copy"
            )
        whole = self.read()
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (list, np.ndarray)):
            return self._gather(np.arange(len(self))[index])
        with self._opened() as array:
            return _part(array, index)

    def read(self) -> np.ndarray:
        """The whole array."""
        return np.asarray(self[()])

    def columns(
        self,
        index: np.ndarray | Sequence[int] | slice,
        rows: np.ndarray | Sequence[int] | slice = slice(None),
    ) -> np.ndarray:
        """Columns of a two-dimensional array, perhaps of some rows only: `array[rows][:, index]`.

        Both are masks, slices, or integers in any order, perhaps repeated. Rows are read whole and one at a
        time: HDF5's own selection of scattered columns accesses the disk once for each of them.
        """
        if self.ndim != 2:
            raise ValueError(f"{self.path}: '{self.name}': expected two dimensions, found shape {self.shape}")
        return self._gather(np.arange(len(self))[rows], np.arange(self.shape[1])[index])

    def blocks(self) -> Iterator[np.ndarray]:
        """The array in consecutive blocks of rows of at most 64 MiB."""
        step = max(1, BLOCK_BYTES // max(1, self.dtype.itemsize * math.prod(self.shape[1:])))
        for start in range(0, len(self), step):
            yield self[start : start + step]

    def _gather(self, rows: np.ndarray, columns: np.ndarray | EllipsisType = ...) -> np.ndarray:
        """`array[rows][:, columns]`, with no more beside it in memory than one row, or row of chunks."""
        if self.dtype.kind == "U" or self.ndim < 2:
            return self.read()[rows][:, columns]
        with self._opened() as array:
            band = np.empty(((array.chunks or (1,))[0], *self.shape[1:]), self.dtype)
            chosen = np.empty((rows.size, *band[0, columns].shape), self.dtype)
            fill, filled = _filler(array, band), None
            for place in np.argsort(rows, kind="stable") if chosen.size else ():
                number, row = divmod(int(rows[place]), len(band))
                if number != filled:
                    fill(number * len(band))
                    filled = number
                chosen[place] = band[row][columns]
        return chosen

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
        elif isinstance(value, StoredArray):
            in_blocks = value.ndim and value.dtype.kind != "U"
            value = Blocks(value.shape, value.dtype, value.blocks) if in_blocks else value.read()
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
            self.array(group, key, name, value)
        elif isinstance(value, Blocks):
            self.blocks(group, key, name, value)
        elif callable(value):
            self.value(group, key, value())
        else:
            raise TypeError(
                f"'{name}': expected an array, a table, a string, a number, a mapping, Blocks or a "
                f"callable that returns one, found {type(value).__name__}; make it a NumPy array or a mapping"
            )

    def array(self, group: h5py.Group, key: str, name: str, array: np.ndarray) -> None:
        layout = self.save_args if array.size and array.ndim else {}
        if array.dtype.kind in "UTO":
            array, layout = array.astype(object), {"dtype": h5py.string_dtype()}
            other = next((item for item in array.flat if not isinstance(item, str)), "")
            if not isinstance(other, str):
                raise TypeError(
                    f"'{name}': expected an array of numbers or of strings only, found {other!r} in it; "
                    "convert it, and store '' for a missing string"
                )
        elif array.dtype.kind not in "biufc":
            raise TypeError(
                f"'{name}': expected an array of booleans, numbers or strings, found {array.dtype}; "
                "convert it, dates for instance to strings"
            )
        with _refused(name):
            group.create_dataset(key, data=array, **layout)

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

    def blocks(self, group: h5py.Group, key: str, name: str, blocks: Blocks) -> None:
        layout = dict(self.save_args) if all(blocks.shape) else {}
        if layout:  # in chunks of whole rows, about 1 MiB, because blocks are whole rows
            length, *row = blocks.shape
            chunk = max(1, 2**20 // (blocks.dtype.itemsize * math.prod(row)))
            layout.setdefault("chunks", (min(length, chunk), *row))
        with _refused(name):
            dataset = group.create_dataset(key, blocks.shape, blocks.dtype, **layout)
        for rows, block in blocks.filled(name):
            if block.size:
                dataset[rows] = block
                self.steady.check()


@contextlib.contextmanager
def _refused(name: str) -> Iterator[None]:
    """Name the value that could not be stored."""
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"'{name}' cannot be stored: {error}") from error


def _dtype(array: h5py.Dataset) -> np.dtype:
    return np.dtype(str) if h5py.check_string_dtype(array.dtype) else array.dtype


def _filler(array: h5py.Dataset, band: np.ndarray) -> Callable[[int], None]:
    """What fills `band` with the rows of a given number and on; past HDF5 where they lie as in memory."""
    offset, in_memory = array.id.get_offset(), h5py.h5t.py_create(array.dtype, logical=True)
    if offset is None or array.id.get_type() != in_memory or not hasattr(os, "preadv"):

        def fill(start: int) -> None:
            stop = min(start + len(band), len(array))
            array.read_direct(band, np.s_[start:stop], np.s_[: stop - start])

        return fill

    # HDF5's own descriptor is of the file that was checked, and preadv leaves its position to other threads
    descriptor, size = array.file.id.get_vfd_handle(), band.nbytes // len(band)

    def fill_directly(start: int) -> None:
        if os.preadv(descriptor, [band.data], offset + start * size) < band.nbytes:
            raise OSError(f"it ends within '{array.name}'")

    return fill_directly


def _whole(group: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Everything in a group and below; KeyError if it is an array."""
    content: dict[str, Any] = {}
    for key in names(group):
        if key in group.attrs:
            content[key] = attribute(group, key)
        elif isinstance(found := member(group, key), h5py.Group):
            content[key] = _whole(found)
        else:
            content[key] = np.asarray(_part(found, ()))
    return content


def _part(array: h5py.Dataset, index: Any) -> Any:
    """`array[index]`, with text as NumPy strings instead of bytes in objects."""
    if not h5py.check_string_dtype(array.dtype):
        return array[index]
    try:
        text = array.asstr("utf-8")[index]
    except UnicodeDecodeError as error:
        key = array.name.rpartition("/")[2]
        raise refusal(array.parent, key, "text in UTF-8", f"other bytes ({error})") from error
    return text if isinstance(text, str) else np.asarray(text, dtype=str)
