"""Records of what data were made with: where they lie, what is in them; runs are in tests/pipelines."""

import json

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.io.core import Version

from gnet.hooks.provenance import Record, changes, read_record, record_path
from gnet.io.hdf5 import HDF5Dataset
from gnet.io.numpy import NumpyDataset
from gnet.io.recording import RecordingDataset


@pytest.fixture
def catalog(tmp_path):
    return DataCatalog(
        {
            "images": NumpyDataset(filepath=tmp_path / "images.npy"),
            "gnet8j": HDF5Dataset(filepath=tmp_path / "gnet8j.h5", version=Version(None, "now")),
            "choice": MemoryDataset(),
        }
    )


def test_only_data_that_we_write_have_records(tmp_path):
    path = tmp_path / "images.npy"
    assert record_path(NumpyDataset(filepath=path)) == tmp_path / "images.npy.record.json"
    versioned = NumpyDataset(filepath=path, version=Version(None, "now"))
    assert record_path(versioned, "2026") == path / "2026" / "record.json"
    assert record_path(versioned) is None
    assert record_path(RecordingDataset(filepath=tmp_path / "nsd")) == tmp_path / "nsd.record.json"
    assert record_path(RecordingDataset(filepath=tmp_path / "nsd", read_only=True)) is None
    assert record_path(MemoryDataset()) is None
    assert record_path(None) is None


def test_records_of_gnet_0_1_are_read(tmp_path, catalog):
    assert read_record(catalog, "images", None) == read_record(catalog, "gnet8j", "2026") == Record()
    former = {"made_by": "prepare_images", "parameters": {"images": {"pixels": 51}}}
    (tmp_path / "images.npy.parameters.json").write_text(json.dumps(former))
    assert read_record(catalog, "images", None) == Record("prepare_images", former["parameters"])
    path = tmp_path / "gnet8j.h5" / "2026" / "made_from.json"
    path.parent.mkdir(parents=True)
    path.write_text('{"images": "2025"}')
    assert read_record(catalog, "gnet8j", "2026") == Record(sources={"images": "2025"})
    (tmp_path / "images.npy.record.json").write_text('{"made_by": "resize", "parameters": {}, "sources": {}}')
    assert read_record(catalog, "images", None) == Record("resize")


@pytest.mark.parametrize(
    "written",
    [
        "[1]",
        "null",
        "5",
        '"made_by"',
        "{",
        '{"parameters": "x"}',
        '{"parameters": [1]}',
        '{"sources": [1, 2]}',
        '{"sources": {"nosuch": "2020"}}',
        '{"sources": {"choice": "2020"}}',
        '{"sources": {"gnet8j": 2020}}',
        '{"parameters": ' + '{"a":' * 990 + "1" + "}" * 991,
        "[" * 100_000,
    ],
)
def test_a_record_that_is_none_is_warned_of_and_ignored(written, tmp_path, catalog, caplog):
    path = tmp_path / "images.npy.record.json"
    path.write_text(written)
    assert read_record(catalog, "images", None) == Record()
    assert f"{path} is no record that can be read: the data beside it are taken as they are" in caplog.text


@pytest.mark.parametrize("written", ["[1, 2]", "null", '{"nosuch": "2020"}'])
def test_a_former_record_that_is_none_is_warned_of_and_ignored(written, tmp_path, catalog, caplog):
    path = tmp_path / "gnet8j.h5" / "2026" / "made_from.json"
    path.parent.mkdir(parents=True)
    path.write_text(written)
    assert read_record(catalog, "gnet8j", "2026") == Record()
    assert "is no record that can be read" in caplog.text


def test_changes_of_nested_parameters():
    then = {"areas": {"V1": {"labels": ["V1v"]}}, "split": {"seed": 1}, "prefilter": {"path": "/a"}}
    now = {"areas": {"V1": {"labels": ["V1v", "V1d"]}, "V2": {"labels": []}}, "split": {"seed": 1}}
    assert changes(then, now) == {
        "areas.V1.labels": ('["V1v"]', '["V1v", "V1d"]'),
        "areas.V2.labels": ("not set", "[]"),
    }
