"""All versions of a table as one."""

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

from gnet.io.versions import VersionsDataset

FIRST, SECOND = "2026-01-01T00.00.00.000Z", "2026-02-01T00.00.00.000Z"
CATALOG = {
    "index": {"type": "gnet.io.tables.TableDataset", "versioned": True},
    "index_versions": {"type": "gnet.io.versions.VersionsDataset"},
}


def catalog(folder, version):
    paths = {name: {**entry, "filepath": str(folder / "index.csv")} for name, entry in CATALOG.items()}
    return DataCatalog.from_config(paths, save_version=version)


def test_versions_come_in_the_order_of_time_with_what_each_has(tmp_path):
    catalog(tmp_path, FIRST).save("index", pd.DataFrame({"index": [0.1, 0.3]}))
    catalog(tmp_path, SECOND).save("index", pd.DataFrame({"index": [0.2], "seed": [2]}))
    table = catalog(tmp_path, "later").load("index_versions")
    assert table["version"].tolist() == [FIRST, FIRST, SECOND]
    assert table["index"].tolist() == [0.1, 0.3, 0.2]
    assert table["seed"].isna().tolist() == [True, True, False]


def test_none_yet_is_an_empty_table_that_exists(tmp_path):
    dataset = VersionsDataset(filepath=tmp_path / "index.csv")
    assert dataset.exists()
    assert dataset.load().empty


def test_it_is_read_only(tmp_path):
    with pytest.raises(DatasetError, match="expected nothing to save, as this is read only, found DataFrame"):
        VersionsDataset(filepath=tmp_path / "index.csv").save(pd.DataFrame({"index": [0.1]}))
    assert not list(tmp_path.iterdir())


def test_a_damaged_version_is_named(tmp_path):
    path = tmp_path / "index.csv" / FIRST / "index.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"000Z/index\.csv: expected a complete \.csv file"):
        VersionsDataset(filepath=tmp_path / "index.csv").load()
