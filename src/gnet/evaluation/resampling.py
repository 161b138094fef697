"""Bootstrap of voxelwise correlations: trials are resampled with replacement and scored again."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def resample_counts(draws: Int[np.ndarray, "resample draw"], items: int) -> Int[np.ndarray, "resample item"]:
    """Number of times each item was drawn in each resample.

    >>> resample_counts(np.array([[0, 0, 2]]), 3)
    array([[2, 0, 1]])
    """
    counts = np.zeros((len(draws), items), np.int64)
    np.add.at(counts, (np.arange(len(draws))[:, None], draws), 1)
    return counts


def draw_trials(
    trial_image: Int[np.ndarray, " trial"], resamples: int, seed: int
) -> Int[np.ndarray, "resample trial"]:
    """Counts of a bootstrap over trials (published code): repeats of an image count as independent."""
    trials = len(trial_image)
    return resample_counts(np.random.default_rng(seed).integers(trials, size=(resamples, trials)), trials)


def draw_images(
    trial_image: Int[np.ndarray, " trial"], resamples: int, seed: int
) -> Int[np.ndarray, "resample trial"]:
    """Counts of a bootstrap over images: each draw of an image includes all its trials.

    >>> draw_images(np.array([0, 1, 0]), 2, seed=0)
    array([[0, 2, 0],
           [1, 1, 1]])
    """
    images = int(trial_image.max()) + 1
    draws = np.random.default_rng(seed).integers(images, size=(resamples, images))
    return resample_counts(draws, images)[:, trial_image]


def resampled_correlation(
    measured: Float[np.ndarray, "trial voxel"],
    predicted: Float[np.ndarray, "trial voxel"],
    counts: Int[np.ndarray, "resample trial"],
) -> Float[np.ndarray, "resample voxel"]:
    """Correlation of every voxel in resamples given as trial counts; NaN where either side is constant.

    Five matrix products give the sums for all correlations of all resamples; no trials are copied.

    >>> x = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> resampled_correlation(x, -x, np.array([[1, 1, 1, 1], [2, 1, 0, 1], [0, 0, 4, 0]])).ravel().round(3)
    array([-1., -1., nan])
    """
    counts = counts.astype(np.float64)
    x, y = (np.asarray(side, np.float64) for side in (measured, predicted))
    x, y = x - x.mean(0), y - y.mean(0)  # keeps the differences of sums below accurate
    size = counts.sum(1, keepdims=True)
    mean_x, mean_y = counts @ x / size, counts @ y / size
    covariance = counts @ (x * y) / size - mean_x * mean_y
    variance_x = counts @ (x * x) / size - mean_x**2
    variance_y = counts @ (y * y) / size - mean_y**2
    # A constant side leaves only rounding, about 1e-16 of the variance of the whole sample.
    varies = (variance_x > 1e-12 * (x * x).mean(0)) & (variance_y > 1e-12 * (y * y).mean(0))
    product = np.sqrt(np.where(varies, variance_x * variance_y, np.nan))
    return covariance / product
