"""Fitting without Kedro: arrays in, a model out that can be stored and used."""

import numpy as np
import pytest
import torch

import gnet
from gnet.errors import ParameterError
from gnet.fitting.models import data_digest, held_out
from gnet.models.checkpoints import Voxels
from gnet.models.gnet import Architecture, GNet

SIDE, IMAGES = 47, 40
AFFINE = np.diag([1.8, 1.8, 1.8, 1.0])


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def trials():
    random = np.random.default_rng(1)
    shown = np.tile(np.arange(IMAGES), 2)
    voxels = Voxels(np.array([7, 3, 5]), np.array(["V1", "V1", "V2"]), (4, 5, 6), AFFINE)
    return {
        "subj01": gnet.Trials(shown, random.standard_normal((len(shown), 3), np.float32), voxels=voxels),
        "subj02": gnet.Trials(shown[:50], random.standard_normal((50, 2))),
    }


FORM = {"architecture": Architecture(SIDE, trunk_width=4), "procedure": gnet.Procedure(epochs=2)}


@pytest.fixture(scope="module")
def model(images, trials):
    return gnet.fit(images, trials, seed=3, device="cpu", **FORM)


def test_a_fit_is_stored_and_used(model, images, tmp_path):
    model.save(tmp_path / "mine.h5")
    used = gnet.load_model(tmp_path / "mine.h5", device="cpu")
    responses, voxels = used.predict(images[:5], "subj01", area="V1")
    assert responses.shape == (5, 2)
    assert voxels["voxel_index"].tolist() == [7, 3]
    assert voxels[["x", "y", "z"]].to_numpy().tolist() == [[0, 1, 1], [0, 0, 3]]
    assert used.voxels("subj02")["voxel_index"].tolist() == [0, 1]
    [stored] = used.models
    np.testing.assert_array_equal(stored.voxels["subj01"].affine, AFFINE)
    assert stored.configuration["seed"] == 3
    assert len(stored.history) == 2


def test_the_same_seed_gives_the_same_model(model, images, trials):
    again = gnet.fit(images, trials, seed=3, device="cpu", **FORM)
    other = gnet.fit(images, trials, seed=4, device="cpu", **FORM)
    for name, tensor in model.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], tensor)
    name = "trunk.conv3.conv.weight"
    assert not torch.equal(other.network.state_dict()[name], model.network.state_dict()[name])


def test_the_precision_that_auto_took_is_stored(images, trials, monkeypatch):
    monkeypatch.setattr("gnet.fitting.models.resolve_precision", lambda name, device: "bfloat16")
    procedure = gnet.Procedure(epochs=1, precision="auto")
    architecture = gnet.Architecture(pixels=images.shape[1], trunk_width=2)
    model = gnet.fit(images, trials, architecture=architecture, procedure=procedure, seed=1)
    assert model.configuration["precision"] == "bfloat16"


def test_colour_first_is_the_same(model, images, trials):
    again = gnet.fit(images.transpose(0, 3, 1, 2), trials, seed=3, device="cpu", **FORM)
    assert torch.equal(again.network.input_mean, model.network.input_mean)


def test_the_seed_is_drawn_and_stored(images, trials):
    first, second = (gnet.fit(images, trials, device="cpu", **FORM) for _ in range(2))
    assert first.configuration["seed"] != second.configuration["seed"]


def test_a_given_holdout(images, trials):
    parts = held_out(trials, 0.2, seed=1)
    model = gnet.fit(images, parts.training, holdout=parts.holdout, seed=3, device="cpu", **FORM)
    assert len(model.history) == 2


def test_held_out_images_are_new(trials):
    parts = held_out(trials, 0.2, seed=1)
    for subject, whole in trials.items():
        train, held = parts.training[subject].image_row, parts.holdout[subject].image_row
        assert not set(train) & set(held)
        assert len(train) + len(held) == len(whole.image_row)
        assert len(set(held)) == 8


@pytest.mark.parametrize("fraction", [0.0, 1.0, 1.5, -0.1])
def test_a_holdout_that_leaves_nothing(trials, fraction):
    with pytest.raises(ParameterError, match="subj01: expected a holdout fraction that leaves images"):
        held_out(trials, fraction, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: images / 255, "images: expected uint8, got float32"),
        (
            lambda images: images[:10],
            "subj01: expected trials that show rows 0 to 9 of the images, got 0 to 3",
        ),
        (lambda images: images[:, :40], "expected square images"),
    ],
)
def test_images_that_cannot_be_fitted(images, trials, change, message):
    with pytest.raises(ParameterError, match=message):
        gnet.fit(change(images), trials, device="cpu", **FORM)


def test_voxels_and_responses_that_do_not_match():
    with pytest.raises(
        ParameterError, match="as many voxels as the responses have columns, got 2 voxels and 3"
    ):
        gnet.Trials(np.arange(4), np.zeros((4, 3), np.float32), voxels=Voxels(np.arange(2)))


def test_the_digest_tells_data_and_prefilters_apart(trials):
    data = held_out(trials, 0.2, seed=1)

    def network(seed):
        torch.manual_seed(seed)
        return GNet(Architecture(SIDE, trunk_width=4), {"subj01": 3, "subj02": 2})

    digest = data_digest(network(0), data)
    assert digest == data_digest(network(0), data)
    assert digest != data_digest(network(1), data)
    assert digest != data_digest(network(0), held_out(trials, 0.2, seed=2))
