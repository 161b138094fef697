import numpy as np
import pytest
import torch

from gnet.fitting.batches import Trials
from gnet.fitting.ridge import PENALTIES, pool, ridge_predictions

IMAGES, FEATURES, PIXELS, VOXELS = 90, 5, 4, 3


@pytest.fixture
def known():
    """Maps, fields, and responses that are linear in the maps under the fields, with noise."""
    random = np.random.default_rng(0)
    maps = random.standard_normal((IMAGES, FEATURES, PIXELS)).astype(np.float32)
    fields = random.dirichlet(np.ones(PIXELS), VOXELS)
    pooled = np.einsum("ikp,vp->vik", maps, fields)
    readout = random.standard_normal((VOXELS, FEATURES))
    signal = np.einsum("vik,vk->iv", pooled, readout) + 0.3
    return maps, fields, pooled, signal, random


def under(maps, fields, size=40):
    def pooled(some):
        blocks = (torch.from_numpy(maps[start : start + size]) for start in range(0, len(maps), size))
        return pool(blocks, torch.from_numpy(fields[some]).float())

    return pooled


def trials(rows, signal, noise=0.0, random=None, count=None):
    response = signal[rows]
    if noise:
        response = response + noise * random.standard_normal(response.shape)
    return Trials(rows, response.astype(np.float32), count=count)


def test_what_is_linear_in_the_maps_is_found(known):
    maps, fields, _, signal, _ = known
    training, holdout = trials(np.arange(60), signal), trials(np.arange(60, 75), signal)
    predicted = ridge_predictions(under(maps, fields), maps.shape[1], np.arange(IMAGES), training, holdout)
    np.testing.assert_allclose(predicted[75:], signal[75:], atol=2e-3)  # the least penalty is 1e-4


def test_it_is_the_ridge_regression_whose_penalty_is_best_on_the_holdout_trials(known):
    maps, fields, pooled, signal, random = known
    training = trials(np.arange(60), signal, 2.0, random)
    holdout = trials(np.arange(60, 75), signal, 2.0, random)
    predicted = ridge_predictions(under(maps, fields), maps.shape[1], np.arange(IMAGES), training, holdout)
    for voxel in range(VOXELS):
        x, y = pooled[voxel, :60], training.response[:, voxel]
        z = (pooled[voxel] - x.mean(0)) / x.std(0)
        found = []
        for penalty in PENALTIES:
            gram = z[:60].T @ z[:60] / 60 + penalty * np.eye(FEATURES)
            weights = np.linalg.solve(gram, z[:60].T @ (y - y.mean()) / 60)
            found.append(z @ weights + y.mean())
        r = [np.corrcoef(one[60:75], holdout.response[:, voxel])[0, 1] for one in found]
        np.testing.assert_allclose(predicted[:, voxel], found[int(np.argmax(r))], atol=1e-4)


def test_a_mean_over_trials_counts_as_that_many(known):
    maps, fields, _, signal, random = known
    first = trials(np.repeat(np.arange(60), 1 + np.arange(60) % 3), signal)
    noisy = first.response + random.standard_normal(first.response.shape).astype(np.float32)
    means = np.stack([noisy[first.image_row == row].mean(0) for row in range(60)])
    holdout = trials(np.arange(60, 75), signal)
    single, averaged = (
        ridge_predictions(under(maps, fields), maps.shape[1], np.arange(IMAGES), training, holdout)
        for training in (
            Trials(first.image_row, noisy),
            Trials(np.arange(60), means, count=1 + np.arange(60) % 3),
        )
    )
    np.testing.assert_allclose(averaged, single, atol=1e-4)


def test_voxels_are_fitted_in_groups_that_fit_into_memory(known, monkeypatch):
    maps, fields, _, signal, _ = known
    arguments = (
        under(maps, fields), FEATURES, np.arange(IMAGES),
        trials(np.arange(60), signal), trials(np.arange(60, 75), signal),
    )  # fmt: skip
    whole = ridge_predictions(*arguments)
    monkeypatch.setattr("gnet.fitting.ridge.BYTES", 1)
    np.testing.assert_allclose(ridge_predictions(*arguments), whole, atol=1e-5)


def test_features_that_never_vary_are_no_matter(known):
    maps, fields, _, signal, _ = known
    maps = np.concatenate([maps, np.ones_like(maps[:, :1])], axis=1)
    training, holdout = trials(np.arange(60), signal), trials(np.arange(60, 75), signal)
    predicted = ridge_predictions(under(maps, fields), maps.shape[1], np.arange(IMAGES), training, holdout)
    np.testing.assert_allclose(predicted[75:], signal[75:], atol=2e-3)
