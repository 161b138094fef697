"""Responses of a brain that is a fitted model, with or without noise like the measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Float32, Int

from gnet.storage.blocks import Blocks


def synthetic_responses(
    predicted: Float[np.ndarray, "image voxel"],
    trial_image: Int[np.ndarray, " trial"],
    gain: Float[np.ndarray, " voxel"] | None = None,
    factor: Float[np.ndarray, "voxel ..."] | None = None,
    seed: int | Sequence[int] = 0,
    block: int = 1000,
) -> Blocks:
    """Predictions z-scored over images, or `gain * z + factor @ noise` with standard normal noise.

    Float32 (trial, voxel), made in blocks of trials; the noise does not depend on their size. A voxel whose
    prediction never varies is NaN. `gain` and `factor` are those of `gnet.analysis.noise_model.NoiseModel` or
    some of their rows; without them there is no noise. One number for each voxel in the place of its row of
    `factor` is the standard deviation of noise that it shares with no other.

    >>> list(synthetic_responses(np.array([[1.0], [3.0]]), np.array([1, 0, 1])))
    [array([[ 1.],
           [-1.],
           [ 1.]], dtype=float32)]
    """

    def make() -> Iterator[Float32[np.ndarray, "block voxel"]]:
        mean = predicted.mean(0, dtype=np.float64)
        spread = predicted.std(0, dtype=np.float64)
        random = np.random.default_rng(seed)
        for start in range(0, len(trial_image), block):
            image = trial_image[start : start + block]
            with np.errstate(invalid="ignore"):
                responses = (predicted[image] - mean) / spread
            if gain is not None and factor is not None:
                noise = random.standard_normal((len(image), factor.shape[-1]))
                responses = gain * responses + (noise * factor if factor.ndim == 1 else noise @ factor.T)
            yield responses.astype(np.float32)

    return Blocks((len(trial_image), predicted.shape[1]), np.dtype(np.float32), make)
