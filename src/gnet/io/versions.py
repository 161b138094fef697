"""All versions of a table at once: what several runs found, side by side."""

from __future__ import annotations

import pandas as pd

from gnet.io.tables import TableDataset
from gnet.storage.versions import versions


class VersionsDataset(TableDataset):
    """Every stored version of a versioned table, one below the other, the oldest first. Read only.

    The column `version` names the run of each row. `filepath` is that of the table itself. As long as no
    version is stored, the table is empty.
    """

    read_only = True
    ACCEPTS = ()
    EXPECTED = "nothing to save, as this is read only"
    ADVICE = "save to the versioned dataset of the table itself"

    def load(self) -> pd.DataFrame:
        """Read all versions."""
        tables = {file.parent.name: TableDataset(filepath=file).load() for file in versions(self.place)}
        for version, table in tables.items():
            table.insert(0, "version", version)
        return pd.concat(tables.values(), ignore_index=True) if tables else pd.DataFrame({"version": []})

    def _exists(self) -> bool:
        return True
