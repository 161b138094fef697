import numpy as np
import pytest

from gnet.analysis.noise_model import covariance_factor, noise_model
from gnet.analysis.synthetic_responses import synthetic_responses


def whole(*arguments, **choices):
    """Synthetic responses of all trials at once."""
    stream = synthetic_responses(*arguments, **choices)
    responses = np.concatenate(list(stream))
    assert responses.shape == stream.shape
    assert responses.dtype == stream.dtype
    return responses


def test_planted_noise_is_found_and_made_again():
    """Responses of known gain and noise covariance; then synthetic ones from what was found."""
    random = np.random.default_rng(0)
    images, voxels = 20_000, 6
    prediction = random.standard_normal((images, voxels)) @ random.standard_normal((voxels, voxels))
    z = (prediction - prediction.mean(0)) / prediction.std(0)
    gain = random.uniform(0.3, 0.7, voxels)
    loadings = random.uniform(-0.5, 0.5, (voxels, 2))
    covariance = loadings @ loadings.T
    np.fill_diagonal(covariance, 1 - gain**2)  # so that responses have unit variance
    noise = random.standard_normal(z.shape) @ np.linalg.cholesky(covariance).T
    found = noise_model(gain * z + noise, prediction)
    np.testing.assert_allclose(found.gain, gain, atol=0.03)
    np.testing.assert_allclose(found.covariance, covariance, atol=0.05)
    np.testing.assert_allclose(found.factor @ found.factor.T, found.covariance, atol=1e-9)

    again = whole(prediction, np.arange(images), gain=found.gain, factor=found.factor, seed=3)
    left = again - found.gain * z
    np.testing.assert_allclose(left.T @ left / images, found.covariance, atol=0.03)


def test_factor_is_of_the_nearest_positive_matrix():
    """No other positive semi-definite matrix nearby is nearer to one that is not."""
    random = np.random.default_rng(0)
    indefinite = random.standard_normal((5, 5))
    indefinite = indefinite + indefinite.T
    factor = covariance_factor(indefinite)
    nearest = factor @ factor.T
    distance = np.linalg.norm(nearest - indefinite)
    assert np.linalg.eigvalsh(nearest).min() > -1e-12
    for _ in range(200):
        step = factor + 0.05 * random.standard_normal((5, 5))
        assert np.linalg.norm(step @ step.T - indefinite) >= distance


def test_constant_voxels_are_refused():
    values = np.random.default_rng(0).standard_normal((10, 3))
    flat = values.copy()
    flat[:, 1] = 0.1
    with pytest.raises(ValueError, match="a prediction that varies in every voxel, got 1 of 3 voxels"):
        noise_model(values, flat)
    with pytest.raises(ValueError, match="a response that varies"):
        noise_model(flat, values)


def test_noiseless_responses_are_z_scored_and_repeat():
    predicted = np.random.default_rng(0).normal(5, 3, (50, 2))
    responses = whole(predicted, np.repeat(np.arange(50), 2))
    np.testing.assert_array_equal(responses[::2], responses[1::2])
    np.testing.assert_allclose(responses.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(responses.std(0), 1, rtol=1e-6)


def test_a_voxel_that_never_varies_is_not_zero():
    assert np.isnan(whole(np.ones((3, 1)), np.arange(3))).all()


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_the_noise_does_not_depend_on_the_blocks(block):
    random = np.random.default_rng(0)
    predicted, factor = random.standard_normal((20, 3)), random.standard_normal((3, 3))
    trials = random.integers(0, 20, 50)
    expected = whole(predicted, trials, gain=np.ones(3), factor=factor, seed=1)
    blocks = whole(predicted, trials, gain=np.ones(3), factor=factor, seed=1, block=block)
    np.testing.assert_allclose(blocks, expected, rtol=1e-6)
