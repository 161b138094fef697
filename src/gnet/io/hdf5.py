"""Nested arrays in one HDF5 file (`gnet.storage.hdf5`) as a Kedro dataset."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.hdf5 import open_tree, write_tree
from gnet.storage.members import leaves, opened


class HDF5Dataset(LocalDataset):
    """A nested mapping of arrays, strings and numbers in one HDF5 file.

    Saves what `gnet.storage.hdf5.write_tree` takes; loading gives a `Stored`, which reads from the file what
    is asked for, or with `load_args: {whole: true}` nested dictionaries of arrays in memory. Callables among
    the values are called one after another when their turn comes, so that the next subject is computed after
    the last one is written. `save_args` go to h5py for every array that is not a single value, empty or of
    strings: `compression`, `compression_opts`, `shuffle`, `chunks`.

    Examples
    --------
    >>> import numpy as np
    >>> dataset = HDF5Dataset(filepath=getfixture("tmp_path") / "betas.h5")
    >>> dataset.save({"space": "func1pt8mm", "subj01": {"betas": np.eye(3)}})
    >>> stored = dataset.load()
    >>> stored["space"], stored["subj01"]["betas"].shape
    ('func1pt8mm', (3, 3))
    >>> stored["subj01"]["betas"][1:, 0]
    array([0., 0.])
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
        with opened(self._readable()) as file:
            rows = list(leaves(file))
        return table_preview(pd.DataFrame(rows[:nrows], columns=["key", "shape", "dtype", "value"]))
