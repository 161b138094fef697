"""NumpyDataset: a read-only memory map of what was saved, or nothing."""

import tracemalloc

import numpy as np
import pytest
from kedro.io.core import DatasetError

from gnet.io.numpy import NumpyDataset


@pytest.fixture
def dataset(tmp_path):
    return NumpyDataset(filepath=tmp_path / "images.npy")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype="uint8").reshape(2, 3, 2, 2),
        np.array([1.0, np.nan, -np.inf], "float32"),
        np.array([[True, False]]),
        np.array(["V1", "größer"]),
        np.zeros((0, 3), "int64"),
        np.array(2.5),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::3],
    ],
)
def test_array_comes_back_as_it_was(dataset, array):
    dataset.save(array)
    loaded = dataset.load()
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype


def test_loaded_array_is_a_memory_map_that_cannot_be_written_to(dataset):
    dataset.save(np.zeros((3, 2)))
    loaded = dataset.load()
    assert isinstance(loaded, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        loaded[0] = 1


def test_whole_array_on_request(tmp_path):
    dataset = NumpyDataset(filepath=tmp_path / "x.npy", load_args={"mmap_mode": None})
    dataset.save(np.zeros(3))
    assert type(dataset.load()) is np.ndarray


def test_blocks_are_written_one_at_a_time(dataset, blocks):
    array = np.random.default_rng(0).integers(0, 255, size=(11, 3, 5, 5), dtype="uint8")
    dataset.save(blocks(array, [4, 0, 7]))
    np.testing.assert_array_equal(dataset.load(), array)
    assert dataset.load().flags.c_contiguous


def test_blocks_are_never_whole_in_memory(dataset, blocks):
    array = np.broadcast_to(np.zeros(1, "uint8"), (64, 2**18))
    tracemalloc.start()
    dataset.save(blocks(array, [2] * 32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 2**20
    assert dataset.load().shape == (64, 2**18)


def test_no_blocks(dataset, blocks):
    dataset.save(blocks(np.zeros((0, 3), "uint8"), []))
    assert dataset.load().shape == (0, 3)


def test_failing_blocks_leave_the_former_file(dataset, blocks, left_over):
    with pytest.raises(DatasetError, match="the stimuli are gone"):
        dataset.save(blocks(np.zeros((6, 2)), [2, 2, 2], fail_after=2))
    assert left_over() == []
    dataset.save(np.ones(1))
    with pytest.raises(DatasetError, match=r"images.npy: expected 6 rows, as promised, found 4"):
        dataset.save(blocks(np.zeros((6, 2)), [2, 2]))
    assert left_over() == ["images.npy"]
    np.testing.assert_array_equal(dataset.load(), [1])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1, 2], "found list"),
        (np.array([None]), "found an array of object"),
        (np.array(["2026-01-01"], "datetime64[D]"), r"found an array of datetime64\[D\]"),
    ],
)
def test_refused_values(dataset, left_over, value, found):
    with pytest.raises(DatasetError, match=f"images.npy: expected an array of booleans, numbers.*{found}"):
        dataset.save(value)
    assert left_over() == []


def test_writable_maps_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"expected mmap_mode r or null, found 'r\+'"):
        NumpyDataset(filepath=tmp_path / "x.npy", load_args={"mmap_mode": "r+"})


@pytest.mark.parametrize("mmap_mode", ["r", None])
@pytest.mark.parametrize("keep", [0, 20, 1000])
def test_damaged_file_is_named(tmp_path, mmap_mode, keep):
    path = tmp_path / "x.npy"
    dataset = NumpyDataset(filepath=path, load_args={"mmap_mode": mmap_mode})
    dataset.save(np.zeros(1000))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DatasetError, match=r"x.npy: expected a complete .npy file.*delete it and run"):
        dataset.load()


@pytest.mark.parametrize("mmap_mode", ["r", None])
def test_pickled_objects_are_not_loaded(tmp_path, mmap_mode):
    dataset = NumpyDataset(filepath=tmp_path / "images.npy", load_args={"mmap_mode": mmap_mode})
    np.save(tmp_path / "images.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"images.npy: expected a complete .npy file, found .*([Oo]bject)"):
        dataset.load()


def test_missing_file(dataset):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"images.npy: expected a file, found none; run the pipeline"):
        dataset.load()


def test_preview(dataset):
    dataset.save(np.zeros((4, 250_000), "uint8"))
    assert dataset.preview()["columns"] == ["shape", "dtype", "megabytes"]
    assert dataset.preview()["data"] == [["(4, 250000)", "uint8", 1.0]]
