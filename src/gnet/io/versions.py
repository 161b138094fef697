"""All versions of a table at once: what several runs found, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.io.tables import TableDataset


class VersionsDataset(LocalDataset):
    """Every stored version of a versioned table, one below the other, the oldest first. Read only.

    The column `version` says which run each row is of. `filepath` is that of the table itself. That no
    version is stored yet is no error: the table is empty then.

    ```yaml
    hierarchy_index_versions:
      type: gnet.io.versions.VersionsDataset
      filepath: ${globals:data_root}/07_model_output/hierarchy_index.csv
    ```

    Examples
    --------
    >>> from kedro.io import Version
    >>> path = getfixture("tmp_path") / "index.csv"
    >>> for version, index in {"2026-01-01": 0.1, "2026-01-02": 0.3}.items():
    ...     TableDataset(filepath=path, version=Version(None, version)).save(pd.DataFrame({"index": [index]}))
    >>> VersionsDataset(filepath=path).load()
          version  index
    0  2026-01-01    0.1
    1  2026-01-02    0.3
    """

    _read_only = True

    def load(self) -> pd.DataFrame:
        """Read all versions.

        Raises
        ------
        DatasetError
            if one of them cannot be read.
        """
        files = sorted(Path(self._filepath).glob(f"*/{self._filepath.name}"))
        tables = [TableDataset(filepath=file).load() for file in files]
        for file, table in zip(files, tables, strict=True):
            table.insert(0, "version", file.parent.name)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"version": []})

    def save(self, data: object) -> NoReturn:
        """Refuse.

        Raises
        ------
        DatasetError
            always.
        """
        raise DatasetError(
            f"{self._filepath}: expected to be read only, found something to save; "
            "save to the versioned dataset of the table itself"
        )

    def preview(self, nrows: int = 20) -> TablePreview:
        """First rows, for Kedro-Viz."""
        return table_preview(self.load().head(nrows))

    def _exists(self) -> bool:
        return True
