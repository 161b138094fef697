"""Where a dataset lies, which of its versions is in use, and where its record belongs."""

import shutil
from contextlib import nullcontext

import numpy as np
import pytest
from kedro.io.core import DatasetError, Version

from gnet.hooks.stored import record_path
from gnet.io.numpy import NumpyDataset
from gnet.io.recording import RecordingDataset
from gnet.io.versions import VersionsDataset

FIRST, SECOND = "2026-01-02T00.00.00.000Z", "2026-01-10T00.00.00.000Z"


@pytest.fixture
def dataset(tmp_path):
    """Make a dataset: dataset(load=version, save=version), or unversioned."""

    def make(**version):
        version = {"load": None, "save": None} | version if version else None
        return NumpyDataset(filepath=tmp_path / "x.npy", version=version and Version(**version))

    return make


def test_unversioned(dataset, tmp_path):
    unversioned = dataset()
    assert unversioned.place == tmp_path / "x.npy"
    assert not unversioned.is_versioned
    assert unversioned.version_in_use() is None
    assert record_path(unversioned) == tmp_path / "x.npy.record.json"


def test_a_version_has_its_record_in_its_folder(dataset, tmp_path):
    first = dataset(save=FIRST)
    assert first.is_versioned
    assert first.version_in_use() is None
    assert record_path(first, FIRST) == tmp_path / "x.npy" / FIRST / "record.json"


def test_newest_version_is_in_use_unless_another_was_asked_for(dataset, tmp_path):
    for version in (SECOND, FIRST):
        with pytest.warns() if version is FIRST else nullcontext():  # Kedro: what was saved is not the newest
            dataset(save=version).save(np.zeros(1))
    assert dataset(load=None).version_in_use() == SECOND
    assert dataset(load=None).place == tmp_path / "x.npy"
    assert dataset(load=FIRST).version_in_use() == FIRST
    assert dataset(save="2026-02-01T00.00.00.000Z").version_in_use() == SECOND


def test_version_in_use_is_what_a_load_takes(dataset):
    dataset(save=FIRST).save(np.zeros(1))
    reading = dataset(load=None)
    assert reading.version_in_use() == FIRST
    assert reading.load()[0] == 0
    dataset(save=SECOND).save(np.ones(1))
    assert (reading.version_in_use(), reading.load()[0]) == (FIRST, 0)
    reading.release()
    assert (reading.version_in_use(), reading.load()[0]) == (SECOND, 1)


@pytest.mark.parametrize("name", ["best", "2031-01-01", "9999", f"{SECOND} (copy)", "unfinished"])
def test_folders_of_other_names_are_no_versions(dataset, tmp_path, name):
    place = tmp_path / "x.npy"
    dataset(save=SECOND).save(np.ones(1))
    shutil.copytree(place / SECOND, place / name)
    np.save(place / name / "x.npy", np.zeros(1))
    assert dataset(load=None).version_in_use() == SECOND
    assert dataset(load=None).load()[0] == 1
    assert dataset(load=name).load()[0] == 0  # asked for by its name, it is read
    shutil.rmtree(place / SECOND)
    assert dataset(load=None).version_in_use() is None
    assert not dataset(load=None).exists()
    with pytest.raises(DatasetError, match="Did not find any versions"):
        dataset(load=None).load()


def test_version_of_another_name_is_in_use_where_it_was_saved(dataset):
    mine = dataset(save="now")
    mine.save(np.ones(1))
    dataset(save=SECOND).save(np.zeros(1))
    mine.release()
    assert mine.version_in_use() == "now"
    assert mine.load()[0] == 1
    assert dataset(load=None).version_in_use() == SECOND


def test_a_folder_without_the_file_is_no_version(dataset, tmp_path):
    dataset(save=FIRST).save(np.ones(1))
    (tmp_path / "x.npy" / SECOND).mkdir()
    (tmp_path / "x.npy" / SECOND / "record.json").touch()
    assert dataset(load=None).version_in_use() == FIRST


def test_brackets_in_a_path_are_not_a_pattern(tmp_path):
    dataset = NumpyDataset(filepath=tmp_path / "[1]" / "x.npy", version=Version(None, FIRST))
    dataset.save(np.ones(1))
    assert dataset.version_in_use() == FIRST
    assert dataset.load()[0] == 1


def test_all_versions_of_a_table_are_read_only(tmp_path):
    dataset = VersionsDataset(filepath=tmp_path / "index.csv")
    assert dataset.place == tmp_path / "index.csv"
    assert (dataset.is_versioned, dataset.version_in_use(), record_path(dataset)) == (False, None, None)


def test_release(tmp_path, monkeypatch):
    simulated = RecordingDataset(filepath=tmp_path / "nsd")
    assert simulated.place == tmp_path / "nsd"
    assert record_path(simulated) == tmp_path / "nsd.record.json"
    downloaded = RecordingDataset(filepath=tmp_path / "nsd", read_only=True)
    assert record_path(downloaded) is None
    monkeypatch.delenv("NSD_ROOT", raising=False)
    unset = RecordingDataset(variable="NSD_ROOT")
    assert (unset.place, record_path(unset)) == (None, None)
