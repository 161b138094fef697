"""Tidy tables, as CSV to read or as Parquet to keep types."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview


class TableDataset(LocalDataset):
    """A pandas table in a `.csv` or `.parquet` file; `load_args` and `save_args` go to pandas.

    Differs from the pandas datasets of kedro-datasets in that files are written atomically, and in CSV: an
    empty string stays an empty string while a missing value is written as `NaN`, so that a voxel without a
    label is not mistaken for missing data. Row labels are not written to CSV.

    >>> dataset = TableDataset(filepath=getfixture("tmp_path") / "voxels.csv")
    >>> dataset.save(pd.DataFrame({"label": ["V1v", ""], "ncsnr": [float("nan"), 0.1]}))
    >>> dataset.load()
      label  ncsnr
    0   V1v    NaN
    1          0.1
    """

    SUFFIXES = (".csv", ".parquet")
    ACCEPTS = (pd.DataFrame,)
    EXPECTED = "a pandas table"
    ADVICE = "return a DataFrame from the node"
    ACCEPTED_LOAD_ARGS: ClassVar[None] = None
    ACCEPTED_SAVE_ARGS: ClassVar[None] = None

    def _read(self, path: Path) -> pd.DataFrame:
        if path.suffix == ".csv":
            return pd.read_csv(path, **{"keep_default_na": False, "na_values": ["NaN"], **self._load_args})
        return pd.read_parquet(path, **self._load_args)

    def _write(self, part: Path, data: pd.DataFrame) -> None:
        if self.place.suffix == ".csv":
            data.to_csv(part, **{"index": False, "na_rep": "NaN", **self._save_args})
        else:
            data.to_parquet(part, **self._save_args)

    def preview(self, nrows: int = 20) -> TablePreview:
        return table_preview(self.load().head(nrows))
