"""The bootstrap as matrix products is the bootstrap as a loop."""

import warnings

import numpy as np
import pytest

from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.resampling import resample_counts, resampled_correlation


def bootstrap_correlation(measured, predicted, draws):
    return resampled_correlation(measured, predicted, resample_counts(draws, len(measured)))


@pytest.mark.parametrize("offset", [0, 1e6], ids=["centred", "far from nought"])
def test_against_a_loop_over_resamples_and_voxels(offset):
    random = np.random.default_rng(0)
    measured = random.normal(size=(40, 3)) + offset
    predicted = 0.5 * measured + random.normal(size=(40, 3)) - offset
    draws = random.integers(40, size=(8, 40))
    expected = [
        [np.corrcoef(measured[draw, voxel], predicted[draw, voxel])[0, 1] for voxel in range(3)]
        for draw in draws
    ]
    np.testing.assert_allclose(bootstrap_correlation(measured, predicted, draws), expected, rtol=1e-7)


def test_every_trial_once_is_the_correlation_itself():
    random = np.random.default_rng(1)
    measured, predicted = random.normal(size=(2, 20, 4)).astype(np.float32)
    found = bootstrap_correlation(measured, predicted, random.permutation(20)[None])
    np.testing.assert_allclose(found[0], voxel_correlation(measured, predicted), rtol=1e-10)


def test_constant_sides_are_nan_without_a_warning():
    measured = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 4.0], [0.1, 8.0]])
    predicted = np.array([[1.0, 0.3], [3.0, 0.3], [2.0, 0.3], [5.0, 0.7]])
    draws = np.array([[0, 1, 2, 3], [0, 1, 2, 2]])  # the second resample never sees the fourth trial
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap_correlation(measured, predicted, draws)
    assert np.isnan(found).tolist() == [[True, False], [True, True]]


@pytest.mark.parametrize("side", [0, 1])
def test_what_rounding_leaves_of_a_variance_is_no_variance(side):
    """Both sides vary over all trials; in the resamples, which draw from half of them, one does not."""
    random = np.random.default_rng(4)
    pair = random.normal(size=(2, 58, 50))
    pair[side, :29] = pair[side, 0]
    draws = random.integers(29, size=(10, 58))
    assert np.isnan(bootstrap_correlation(*pair, draws)).all()


def test_a_voxel_with_nan_does_not_touch_the_others():
    random = np.random.default_rng(3)
    measured, predicted = random.normal(size=(2, 20, 3))
    draws = random.integers(20, size=(4, 20))
    expected = bootstrap_correlation(measured, predicted, draws)
    measured[4, 1] = np.nan
    found = bootstrap_correlation(measured, predicted, draws)
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_array_equal(found[:, [0, 2]], expected[:, [0, 2]])
