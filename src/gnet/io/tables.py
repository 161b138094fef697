"""Tidy tables, as CSV to read or as Parquet to keep types."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.storage.atomic import atomic_path, unreadable


class TableDataset(LocalDataset):
    """A pandas table in a `.csv` or `.parquet` file; the suffix decides.

    Differs from the pandas datasets of kedro-datasets in two ways. A file appears under its name only when it
    is complete. And in CSV an empty string stays an empty string while a missing value is written as `NaN`,
    so that a voxel without a label is not mistaken for missing data; numbers come back to the last bit. Row
    labels are not written to CSV.

    `load_args` and `save_args` go to `pandas.read_csv` and `to_csv`, or `read_parquet` and `to_parquet`.

    ```yaml
    voxels:
      type: gnet.io.tables.TableDataset
      filepath: ${globals:data_root}/03_primary/voxels.csv
    ```

    Examples
    --------
    >>> dataset = TableDataset(filepath=getfixture("tmp_path") / "voxels.csv")
    >>> dataset.save(pd.DataFrame({"label": ["V1v", ""], "ncsnr": [float("nan"), 0.1]}))
    >>> dataset.load()
      label  ncsnr
    0   V1v    NaN
    1          0.1
    """

    ACCEPTED_LOAD_ARGS: ClassVar[None] = None
    ACCEPTED_SAVE_ARGS: ClassVar[None] = None
    CSV_LOAD_ARGS: ClassVar[dict[str, Any]] = {"keep_default_na": False, "na_values": ["NaN"]}
    CSV_SAVE_ARGS: ClassVar[dict[str, Any]] = {"index": False, "na_rep": "NaN"}

    def _check(self) -> None:
        suffix = self._filepath.suffix
        if suffix not in {".csv", ".parquet"}:
            raise DatasetError(
                f"{self._filepath}: expected a name that ends in .csv or .parquet, "
                f"found '{suffix}'; rename the file in the catalog"
            )
        self._is_csv = suffix == ".csv"

    def load(self) -> pd.DataFrame:
        """Read the table.

        Raises
        ------
        DatasetError
            caused by a StorageError, if there is no such file or it cannot be read.
        """
        path = self._readable()
        try:
            if self._is_csv:
                return pd.read_csv(path, **{**self.CSV_LOAD_ARGS, **self._load_args})
            return pd.read_parquet(path, **self._load_args)
        except (ValueError, OSError) as error:
            raise unreadable(path, f"a complete {path.suffix} table", error) from error

    def save(self, data: object) -> None:
        """Write under a temporary name, then rename: after an error, nothing is left.

        Raises
        ------
        DatasetError
            if `data` is no table, or pandas cannot write it.
        """
        if not isinstance(data, pd.DataFrame):
            raise DatasetError(
                f"{self._filepath}: expected a pandas table, found {type(data).__name__}; "
                "return a DataFrame from the node"
            )
        with atomic_path(self._get_save_path()) as part:
            if self._is_csv:
                data.to_csv(part, **{**self.CSV_SAVE_ARGS, **self._save_args})
            else:
                data.to_parquet(part, **self._save_args)

    def preview(self, nrows: int = 20) -> TablePreview:
        """First rows, for Kedro-Viz."""
        path = self._readable()
        if not self._is_csv:
            return table_preview(self.load().head(nrows))
        return table_preview(pd.read_csv(path, **{**self.CSV_LOAD_ARGS, **self._load_args, "nrows": nrows}))
