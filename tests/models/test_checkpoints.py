"""What is stored is the model: the same predictions bit for bit, and a clear word where it is not."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import gnet
from gnet.errors import ModelFileError
from gnet.io.hdf5 import HDF5Dataset
from gnet.models.checkpoints import FittedModel, Voxels, from_arrays, read_models, to_arrays
from gnet.models.gnet import Architecture, GNet

AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])


def make_model(**form):
    torch.manual_seed(0)
    architecture = Architecture(47, trunk_width=4, dropout=0.2, batch_norm_momentum=0.1, **form)
    network = GNet(architecture, {"subj01": 3, "subj02": 2}, input_mean=np.array([0.4, 0.5, 0.6]))
    with torch.no_grad():
        for tensor in network.state_dict().values():  # running statistics and fields too
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
            else:
                tensor += 7
    history = pd.DataFrame(
        {"epoch": [1, 2], "loss": [0.5, 0.25], "holdout_median_r": [0.1, np.nan], "best": [True, False]}
    )
    return FittedModel(
        network.eval(),
        {
            "subj01": Voxels(np.array([30, 10, 20]), np.array(["V1", "", "größer"]), (9, 8, 7), AFFINE),
            "subj02": Voxels(np.array([5, 2**40])),
        },
        ("V1", "größer"),
        {"protocol": "published", "seed": 3, "rate": 1e-3, "none": None},
        history,
    )


@torch.no_grad()
def assert_same_model(found, expected):
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, 47, 47), dtype=np.uint8))
    for subject, index in expected.voxel_index.items():
        assert torch.equal(found.network(images, subject), expected.network(images, subject))
        np.testing.assert_array_equal(found.voxel_index[subject], index)
    for subject, voxels in expected.voxels.items():
        assert found.voxels[subject].shape == voxels.shape
        for part in ("area", "affine"):
            mine, theirs = getattr(found.voxels[subject], part), getattr(voxels, part)
            assert (mine is None) == (theirs is None)
            np.testing.assert_array_equal(mine, theirs)
    state = found.network.state_dict()
    for name, tensor in expected.network.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert not found.network.training
    assert found.network.architecture == expected.network.architecture
    assert found.areas == expected.areas
    assert found.configuration == expected.configuration
    pd.testing.assert_frame_equal(found.history, expected.history)


FORMS = [{}, {"readout": "single_field"}, {"pass_through": 12, "prefilter_readout": True}]


@pytest.mark.parametrize("form", FORMS)
def test_round_trip_as_arrays(form):
    model = make_model(**form)
    assert_same_model(from_arrays(to_arrays(model)), model)


@pytest.mark.parametrize("form", FORMS)
def test_round_trip_through_hdf5(tmp_path, form):
    model = make_model(**form)
    dataset = HDF5Dataset(filepath=tmp_path / "model.h5")
    dataset.save(to_arrays(model))
    assert_same_model(from_arrays(dataset.load()), model)


def test_a_model_just_made_can_be_stored(tmp_path):
    """Without a history and a configuration."""
    network = GNet(Architecture(47, trunk_width=4), {"subj01": 1})
    dataset = HDF5Dataset(filepath=tmp_path / "model.h5")
    dataset.save(to_arrays(FittedModel(network, {"subj01": Voxels(np.array([0]))})))
    assert from_arrays(dataset.load()).history.empty


def test_stored_arrays_are_no_views_that_a_fit_changes():
    model = make_model()
    stored = to_arrays(model)
    for array in stored["weights"].values():
        array.flags.writeable = False  # as of a file that is mapped into memory
    loaded = from_arrays(stored)
    with torch.no_grad():
        loaded.network.readouts["subj01"].bias += 1
    np.testing.assert_array_equal(
        stored["weights"]["readouts.subj01.bias"], model.network.readouts["subj01"].bias.detach()
    )


@pytest.fixture
def stored():
    return to_arrays(make_model())


@pytest.mark.parametrize("found", ["gnet-betas", None])
def test_another_format(stored, found):
    stored["format"] = found
    with pytest.raises(ModelFileError, match=f"V1.h5: expected a file of format 'gnet-model', got {found!r}"):
        from_arrays(stored, "V1.h5")


def test_another_version(stored):
    stored["version"] = 2
    stored["gnet_version"] = "9.1"
    with pytest.raises(ModelFileError) as caught:
        from_arrays(stored, "V1.h5")
    assert str(caught.value) == (
        "V1.h5: expected model version 1, got 2, written by gnet 9.1. "
        "Refit the model, or read it with that version of gnet."
    )


def test_files_without_the_area_of_each_voxel_are_read(stored):
    """As written before the area was stored."""
    for part in ("area", "volume_shape", "affine"):
        del stored["readouts"]["subj01"][part]
    voxels = from_arrays(stored).voxels["subj01"]
    assert (voxels.area, voxels.shape, voxels.affine) == (None, None, None)


def test_files_of_version_0_1_have_other_names_for_settings(stored):
    architecture = json.loads(stored["architecture"])
    architecture["momentum"] = architecture.pop("batch_norm_momentum")
    stored["architecture"] = json.dumps(architecture)
    stored["configuration"] = json.dumps(
        {"trunk_rate": 1e-3, "readout_rate": 0.02, "sparsity": 0.1, "seed": 1}
    )
    model = from_arrays(stored)
    assert model.architecture == make_model().architecture
    assert model.configuration == {
        "trunk_learning_rate": 1e-3, "readout_learning_rate": 0.02, "l1": 0.1, "seed": 1,
    }  # fmt: skip


def test_files_without_the_newer_choices_of_architecture_are_read(stored):
    architecture = json.loads(stored["architecture"])
    del architecture["pass_through"], architecture["prefilter_readout"]
    stored["architecture"] = json.dumps(architecture)
    assert from_arrays(stored).network.architecture == make_model().network.architecture


def shorten_area(stored):
    stored["readouts"]["subj01"]["area"] = np.array(["V1"])


def remove_weight(stored):
    del stored["weights"]["trunk.conv4a.conv.weight"]


def add_weight(stored):
    stored["weights"]["trunk.conv9.conv.weight"] = np.zeros(3)


def widen_trunk(stored):
    stored["architecture"] = json.dumps({**json.loads(stored["architecture"]), "trunk_width": 8})


def lengthen_index(stored):
    stored["readouts"]["subj02"]["voxel_index"] = np.arange(9)


def remove_group(stored):
    del stored["readouts"]


def replace_group(stored):
    stored["weights"] = np.zeros(3)


def invent_option(stored):
    stored["architecture"] = json.dumps({"pixels": 47, "depth": 3})


def invent_readout(stored):
    stored["architecture"] = json.dumps({"pixels": 47, "readout": "linear"})


def garble_text(stored):
    stored["areas"] = "V1"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (remove_weight, "Missing key.*trunk.conv4a.conv.weight"),
        (add_weight, "Unexpected key.*trunk.conv9.conv.weight"),
        (widen_trunk, "size mismatch for trunk.conv4a.conv.weight"),
        (lengthen_index, "size mismatch for readouts.subj02"),
        (shorten_area, "subj01 has 3 voxels but areas for 1"),
        (remove_group, "'readouts'"),
        (replace_group, "weights are not a group of arrays"),
        (invent_option, "depth"),
        (invent_readout, "expected layerwise or single_field, got 'linear'"),
        (garble_text, "Expecting value"),
    ],
)
def test_parts_that_do_not_fit(stored, damage, reason):
    damage(stored)
    with pytest.raises(
        ModelFileError, match=f"(?s)V1.h5: its parts do not fit together: .*{reason}"
    ) as caught:
        from_arrays(stored, "V1.h5")
    assert str(caught.value).endswith("Refit the model.")


def negative_index(stored):
    stored["readouts"]["subj01"]["voxel_index"] = np.array([30, -1, 20])


def real_index(stored):
    stored["readouts"]["subj01"]["voxel_index"] = np.array([30.0, 10.0, 20.0])


def small_volume(stored):
    stored["readouts"]["subj01"]["volume_shape"] = np.array([2, 3, 4])


def no_readouts(stored):
    stored["readouts"] = {}


def undefined_weight(stored):
    stored["weights"]["trunk.conv4a.conv.weight"] = stored["weights"]["trunk.conv4a.conv.weight"] * np.nan


def complex_weight(stored):
    stored["weights"]["trunk.conv4a.conv.bias"] = stored["weights"]["trunk.conv4a.conv.bias"] + 1j


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (negative_index, "subj01: voxel_index is not a list of integers from 0"),
        (real_index, "subj01: voxel_index is not a list of integers from 0"),
        (small_volume, "volume_shape must be"),
        (no_readouts, "no subject has a readout"),
        (undefined_weight, "trunk.conv4a.conv.weight: expected finite real numbers"),
        (complex_weight, "trunk.conv4a.conv.bias: expected finite real numbers"),
    ],
)
def test_files_that_no_fit_can_have_written(stored, damage, reason):
    damage(stored)
    with pytest.raises(ModelFileError, match=reason):
        from_arrays(stored, "V1.h5")


def test_weights_are_read_when_they_are_needed(tmp_path):
    make_model().save(tmp_path / "model.h5")
    [model] = read_models(tmp_path / "model.h5", lazy=True)
    assert model.architecture == make_model().architecture
    (tmp_path / "model.h5").unlink()
    with pytest.raises(ModelFileError, match=r"model.h5: .*found none"):
        _ = model.network


def test_what_is_stored_says_who_wrote_it(stored):
    assert (stored["format"], stored["version"], stored["gnet_version"]) == (
        "gnet-model",
        1,
        gnet.__version__,
    )
    assert stored["readouts"]["subj01"]["voxel_index"].dtype == np.int64
