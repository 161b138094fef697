"""HDF5Dataset: what goes in comes out, a piece at a time, or not at all."""

import copy
import errno
import math
import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pandas as pd
import pytest
from kedro.io.core import DatasetError, Version

import gnet.storage.hdf5 as hdf5
from gnet.errors import StorageError
from gnet.io.hdf5 import HDF5Dataset
from gnet.storage.hdf5 import Stored, StoredArray, open_tree


@pytest.fixture
def dataset(tmp_path):
    return HDF5Dataset(filepath=tmp_path / "data.h5")


@pytest.fixture
def stored(dataset):
    """Save a mapping and load it again."""

    def save_and_load(mapping):
        dataset.save(mapping)
        return dataset.load()

    return save_and_load


NESTED = {
    "subject": "subj01",
    "Ω": "größer – 大",
    "empty text": "",
    "long text": "é" * 100_000,
    "yes": True,
    "no": False,
    "count": 22_500,
    "negative": -3,
    "rate": 0.1,
    "not a number": float("nan"),
    "group": {
        "betas": np.arange(6, dtype="float32").reshape(2, 3),
        "with nan": np.array([1.0, np.nan, np.inf]),
        "valid": np.array([[True, False]]),
        "images": np.arange(24, dtype="uint8").reshape(2, 3, 2, 2),
        "half": np.array([0.5], "float16"),
        "big endian": np.array([1, 2], ">i4"),
        "single": np.array(3.5),
        "no rows": np.zeros((0, 3), "int64"),
        "labels": np.array(["V1v", "", "größer"]),
        "table of text": np.array([["a", "b"], ["c", "dd"]]),
        "objects": np.array(["V1", "hV4"], dtype=object),
        "no labels": np.array([], dtype=str),
        "nothing": {},
        "deeper": {"a": {"b": {"c": np.ones(1)}}},
    },
}


def assert_same(measured, expected):
    assert list(measured) == list(expected)
    for key, value in expected.items():
        if isinstance(value, dict):
            assert_same(measured[key], value)
        elif isinstance(value, np.ndarray):
            assert isinstance(measured[key], np.ndarray)
            np.testing.assert_array_equal(measured[key], value)
            assert measured[key].dtype.kind == value.dtype.kind.replace("O", "U")
            assert value.dtype.kind in "UO" or measured[key].dtype == value.dtype
        elif value != value:
            assert math.isnan(measured[key])
        else:
            assert measured[key] == value
            assert type(measured[key]) is type(value)


def test_nested_mapping_comes_back_as_it_was(stored):
    assert_same(stored(NESTED).read(), NESTED)


def test_numpy_scalars_come_back_as_python_values(stored):
    loaded = stored({"r": np.float32(0.5), "n": np.int64(7), "valid": np.bool_(True), "name": np.str_("V1")})
    assert loaded.read() == {"r": 0.5, "n": 7, "valid": True, "name": "V1"}
    assert [type(value) for value in loaded.values()] == [float, int, bool, str]


def test_order_of_saving_is_kept_in_large_groups(stored):
    names = [f"layer{n}" for n in reversed(range(40))]
    loaded = stored({"arrays": {n: np.zeros(1) for n in names}, "numbers": dict.fromkeys(names, 1)})
    assert list(loaded["arrays"]) == names
    assert list(loaded["numbers"]) == names


def test_table_becomes_a_group_of_columns(stored):
    table = pd.DataFrame(
        {"epoch": [0, 1], "loss": [0.5, np.nan], "part": ["train", "holdout"], "kept": [True, False]},
        index=[5, 7],
    )
    history = stored({"history": table})["history"]
    assert list(history) == ["epoch", "loss", "part", "kept"]
    pd.testing.assert_frame_equal(pd.DataFrame(history.read()), table.reset_index(drop=True))


def test_mapping_behaviour(stored, dataset):
    loaded = stored({"a": 1, "subj01": {"betas": np.zeros((2, 2)), "valid": np.ones(2)}})
    assert "a" in loaded
    assert "b" not in loaded
    assert 3 not in loaded
    assert loaded.get("b", "none") == "none"
    assert len(loaded) == 2
    with pytest.raises(KeyError, match=r"data.h5: no 'subj02' in '/', only a, subj01"):
        loaded["subj02"]
    with pytest.raises(KeyError, match=r"no 'beta' in '/subj01', only betas, valid"):
        loaded["subj01"]["beta"]
    with pytest.raises(TypeError):
        loaded["a"] = 2
    assert loaded == dataset.load()
    assert loaded != loaded["subj01"]


# --- reading in part ---------------------------------------------------------------------------------------

STORAGES = [{}, {"chunks": (4, 3)}, {"chunks": (2, 4), "compression": "gzip"}]
"""As rows that lie one behind the other, and in chunks that fit neither the rows nor the columns."""


def written(folder, array, storage):
    HDF5Dataset(filepath=folder / "x.h5", save_args=storage).save({"x": array})
    return HDF5Dataset(filepath=folder / "x.h5").load()["x"]


def test_array_describes_itself_without_reading(stored):
    betas = stored({"betas": np.zeros((4, 3), "float32")})["betas"]
    assert (betas.shape, betas.dtype, betas.ndim, len(betas)) == ((4, 3), np.dtype("float32"), 2, 4)
    labels = stored({"labels": np.array(["a", "bb"])})["labels"]
    assert labels.dtype == np.dtype(str)
    with pytest.raises(TypeError, match="single value and has no length"):
        len(stored({"x": np.array(1.0)})["x"])


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        slice(2, 5),
        slice(None, None, 3),
        slice(8, 100),
        (slice(1, 4), 2),
        (Ellipsis, 1),
        [4, 1, 1, -1],
        np.array([], dtype=int),
        np.array([9, 0, 5, 5]),
        np.arange(10) % 2 == 0,
    ],
)
@pytest.mark.parametrize("storage", STORAGES)
def test_indexing_equals_numpy(tmp_path, index, storage):
    array = np.random.default_rng(0).normal(size=(10, 4))
    part = written(tmp_path, array, storage)[index]
    np.testing.assert_array_equal(part, array[index])
    assert np.shape(part) == array[index].shape


def test_strings_can_be_indexed(stored):
    array = np.array(["V1v", "V1d", "größer"])
    names = stored({"names": array})["names"]
    assert names[2] == "größer"
    np.testing.assert_array_equal(names[1:], array[1:])
    np.testing.assert_array_equal(names[[2, 0]], array[[2, 0]])
    np.testing.assert_array_equal(names, array)


def test_index_out_of_range(stored):
    x = stored({"x": np.zeros((3, 2))})["x"]
    for index in (3, [3], np.array([0, -4])):
        with pytest.raises(IndexError):
            x[index]
    with pytest.raises(IndexError):
        x.columns([2])


@pytest.mark.parametrize(
    "index",
    [[5, 0, 5, -1], [2], [], slice(1, None, 2), np.array([6, 3]), np.arange(7) > 2, np.zeros(7, bool)],
)
@pytest.mark.parametrize("storage", STORAGES)
def test_columns_equal_numpy(tmp_path, index, storage):
    array = np.random.default_rng(1).integers(-99, 99, size=(9, 7), dtype="int16")
    index = np.array(index, int) if isinstance(index, list) else index
    x = written(tmp_path, array, storage)
    columns = x.columns(index)
    np.testing.assert_array_equal(columns, array[:, index])
    assert columns.dtype == array.dtype
    for rows in ([7, 2, 2], [], slice(3, 5), array[:, 0] > 0):
        np.testing.assert_array_equal(x.columns(index, rows), array[rows][:, index])


def twelve_bits():
    """Integers of another size in the file than in memory."""
    found = h5py.h5t.NATIVE_INT16.copy()
    found.set_precision(12)
    return h5py.Datatype(found)


@pytest.mark.parametrize("dtype", ["bool", ">f4", "<i8", "float16", "complex64", "12 bits"])
def test_rows_of_any_type_and_behind_a_user_block(tmp_path, dtype):
    in_file, in_memory = (twelve_bits(), "int16") if dtype == "12 bits" else (dtype, dtype)
    array = np.random.default_rng(2).integers(-2, 2, size=(6, 5)).astype(in_memory)
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as file:
        file.create_dataset("x", data=array, dtype=in_file)
    x = open_tree(tmp_path / "x.h5")["x"]
    np.testing.assert_array_equal(x.columns([4, 0], [5, 5, 1]), array[[5, 5, 1]][:, [4, 0]])
    np.testing.assert_array_equal(x[[5, 0]], array[[5, 0]])


def test_rows_are_read_by_several_threads(stored):
    array = np.random.default_rng(3).normal(size=(2000, 50))
    x = stored({"x": array})["x"]
    with ThreadPoolExecutor(4) as threads:
        for rows, found in threads.map(lambda seed: (chosen := permuted(seed), x[chosen]), range(40)):
            np.testing.assert_array_equal(found, array[rows])


def permuted(seed):
    return np.random.default_rng(seed).permutation(2000)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (lambda *_: 3, r"data.h5: expected a complete HDF5 file, found .* \(it ends within '/x'\)"),
        (
            OSError(errno.EIO, "Input/output error"),
            r"data.h5: expected a disk that works, found one that rep",
        ),
    ],
)
def test_rows_that_cannot_be_read(stored, monkeypatch, read, text):
    def preadv(*arguments):
        if isinstance(read, OSError):
            raise read
        return read(*arguments)

    x = stored({"x": np.zeros((300, 2))})["x"]
    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(StorageError, match=text):
        x[[1]]


def test_columns_of_streamed_and_compressed_arrays(tmp_path, blocks):
    array = np.random.default_rng(2).normal(size=(50, 40)).astype("float32")
    dataset = HDF5Dataset(filepath=tmp_path / "x.h5", save_args={"compression": "gzip", "shuffle": True})
    dataset.save({"streamed": blocks(array, [20, 30]), "whole": array})
    for name in ("streamed", "whole"):
        stored = dataset.load()[name]
        np.testing.assert_array_equal(stored.columns([39, 2]), array[:, [39, 2]])
        np.testing.assert_array_equal(stored, array)


def test_columns_need_two_dimensions(stored):
    with pytest.raises(ValueError, match=r"'/x': expected two dimensions, found shape \(3,\)"):
        stored({"x": np.zeros(3)})["x"].columns([0])


def test_columns_take_no_more_memory_than_their_result(stored):
    x = stored({"x": np.zeros((2000, 500), "float32")})["x"]  # 4 MB
    tracemalloc.start()
    x.columns([0, 499])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000


def test_array_conversion(stored):
    x = stored({"x": np.arange(3)})["x"]
    assert np.asarray(x, dtype="float32").dtype == np.float32
    assert np.add(x, 1).tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="cannot become an array without a copy"):
        np.asarray(x, copy=False)
    assert torch_sum(x) == 3


def torch_sum(x):
    torch = pytest.importorskip("torch")
    return int(torch.from_numpy(np.array(x)).sum())


def test_stored_is_small_to_pickle_and_copy_and_leaves_nothing_open(stored, dataset, tmp_path):
    loaded = stored({"subj01": {"betas": np.zeros((1000, 100))}})
    for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded), copy.copy(loaded)):
        assert isinstance(again, Stored)
        assert again == loaded
        assert again["subj01"]["betas"][0, 0] == 0
    betas = loaded["subj01"]["betas"]
    assert len(pickle.dumps(betas)) < 1000
    again = pickle.loads(pickle.dumps(copy.deepcopy(betas)))
    assert isinstance(again, StoredArray)
    assert again == betas
    with h5py.File(tmp_path / "data.h5", "r+"):  # fails while any other handle is open
        pass


# --- lazy and streamed saving -------------------------------------------------------------------------------


def test_callables_are_called_once_in_order_after_the_previous_is_written(stored):
    calls = []

    def subject(name):
        def compute():
            calls.append(name)
            return {"betas": np.full(2, len(calls)), "note": lambda: calls.append("note") or f"for {name}"}

        return compute

    loaded = stored({name: subject(name) for name in ("subj02", "subj01")})
    assert calls == ["subj02", "note", "subj01", "note"]
    assert loaded["subj01"]["betas"][0] == 3
    assert loaded["subj01"]["note"] == "for subj01"


def test_callables_are_not_held_in_memory_together(dataset):
    megabyte = 2**20
    tracemalloc.start()
    dataset.save({f"subj{n:02d}": lambda: np.zeros(megabyte, "uint8") for n in range(8)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * megabyte


def test_blocks_are_written_one_at_a_time(stored, blocks):
    array = np.random.default_rng(3).integers(0, 255, size=(11, 3, 5, 5), dtype="uint8")
    loaded = stored({"images": blocks(array, [4, 4, 3])})
    np.testing.assert_array_equal(loaded["images"], array)
    assert blocks.handed_out == 3
    with h5py.File(loaded.path) as file:
        assert file["images"].chunks is None


def test_compressed_blocks_are_chunks_of_whole_rows(tmp_path, blocks):
    array = np.random.default_rng(3).integers(0, 255, size=(6, 2**19), dtype="uint8")
    dataset = HDF5Dataset(filepath=tmp_path / "x.h5", save_args={"compression": "lzf"})
    dataset.save({"x": blocks(array, [1, 5])})
    np.testing.assert_array_equal(dataset.load()["x"], array)
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"].chunks == (2, 2**19)


def test_blocks_are_never_whole_in_memory(dataset, blocks):
    array = np.broadcast_to(np.zeros(1, "uint8"), (64, 2**18))  # 16 MiB that take no room
    tracemalloc.start()
    dataset.save({"images": blocks(array, [2] * 32)})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 2**20
    assert dataset.load()["images"].shape == (64, 2**18)


def test_no_blocks(stored, blocks):
    assert stored({"x": blocks(np.zeros((0, 3)), [])})["x"].shape == (0, 3)


def test_what_was_loaded_can_be_saved_again_even_into_the_same_file(stored, monkeypatch):
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 20)
    loaded = stored(NESTED)
    assert_same(stored({"more": 1, **loaded}).read(), {"more": 1, **NESTED})


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, r"'/subj01/x' is None, which HDF5 cannot hold; leave the key out"),
        (lambda: None, r"'/subj01/x' is None"),
        ([1, 2], r"'/subj01/x': expected an array.*found list; make it a NumPy array or a mapping"),
        (b"bytes", r"'/subj01/x': expected an array.*found bytes"),
        (1j, r"'/subj01/x': expected an array.*found complex"),
        (2**80, r"'/subj01/x' cannot be stored"),
        ("nul\0inside", r"'/subj01/x' cannot be stored"),
        (np.array(["V1", None]), r"'/subj01/x': expected an array of numbers or of strings only, found None"),
        (np.array(["a", np.nan], object), r"found nan in it; convert it, and store '' for a missing string"),
        (np.array(["2026-01-01"], "datetime64[D]"), r"expected an array of booleans, numbers or strings"),
        (pd.DataFrame({"a": ["x", None]}), r"'/subj01/x/a': expected an array of numbers or of strings only"),
        (pd.DataFrame({"a": [1]}, index=pd.Index([1], name="voxel")), r"call reset_index\(\) first"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"expected different column names"),
        (pd.DataFrame([[1]], columns=[0]), r"expected keys that are names without '/', found 0"),
        ({"a/b": 1}, r"'/subj01/x': expected keys that are names without '/', found 'a/b'"),
        ({"": 1}, r"found ''"),
        ({1: 1}, r"found 1; rename it, or nest mappings"),
    ],
)
def test_refused_values_are_named_and_leave_nothing(dataset, left_over, value, text):
    with pytest.raises(DatasetError, match=text):
        dataset.save({"first": np.zeros(3), "subj01": {"x": value}})
    assert left_over() == []


def test_torch_tensors_are_refused(dataset):
    torch = pytest.importorskip("torch")
    with pytest.raises(DatasetError, match="found Tensor; make it a NumPy array"):
        dataset.save({"weights": torch.zeros(3)})


def test_only_mappings_are_saved(dataset, left_over):
    with pytest.raises(DatasetError, match=r"data.h5: expected a mapping of names to arrays, found ndarray"):
        dataset.save(np.zeros(3))
    assert left_over() == []


# --- failures half way --------------------------------------------------------------------------------------


def interrupted():
    raise KeyboardInterrupt


def failing():
    raise ValueError("session 17 is truncated")


@pytest.mark.parametrize("versioned", [False, True])
@pytest.mark.parametrize(
    ("last", "error", "text"),
    [
        (failing, DatasetError, "session 17 is truncated"),
        (interrupted, KeyboardInterrupt, None),
    ],
)
def test_failing_callable_leaves_nothing(tmp_path, left_over, versioned, last, error, text):
    version = Version(None, "2026-01-01T00.00.00.000Z") if versioned else None
    dataset = HDF5Dataset(filepath=tmp_path / "folder" / "data.h5", version=version)
    with pytest.raises(error, match=text):
        dataset.save({"subj01": np.zeros(1000), "subj02": last})
    assert left_over() == []
    assert not dataset.exists()


def test_failing_blocks_leave_the_former_file(dataset, left_over, blocks):
    dataset.save({"x": 1})
    with pytest.raises(DatasetError, match="the stimuli are gone"):
        dataset.save({"images": blocks(np.zeros((6, 2)), [2, 2, 2], fail_after=2)})
    with pytest.raises(DatasetError, match="/images: expected 6 rows, as promised, found 4"):
        dataset.save({"images": blocks(np.zeros((6, 2)), [2, 2])})
    assert left_over() == ["data.h5"]
    assert dataset.load()["x"] == 1


# --- damaged files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", None])
def test_damaged_file_is_named(dataset, tmp_path, content):
    path = tmp_path / "data.h5"
    if content is None:
        dataset.save({"x": np.random.default_rng(0).normal(size=10_000)})
        content = path.read_bytes()[:20_000]
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"data.h5: expected a complete HDF5 file.*delete it and run"):
        dataset.load()


def test_file_damaged_after_loading(stored, tmp_path):
    loaded = stored({"x": np.zeros(10_000)})
    x = loaded["x"]
    path = tmp_path / "data.h5"
    path.write_bytes(path.read_bytes()[:5_000])
    for read in (lambda: x[0], lambda: x.read(), lambda: loaded["x"], lambda: list(loaded)):
        with pytest.raises(StorageError, match=r"data.h5: expected a complete HDF5 file"):
            read()
    path.unlink()
    with pytest.raises(StorageError, match=r"data.h5: expected an HDF5 file, found none"):
        x[0]


def test_damaged_chunk_is_named(tmp_path, blocks):
    array = np.random.default_rng(0).integers(0, 255, size=(2000,), dtype="uint8")
    dataset = HDF5Dataset(filepath=tmp_path / "data.h5", save_args={"compression": "gzip"})
    dataset.save({"x": array})
    path = tmp_path / "data.h5"
    with h5py.File(path) as file:
        offset = file["x"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 50] = b"\xff" * 50
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"data.h5: expected a complete HDF5 file"):
        dataset.load()["x"].read()


def test_missing_file(dataset):
    assert not dataset.exists()
    with pytest.raises(DatasetError, match=r"data.h5: expected a file, found none; run the pipeline"):
        dataset.load()


# --- Kedro-Viz ----------------------------------------------------------------------------------------------


def test_preview_lists_keys_shapes_and_types(dataset):
    dataset.save(
        {"subject": "subj01", "subj01": {"betas": np.zeros((4, 3), "float32"), "area": np.array(["V1"])}}
    )
    assert dataset.preview()["columns"] == ["key", "shape", "dtype", "value"]
    assert dataset.preview()["data"] == [
        ["subject", "", "str", "subj01"],
        ["subj01/betas", "(4, 3)", "float32", ""],
        ["subj01/area", "(1,)", "str", ""],
    ]
    assert len(dataset.preview(nrows=1)["data"]) == 1


def test_preview_of_a_group_that_contains_itself_ends(dataset, tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        group = file.create_group("a")
        group["a"] = group
    with pytest.raises(StorageError, match=r"data.h5: '/a': .*one that has a second name"):
        dataset.preview()


def test_preview_cuts_long_text(dataset):
    dataset.save({"text": "x" * 100})
    assert dataset.preview()["data"] == [["text", "", "str", "x" * 79 + "…"]]
