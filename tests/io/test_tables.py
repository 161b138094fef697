"""TableDataset: types, empty strings and NaN survive."""

import json

import numpy as np
import pandas as pd
import pytest
from kedro.io.core import DatasetError

from gnet.io.tables import TableDataset

VOXELS = pd.DataFrame(
    {
        "subject": ["subj01", "subj01", "subj02"],
        "voxel_index": [7, 12, 5],
        "label": ["V1v", "", 'größer, mit "Komma"'],
        "ncsnr": [0.1 + 0.2, np.nan, 1e-300],
        "in_visual": [True, False, True],
    }
)


@pytest.fixture(params=["csv", "parquet"])
def dataset(request, tmp_path):
    return TableDataset(filepath=tmp_path / f"voxels.{request.param}")


def test_table_comes_back_as_it_was(dataset):
    dataset.save(VOXELS)
    pd.testing.assert_frame_equal(dataset.load(), VOXELS, check_exact=True)


def test_numbers_come_back_to_the_last_bit(dataset):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=5000) * 10.0 ** rng.integers(-20, 20, 5000)})
    dataset.save(table)
    assert (dataset.load()["x"] == table["x"]).all()


def test_csv_can_be_read_by_eye(tmp_path):
    dataset = TableDataset(filepath=tmp_path / "voxels.csv")
    dataset.save(VOXELS[["voxel_index", "label", "ncsnr"]].iloc[1:2])
    assert (tmp_path / "voxels.csv").read_text() == "voxel_index,label,ncsnr\n12,,NaN\n"


def test_arguments_reach_pandas(tmp_path):
    dataset = TableDataset(
        filepath=tmp_path / "x.csv", save_args={"sep": ";"}, load_args={"sep": ";", "usecols": ["label"]}
    )
    dataset.save(VOXELS)
    assert list(dataset.load().columns) == ["label"]


class Unprintable:
    def __str__(self):
        raise RuntimeError("cannot be written")


def test_failed_save_leaves_nothing(dataset, left_over):
    with pytest.raises(DatasetError):
        dataset.save(pd.DataFrame({"x": [1, Unprintable()]}))
    assert left_over() == []


def test_only_tables_are_saved(dataset, left_over):
    with pytest.raises(DatasetError, match="expected a pandas table, found dict; return a DataFrame"):
        dataset.save({"a": [1]})
    assert left_over() == []


def test_other_suffixes_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"voxels.xlsx: expected a name that ends in .csv or .parquet"):
        TableDataset(filepath=tmp_path / "voxels.xlsx")


def test_damaged_and_missing_files_are_named(dataset, tmp_path):
    with pytest.raises(DatasetError, match=r"voxels.\w+: expected a file, found none"):
        dataset.load()
    path = tmp_path / dataset._filepath.name
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"voxels.\w+: expected a complete .\w+ file.*delete it and run"):
        dataset.load()


def test_preview_shows_the_first_rows_as_json(dataset):
    dataset.save(VOXELS)
    preview = dataset.preview(nrows=2)
    assert preview["columns"] == list(VOXELS.columns)
    assert preview["data"][1] == ["subj01", 12, "", None, False]
    assert len(preview["data"]) == 2
    json.dumps(preview, allow_nan=False)
