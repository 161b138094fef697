"""Nested arrays in one HDF5 file (`gnet.storage.hdf5`) as a Kedro dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.hdf5 import Stored, StoredArray, open_tree, write_tree


class HDF5Dataset(LocalDataset):
    """A nested mapping of arrays, strings and numbers in one HDF5 file.

    Saves what `gnet.storage.hdf5.write_tree` takes, and `save_args` are its layout; loading gives a `Stored`,
    which reads from the file what is asked for, or with `load_args: {whole: true}` nested dictionaries of
    arrays in memory.
    """

    ACCEPTS = (Mapping,)
    EXPECTED = "a mapping of names to arrays"
    ADVICE = "return {'name': value} from the node"
    ATOMIC = staticmethod(nullcontext)  # write_tree is atomic by itself
    ACCEPTED_LOAD_ARGS = frozenset({"whole"})
    ACCEPTED_SAVE_ARGS = frozenset({"compression", "compression_opts", "shuffle", "chunks"})

    def _read(self, path: Path) -> Any:
        stored = open_tree(path)
        return stored.read() if self._load_args.get("whole") else stored

    def _write(self, part: Path, data: Mapping[str, Any]) -> None:
        write_tree(part, data, **self._save_args)

    def preview(self, nrows: int = 100) -> TablePreview:
        """Key, shape and type of what the file holds, for Kedro-Viz; values where they are single ones."""
        rows = list(islice(_leaves(open_tree(self._get_load_path())), nrows))
        return table_preview(pd.DataFrame(rows, columns=["key", "shape", "dtype", "value"]))


def _leaves(stored: Stored) -> Iterator[tuple[str, str, str, str]]:
    for key, value in stored.items():
        path = f"{stored.group}/{key}".strip("/")
        if isinstance(value, Stored):
            yield from _leaves(value)
        elif isinstance(value, StoredArray):
            yield path, str(value.shape), "str" if value.dtype.kind == "U" else str(value.dtype), ""
        else:
            shown = str(value)
            yield path, "", type(value).__name__, shown if len(shown) <= 80 else f"{shown[:79]}…"
