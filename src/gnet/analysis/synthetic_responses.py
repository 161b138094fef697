"""Responses of a brain that is a fitted model, with or without noise like the measured."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int


def synthetic_responses(
    predicted: Float[np.ndarray, "image voxel"],
    trial_image: Int[np.ndarray, " trial"],
    *,
    gain: Float[np.ndarray, " voxel"] | None = None,
    factor: Float[np.ndarray, "voxel source"] | None = None,
    seed: int = 0,
) -> Float32[np.ndarray, "trial voxel"]:
    """Predictions z-scored over images, or `gain * z + factor @ noise` with standard normal noise.

    Parameters
    ----------
    predicted
        A model's predictions. A voxel that never varies has no z-score and is NaN.
    trial_image
        Which image each trial shows.
    gain, factor
        Of `gnet.analysis.noise_model.NoiseModel`, perhaps some of its rows; without them there is no noise.

    >>> synthetic_responses(np.array([[1.0], [3.0]]), np.array([1, 0, 1]))
    array([[ 1.],
           [-1.],
           [ 1.]], dtype=float32)
    """
    deviation = predicted - predicted.mean(0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        z = deviation / deviation.std(0)
    responses = z[trial_image]
    if gain is not None and factor is not None:
        noise = np.random.default_rng(seed).standard_normal((len(responses), factor.shape[1]))
        responses = gain * responses + noise @ factor.T
    return responses.astype(np.float32)
