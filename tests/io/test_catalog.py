"""The datasets as a catalog's YAML names them: versions, metadata, refusals, and back to a configuration."""

import inspect

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.io import DataCatalog
from kedro.io.core import DatasetError

import gnet.io.base as local
from gnet.recording.volumes import Volume

CATALOG = """
betas:
  type: gnet.io.hdf5.HDF5Dataset
  filepath: {root}/betas.h5
  save_args: {{compression: gzip}}
  metadata: {{kedro-viz: {{layer: intermediate}}}}
images:
  type: gnet.io.numpy.NumpyDataset
  filepath: {root}/images.npy
  load_args: {{mmap_mode: null}}
voxels:
  type: gnet.io.tables.TableDataset
  filepath: {root}/voxels.csv
trials:
  type: gnet.io.tables.TableDataset
  filepath: {root}/trials.parquet
masks:
  type: gnet.io.nifti.VolumesDataset
  filepath: {root}/masks
"""
VOLUME = Volume(np.ones((2, 2, 2), "uint8"), np.eye(4))
TABLE = pd.DataFrame({"x": [1, 2]})
VALUES = {
    "betas": [{"subj01": np.zeros(3)}, {"subj01": np.ones(3)}],
    "images": [np.zeros(2), np.ones(2)],
    "voxels": [TABLE, TABLE + 1],
    "trials": [TABLE, TABLE + 1],
    "masks": [{"subj01/V1": VOLUME}, {"subj01/V2": VOLUME}],
}
NAMES = list(VALUES)
FIRST, SECOND = "2026-01-01T00.00.00.000Z", "2026-02-01T00.00.00.000Z"


def plain(value):
    """Something that can be compared with ==."""
    if isinstance(value, pd.DataFrame):
        return value.to_dict("list")
    if isinstance(value, Volume):
        return value.data.tolist()
    if isinstance(value, np.ndarray) or hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    return {key: plain(value[key]) for key in value}


@pytest.fixture
def configuration(tmp_path):
    return yaml.safe_load(CATALOG.format(root=tmp_path.as_posix()))


def versioned(configuration, **versions):
    return DataCatalog.from_config(
        {name: {**entry, "versioned": True} for name, entry in configuration.items()}, **versions
    )


@pytest.mark.parametrize("name", NAMES)
def test_unversioned_is_replaced(configuration, name):
    catalog = DataCatalog.from_config(configuration)
    assert not catalog.exists(name)
    for value in VALUES[name]:
        catalog.save(name, value)
        assert plain(catalog.load(name)) == plain(value)
    assert catalog.exists(name)
    catalog.release(name)


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_kept_side_by_side(configuration, tmp_path, name):
    first, second = VALUES[name]
    catalog = versioned(configuration, save_version=FIRST)
    assert not catalog.exists(name)
    with pytest.raises(DatasetError, match="Did not find any versions"):
        catalog.load(name)
    catalog.save(name, first)
    assert catalog.exists(name)
    with pytest.raises(DatasetError, match="must not exist if versioning is enabled"):
        catalog.save(name, second)
    versioned(configuration, save_version=SECOND).save(name, second)

    assert plain(versioned(configuration).load(name)) == plain(second)
    assert plain(versioned(configuration, load_versions={name: FIRST}).load(name)) == plain(first)
    folder = catalog[name]._filepath
    assert sorted(path.name for path in (tmp_path / folder.name).iterdir()) == [FIRST, SECOND]
    assert (tmp_path / folder.name / FIRST / folder.name).exists()


@pytest.mark.parametrize("name", NAMES)
def test_long_lived_catalog_sees_versions_after_release(configuration, name):
    catalog = versioned(configuration)
    catalog.save(name, VALUES[name][0])
    assert plain(catalog.load(name)) == plain(VALUES[name][0])
    versioned(configuration, save_version="9999-01-01T00.00.00.000Z").save(name, VALUES[name][1])
    catalog.release(name)
    assert plain(catalog.load(name)) == plain(VALUES[name][1])


@pytest.mark.parametrize("name", NAMES)
def test_versioning_what_was_saved_without(configuration, name):
    DataCatalog.from_config(configuration).save(name, VALUES[name][0])
    if name == "masks":  # a folder may hold versions beside its volumes
        return
    with pytest.raises(DatasetError, match="a file with the same name already exists"):
        versioned(configuration).save(name, VALUES[name][0])


@pytest.mark.parametrize("name", ["betas", "images", "voxels", "trials"])
def test_saving_without_version_what_was_versioned(configuration, name):
    versioned(configuration).save(name, VALUES[name][0])
    catalog = DataCatalog.from_config(configuration)
    assert not catalog.exists(name)
    with pytest.raises(DatasetError, match="expected a file or nothing, found a folder"):
        catalog.save(name, VALUES[name][0])


@pytest.mark.parametrize("name", NAMES)
def test_catalog_can_be_written_out_again(configuration, name):
    again = DataCatalog.from_config(configuration)[name]._init_config()
    kept = {key: value for key, value in configuration[name].items() if key != "metadata"}
    assert kept.items() <= again.items()
    assert set(again) <= {"type", "filepath", "load_args", "save_args"}


@pytest.mark.parametrize("name", NAMES)
def test_kedro_viz_finds_path_metadata_and_preview(configuration, name):
    configuration[name]["metadata"] = {"kedro-viz": {"layer": "primary"}}
    catalog = DataCatalog.from_config(configuration)
    catalog.save(name, VALUES[name][0])
    dataset = catalog[name]
    assert dataset.metadata == {"kedro-viz": {"layer": "primary"}}
    assert str(dataset._describe()["filepath"]) == configuration[name]["filepath"]
    annotation = inspect.signature(dataset.preview).return_annotation
    assert getattr(annotation, "__name__", annotation) == "TablePreview"
    preview = dataset.preview()
    assert set(preview) == {"index", "columns", "data"}
    assert len(preview["data"]) == len(preview["index"]) > 0


@pytest.mark.parametrize("name", NAMES)
def test_none_is_not_saved(configuration, name):
    with pytest.raises(DatasetError, match="Saving 'None' to a 'Dataset' is not allowed"):
        DataCatalog.from_config(configuration).save(name, None)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"filepath": "s3://bucket/betas.csv"},
            "expected a path on this machine, found 's3://bucket/betas.csv'",
        ),
        ({"fs_args": {"auto_mkdir": True}}, "got an unexpected keyword argument 'fs_args'"),
    ],
)
def test_remote_files_are_refused(configuration, name, change, text):
    with pytest.raises(DatasetError, match=text):
        DataCatalog.from_config({name: configuration[name] | change})[name]


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        (
            "betas",
            {"load_args": {"mmap_mode": "r"}},
            "load_args may contain whole, found mmap_mode",
        ),
        (
            "betas",
            {"save_args": {"compress": 1}},
            "save_args may contain chunks, .*found compress;",
        ),
        ("images", {"load_args": {"mode": "r"}}, "load_args may contain mmap_mode, found mode"),
        (
            "masks",
            {"save_args": {"suffix": ".nii"}},
            "VolumesDataset: save_args may contain nothing",
        ),
    ],
)
def test_unknown_arguments_are_refused(configuration, name, change, text):
    with pytest.raises(DatasetError, match=text):
        DataCatalog.from_config({name: configuration[name] | change})[name]


def test_preview_is_plain_json():
    assert local.table_preview(pd.DataFrame({"a": [np.nan, np.inf]}))["data"] == [[None], [None]]
