"""Records of what data were made with: their places and their differences; runs are in tests/pipelines."""

from kedro.io import MemoryDataset
from kedro.io.core import Version

from gnet.hooks.records import changes, read_record, record_path
from gnet.io.numpy import NumpyDataset
from gnet.io.recording import RecordingDataset


def test_only_unversioned_data_that_we_write_have_records(tmp_path):
    path = tmp_path / "images.npy"
    assert record_path(NumpyDataset(filepath=path)) == tmp_path / "images.npy.parameters.json"
    assert record_path(NumpyDataset(filepath=path, version=Version(None, "now"))) is None
    assert record_path(RecordingDataset(filepath=tmp_path / "nsd")) == tmp_path / "nsd.parameters.json"
    assert record_path(RecordingDataset(filepath=tmp_path / "nsd", read_only=True)) is None
    assert record_path(MemoryDataset()) is None
    assert record_path(None) is None
    assert read_record(None) == read_record(tmp_path / "none.json") == {}


def test_changes_of_nested_parameters():
    then = {"areas": {"V1": {"labels": ["V1v"]}}, "split": {"seed": 1}, "prefilter": {"path": "/a"}}
    now = {"areas": {"V1": {"labels": ["V1v", "V1d"]}, "V2": {"labels": []}}, "split": {"seed": 1}}
    assert changes(then, now) == {
        "areas.V1.labels": ('["V1v"]', '["V1v", "V1d"]'),
        "areas.V2.labels": ("not set", "[]"),
    }
