"""A model file is the same file whoever wrote it: the pipelines' dataset or this module without Kedro."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from gnet.errors import ModelFileError
from gnet.io.hdf5 import HDF5Dataset
from gnet.models.checkpoints import (
    FittedModel,
    Voxels,
    from_arrays,
    newest_version,
    read_models,
    save_models,
    to_arrays,
)
from gnet.models.gnet import Architecture, GNet


def make_model(seed=0, index=(30, 10, 20)):
    torch.manual_seed(seed)
    network = GNet(
        Architecture(47, trunk_width=4), {"subj01": len(index)}, input_mean=np.array([0.4, 0.5, 0.6])
    )
    return FittedModel(
        network.eval(),
        {"subj01": Voxels(np.array(index), np.array(["größer"] * len(index)), (9, 8, 7))},
        ("V1", "größer"),
        {"protocol": "published", "none": None},
        pd.DataFrame({"epoch": [1, 2], "loss": [0.5, np.nan], "best": [True, False], "note": ["a", "ü"]}),
    )


def assert_same_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_same_arrays(found[name], value)
        elif isinstance(value, np.ndarray):
            text = value.dtype.kind in "UO"  # pandas keeps text as objects
            assert found[name].dtype.kind in "UO" if text else found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)
        else:
            assert type(found[name]) is type(value)
            assert found[name] == value


def test_read_what_the_dataset_wrote(tmp_path):
    model = make_model()
    HDF5Dataset(filepath=tmp_path / "model.h5").save(to_arrays(model))
    [found] = read_models(tmp_path / "model.h5")
    assert_same_arrays(to_arrays(found), to_arrays(model))


def test_the_dataset_reads_what_was_written(tmp_path):
    model = make_model()
    save_models([model], tmp_path / "model.h5")
    stored = HDF5Dataset(filepath=tmp_path / "model.h5").load()
    assert_same_arrays(stored.read(), to_arrays(model))
    assert_same_arrays(to_arrays(from_arrays(stored)), to_arrays(model))


def test_both_write_the_same_layout(tmp_path):
    content = to_arrays(make_model())
    HDF5Dataset(filepath=tmp_path / "theirs.h5").save(content)
    save_models([make_model()], tmp_path / "ours.h5")

    def layout(path):
        found = {}
        with h5py.File(path) as file:
            file.visititems(lambda name, item: found.update({name: getattr(item, "dtype", None)}))
            return found, dict(file.attrs)

    assert layout(tmp_path / "ours.h5") == layout(tmp_path / "theirs.h5")


def test_several_models_in_one_file(tmp_path):
    models = [make_model(seed, index=(seed,)) for seed in range(11)]
    save_models(models, tmp_path / "models.h5")
    found = read_models(tmp_path / "models.h5")
    for mine, theirs in zip(found, models, strict=True):
        assert_same_arrays(to_arrays(mine), to_arrays(theirs))


def test_newest_of_the_versions(tmp_path):
    for version, index in (("2026-01-02T00.00.00.000Z", 2), ("2026-01-10T00.00.00.000Z", 10)):
        save_models([make_model(index=(index,))], tmp_path / "gnet8j.h5" / version / "gnet8j.h5")
    [model] = read_models(tmp_path / "gnet8j.h5")
    assert model.voxel_index["subj01"].tolist() == [10]
    assert newest_version(tmp_path / "gnet8j.h5").parent.name == "2026-01-10T00.00.00.000Z"


def test_nothing_is_left_of_a_failed_write(tmp_path):
    save_models([make_model()], tmp_path / "model.h5")
    before = (tmp_path / "model.h5").read_bytes()
    broken = make_model()
    broken.history["object"] = [object(), object()]
    with pytest.raises(TypeError):
        save_models([broken], tmp_path / "model.h5")
    assert (tmp_path / "model.h5").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model.h5"]


def test_no_model_there(tmp_path):
    with pytest.raises(
        ModelFileError, match=r"gnet8j\.h5: expected a model file or a folder .*, found neither"
    ):
        read_models(tmp_path / "gnet8j.h5")
    with pytest.raises(
        ModelFileError, match=r"expected versions of a model, .* found none in the folder\. Run"
    ):
        read_models(tmp_path)


def test_damaged_file(tmp_path):
    path = tmp_path / "model.h5"
    save_models([make_model()], path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        ModelFileError, match=r"expected a model in HDF5, .* cannot be read .*import-checkpoint"
    ):
        read_models(path)


def test_another_file(tmp_path):
    path = tmp_path / "betas.h5"
    HDF5Dataset(filepath=path).save({"format": "betas", "subj01": np.zeros(3)})
    with pytest.raises(
        ModelFileError, match=r"betas\.h5: expected a file of format 'gnet-model', got 'betas'"
    ):
        read_models(path)
