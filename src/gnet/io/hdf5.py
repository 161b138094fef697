"""Nested arrays in one HDF5 file (`gnet.storage.hdf5`) as a Kedro dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.hdf5 import Stored, leaves, open_tree, opened, write_tree


class HDF5Dataset(LocalDataset):
    """A nested mapping of arrays, strings and numbers in one HDF5 file.

    Saving takes a mapping of names to

    - NumPy arrays of booleans, numbers or strings: HDF5 datasets;
    - strings, booleans, integers and floats: HDF5 attributes;
    - mappings, and what another file was loaded as: HDF5 groups;
    - pandas tables: groups with a dataset per column, in order (unnamed row labels are not kept);
    - `gnet.storage.blocks.Blocks`: chunked datasets, written a block at a time;
    - callables without arguments that return any of these, called one after another when their turn comes,
      so that the next subject is computed after the last one is written.

    `None` is refused, because HDF5 has no word for it. NaN stays NaN. Loading gives a `Stored`, which reads
    from the file what is asked for. `save_args` go to h5py for every array that is not a single value, empty
    or of strings: `compression`, `compression_opts`, `shuffle`, `chunks`.

    ```yaml
    betas:
      type: gnet.io.hdf5.HDF5Dataset
      filepath: ${globals:data_root}/03_primary/betas.h5
    ```

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

    ACCEPTED_SAVE_ARGS: ClassVar[frozenset[str]] = frozenset(
        {"compression", "compression_opts", "shuffle", "chunks"}
    )

    def load(self) -> Stored:
        """Open nothing but the file's first page: arrays are read when they are indexed.

        Raises
        ------
        DatasetError
            caused by a StorageError, if there is no such file or it cannot be read.
        """
        return open_tree(self._readable())

    def save(self, data: object) -> None:
        """Write everything under a temporary name, then rename: after an error, nothing is left.

        Raises
        ------
        DatasetError
            naming the key whose value cannot be stored, and what to store instead. Errors raised inside a
            callable or in making blocks arrive as its cause.
        """
        if not isinstance(data, Mapping):
            raise DatasetError(
                f"{self._filepath}: expected a mapping of names to arrays, found {type(data).__name__}; "
                "return {'name': value} from the node"
            )
        write_tree(self._get_save_path(), data, **self._save_args)

    def preview(self, nrows: int = 100) -> TablePreview:
        """Key, shape and type of what the file holds, for Kedro-Viz; values where they are single ones."""
        with opened(self._readable()) as file:
            rows = list(leaves(file))
        return table_preview(pd.DataFrame(rows[:nrows], columns=["key", "shape", "dtype", "value"]))
