"""Tuning, hierarchy index and noise model give the numbers of the published analyses."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from gnet.analysis.noise_model import noise_model
from gnet.analysis.receptive_fields import fit_ellipses, gaussian_mass, gaussian_pyramid, surface
from gnet.analysis.transfer_matrix import hierarchy_index
from gnet.analysis.tuning import Scores, specific_share, spread, tuning_scores, unique_share
from gnet.evaluation.resampling import resample_counts
from gnet.models.interchange.names import from_published_readout
from gnet.models.partitions import bipartite, layerwise
from gnet.models.readout import Readout
from recorded import tensors


def arrays(path):
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="module")
def readout_and_maps(reference):
    maps = tensors(reference / "encoder_eval.npz")
    maps = [maps["fmap0"], maps["fmap1"]]
    state = tensors(reference / "readout_layerwise.npz", "state/")
    readout = Readout(len(state["b"]), [m.shape[-1] for m in maps], [m.shape[1] for m in maps])
    readout.load_state_dict(from_published_readout(state))
    return readout, maps


@pytest.mark.parametrize(("name", "partition"), [("layerwise", layerwise), ("bipartite", bipartite)])
@torch.no_grad()
def test_tuning(reference, readout_and_maps, name, partition):
    recorded = {k.removeprefix(f"{name}/"): v for k, v in arrays(reference / "tuning.npz").items()}
    readout, maps = readout_and_maps
    masks = partition(maps[1].shape[1] // 4)
    assert (np.stack(list(masks.values())) == recorded["masks"]).all()
    contributions = readout.partition_contributions(maps, list(masks.values())).numpy()
    scores = tuning_scores(
        contributions,
        readout.bias.numpy(),
        recorded["response"],
        recorded["image_index"],
        resample_counts(recorded["resample_index"], len(recorded["response"])),
    )
    for kind in ("total", "inclusive", "exclusive"):
        found = getattr(scores, kind)
        # float32 on both sides, accuracies of order one
        np.testing.assert_allclose(found.mean, recorded[kind][..., 0], atol=2e-5)
        np.testing.assert_allclose(found.sd, recorded[kind][..., 1], atol=2e-5)
    # What follows from the scores is compared for the recorded ones: shares divide by accuracies near zero,
    # which turns the last digit of float32 into the third.
    as_recorded = type(scores)(
        *(Scores(*np.moveaxis(recorded[k].astype(float), -1, 0)) for k in ("total", "inclusive", "exclusive"))
    )
    for share, kind in ((specific_share, "incl"), (unique_share, "excl")):
        value, error = share(as_recorded)
        np.testing.assert_allclose(value, recorded[f"{kind}_tuning"], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(error, recorded[f"{kind}_tuning_err"], rtol=1e-5, atol=1e-4)
        assert (value.argmax(0) == recorded[f"{kind}_argmax"]).all()
        np.testing.assert_allclose(spread(value), recorded[f"{kind}_spread"], rtol=1e-5, atol=1e-5)


def test_hierarchy_index(reference):
    recorded = arrays(reference / "hierarchy_index.npz")
    names = ("transfer_matrix", "index", "error")
    for matrix, index, error in zip(*(recorded[name] for name in names), strict=True):
        found = hierarchy_index(matrix)
        # the published slopes come from an iterative fit, good to about 1e-8
        np.testing.assert_allclose([found.index, found.error], [index, error], rtol=1e-6)


def test_noise_model(reference):
    recorded = arrays(reference / "noise_model.npz")
    found = noise_model(recorded["response"], recorded["prediction"])
    np.testing.assert_allclose(found.gain, recorded["gain"], rtol=1e-10)
    np.testing.assert_allclose(found.covariance, recorded["noise_covariance"], atol=1e-12)
    loss = ((found.factor @ found.factor.T - recorded["noise_covariance"]) ** 2).sum()
    assert loss <= recorded["descent_loss"]


def test_pooling_field_fit(reference):
    """The same surfaces; the two axes of an ellipse may have changed names."""
    recorded = arrays(reference / "pooling_field_fit.npz")
    fields = recorded["fields"]
    x = np.linspace(-0.5, 0.5, fields.shape[2])
    y = np.linspace(0.5, -0.5, fields.shape[1])
    found = fit_ellipses(fields, x, y)
    assert found.converged.all()
    expected = surface(recorded["params"], x, y)
    np.testing.assert_allclose(surface(found.parameters, x, y), expected, atol=1e-3 * expected.max())
    np.testing.assert_allclose(found.residual, recorded["residual"], rtol=1e-4)
    np.testing.assert_allclose(np.sort(found.sigmas), np.sort(np.exp(recorded["params"][:, 3:5])), rtol=1e-3)
    np.testing.assert_allclose(found.errors[:, 1:3], recorded["errors"][:, 1:3], rtol=0.02)
    turn = (found.radial_angle - recorded["radial_angle"] + np.pi / 2) % np.pi - np.pi / 2
    np.testing.assert_allclose(turn, 0, atol=1e-2)


def test_gaussian_fields(reference):
    """Equal up to rounding for fields narrower than a pixel, which the published code integrates, and up to
    the error of the midpoint rule, which it applies to wider ones."""
    recorded = arrays(reference / "gaussian_fields.npz")
    grid, size, pixels = recorded["grid"], float(recorded["size"]), recorded["mass"].shape[1]
    candidates = gaussian_pyramid(np.ptp(grid[:, 0]), np.unique(grid[:, 2]))
    assert len(candidates) == len(grid)
    np.testing.assert_allclose(np.sort(candidates, axis=0), np.sort(grid, axis=0), atol=1e-6)

    width, unit = size / pixels, np.finfo(np.float32).eps
    fields, mass = recorded["selection"], recorded["mass"]
    assert len(fields)
    assert mass.dtype == np.float32
    x, y, sigma = (column[:, None] for column in fields.T)
    peak = 1 / (np.sqrt(2 * np.pi) * sigma)  # of the density
    # Midpoint rule: width^3 / 24 times the largest second derivative of the density.
    midpoint = width**3 / 24 * peak / sigma**2
    # Half a difference of two values of a polynomial for the error function, each off by at most 1.5e-7
    # (Abramowitz and Stegun 7.1.26). In float32, rounding moves the two edges of a pixel by less than two
    # units each, and the difference by one more.
    rounding = 1.5e-7 + unit * (1 + 4 * peak)
    # A mass is the product p q of a strip in y and a strip in x. If each is off by at most e, the product is
    # off by at most e (p + q) + e^2; recording it in float32 rounds it once more.
    error = np.where(sigma < width, rounding, midpoint)[:, :, None]
    edges = np.linspace(-size / 2, size / 2, pixels + 1)
    q, p = (np.diff(ndtr((edges - centre) / sigma), axis=1) for centre in (x, -y))
    bound = error * (p[:, :, None] + q[:, None, :]) + error**2 + unit * mass
    assert (np.abs(gaussian_mass(fields, pixels, size) - mass) <= bound).all()
