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
    """One array in one `.npy` file, loaded as a read-only memory map.

    Saving takes an array, or `gnet.storage.blocks.Blocks`, written one at a time. Loading
    maps the file: rows come from disk when they are indexed, and writing into them raises. `load_args:
    {mmap_mode: null}` reads everything into memory instead. A memory map must not pass through a dataset that
    copies: a copy is whole in memory.

    Examples
    --------
    >>> dataset = NumpyDataset(filepath=getfixture("tmp_path") / "image_ids.npy")
    >>> dataset.save(np.array([73, 5]))
    >>> dataset.load()
    memmap([73,  5])
    """

    ACCEPTS = (np.ndarray, Blocks)
    EXPECTED = "an array of booleans, numbers or strings, or Blocks"
    ADVICE = "convert it with numpy.asarray"
    CONTENT = "a complete .npy file of numbers"
    ACCEPTED_LOAD_ARGS = frozenset({"mmap_mode"})

    def _check(self) -> None:
        super()._check()
        self._mmap_mode = self._load_args.get("mmap_mode", "r")
        if self._mmap_mode not in {"r", None}:
            raise DatasetError(
                f"{self._filepath}: expected mmap_mode r or null, found {self._mmap_mode!r}; "
                "what is loaded is shared between nodes and must not be written to"
            )

    def _read(self, path: Path) -> np.ndarray:
        return np.load(path, mmap_mode=self._mmap_mode, allow_pickle=False)

    def _unacceptable(self, data: object) -> str:
        if isinstance(data, np.ndarray) and data.dtype.kind not in "biufcU":
            return f"an array of {data.dtype}"
        return super()._unacceptable(data)

    def _write(self, part: Path, data: np.ndarray | Blocks) -> None:
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
        """Shape, type and size in megabytes, for Kedro-Viz; the values are not read."""
        array = np.load(self._readable(), mmap_mode="r", allow_pickle=False)
        row = {
            "shape": str(array.shape),
            "dtype": str(array.dtype),
            "megabytes": round(array.nbytes / 1e6, 3),
        }
        return table_preview(pd.DataFrame([row]))
