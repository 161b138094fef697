"""One array in one `.npy` file, memory-mapped when loaded."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.atomic import atomic_path, unreadable
from gnet.storage.blocks import Blocks


class NumpyDataset(LocalDataset):
    """One array in one `.npy` file, loaded as a read-only memory map.

    Saving takes an array, or `gnet.storage.blocks.Blocks`, written one at a time. Loading
    maps the file: rows come from disk when they are indexed, and writing into them raises. `load_args:
    {mmap_mode: null}` reads everything into memory instead. A memory map must not pass through a dataset that
    copies: a copy is whole in memory.

    ```yaml
    images:
      type: gnet.io.numpy.NumpyDataset
      filepath: ${globals:data_root}/02_intermediate/images.npy
    ```

    Examples
    --------
    >>> dataset = NumpyDataset(filepath=getfixture("tmp_path") / "image_ids.npy")
    >>> dataset.save(np.array([73, 5]))
    >>> dataset.load()
    memmap([73,  5])
    """

    ACCEPTED_LOAD_ARGS: ClassVar[frozenset[str]] = frozenset({"mmap_mode"})

    def _check(self) -> None:
        self._mmap_mode = self._load_args.get("mmap_mode", "r")
        if self._mmap_mode not in {"r", None}:
            raise DatasetError(
                f"{self._filepath}: expected mmap_mode r or null, found {self._mmap_mode!r}; "
                "what is loaded is shared between nodes and must not be written to"
            )

    def load(self) -> np.ndarray:
        """Map the file, or read it if `mmap_mode` is null.

        Raises
        ------
        DatasetError
            caused by a StorageError, if there is no such file or it cannot be read.
        """
        path = self._readable()
        try:
            return np.load(path, mmap_mode=self._mmap_mode, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise unreadable(path, "a complete .npy file of numbers", error) from error

    def save(self, data: object) -> None:
        """Write under a temporary name, then rename: after an error, nothing is left.

        Raises
        ------
        DatasetError
            if `data` is neither an array of booleans, numbers or strings nor Blocks.
        """
        if not isinstance(data, Blocks):
            array = _checked(data, str(self._filepath))
            # "w+b" because into a file that is only written NumPy writes by itself, and hides why it failed
            with atomic_path(self._get_save_path()) as part, part.open("w+b") as file:
                np.save(file, array, allow_pickle=False)
            return
        with atomic_path(self._get_save_path()) as part, part.open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(data.dtype),
                "fortran_order": False,
                "shape": tuple(int(length) for length in data.shape),
            }
            np.lib.format.write_array_header_2_0(file, header)
            for _, block in data.filled(str(self._filepath)):
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


def _checked(data: object, path: str) -> np.ndarray:
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "biufcU":
        found = f"an array of {data.dtype}" if isinstance(data, np.ndarray) else type(data).__name__
        raise DatasetError(
            f"{path}: expected an array of booleans, numbers or strings, or Blocks, found {found}; "
            "convert it with numpy.asarray"
        )
    return data
