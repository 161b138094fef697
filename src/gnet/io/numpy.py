"""One array in one `.npy` file, memory-mapped when loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.blocks import Blocks


class NumpyDataset(LocalDataset):
    """One array in one `.npy` file, saved from an array or `gnet.storage.blocks.Blocks`.

    Loading gives a read-only memory map: rows come from disk when they are indexed. It must not pass through
    a dataset that copies: a copy is whole in memory, as with `load_args: {mmap_mode: null}`.
    """

    ACCEPTS = (np.ndarray, Blocks)
    EXPECTED = "an array of booleans, numbers or strings, or Blocks"
    ADVICE = "convert it with numpy.asarray"
    ACCEPTED_LOAD_ARGS = frozenset({"mmap_mode"})

    def _check(self) -> None:
        super()._check()
        self._mmap_mode = self._load_args.get("mmap_mode", "r")
        if self._mmap_mode not in {"r", None}:
            raise DatasetError(
                f"{self.place}: expected mmap_mode r or null, found {self._mmap_mode!r}; "
                "what is loaded is shared between nodes and must not be written to"
            )

    def _read(self, path: Path) -> np.ndarray:
        return np.load(path, mmap_mode=self._mmap_mode, allow_pickle=False)

    def _write(self, part: Path, data: np.ndarray | Blocks) -> None:
        if data.dtype.kind not in "biufcU":
            raise self._refusal(f"an array of {data.dtype}")
        # "w+b" because into a file that is only written NumPy writes by itself, and hides why it failed
        with part.open("w+b") as file:
            if isinstance(data, np.ndarray):
                np.save(file, data, allow_pickle=False)
                return
            descr = np.lib.format.dtype_to_descr(data.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": data.shape}
            np.lib.format.write_array_header_2_0(file, header)
            for _, block in data.filled(str(self.place)):
                file.write(np.ascontiguousarray(block).data.cast("B") if block.size else b"")

    def preview(self) -> TablePreview:
        """Shape, type and size in megabytes, for Kedro-Viz."""
        array = self.load()
        row = (str(array.shape), str(array.dtype), round(array.nbytes / 1e6, 3))
        return table_preview(pd.DataFrame([row], columns=["shape", "dtype", "megabytes"]))
