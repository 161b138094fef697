"""Spread of correlations by the bootstrap: trials drawn with replacement, scored again."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def bootstrap_correlation(
    measured: Float[np.ndarray, "trial voxel"],
    predicted: Float[np.ndarray, "trial voxel"],
    draws: Int[np.ndarray, "resample trial"],
) -> Float[np.ndarray, "resample voxel"]:
    """Correlation of every voxel in every resample; NaN where a side is constant in it.

    A resample is a count for each trial, so the sums behind all correlations of all resamples are five
    matrix products, and no trial is ever copied.

    >>> x = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> bootstrap_correlation(x, -x, np.array([[0, 1, 2, 3], [0, 0, 1, 3], [2, 2, 2, 2]])).round(3)
    array([[-1.],
           [-1.],
           [nan]])
    """
    trials = len(measured)
    counts = np.zeros((len(draws), trials))
    np.add.at(counts, (np.arange(len(draws))[:, None], draws), 1)
    x, y = (np.asarray(side, np.float64) for side in (measured, predicted))
    x, y = x - x.mean(0), y - y.mean(0)  # keeps the differences of sums below accurate
    size = draws.shape[1]
    mean_x, mean_y = counts @ x / size, counts @ y / size
    covariance = counts @ (x * y) / size - mean_x * mean_y
    variance_x = counts @ (x * x) / size - mean_x**2
    variance_y = counts @ (y * y) / size - mean_y**2
    # What is left of a constant side is rounding, about 1e-16 of the whole sample's variance.
    varies = (variance_x > 1e-12 * (x * x).mean(0)) & (variance_y > 1e-12 * (y * y).mean(0))
    product = np.sqrt(np.where(varies, variance_x * variance_y, np.nan))
    return covariance / product
