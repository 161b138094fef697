"""Responses of a brain that is a fitted model, with or without noise like the measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int


@dataclass(frozen=True)
class SyntheticResponses:
    """Predictions z-scored over images, or `gain * z + factor @ noise` with standard normal noise.

    Has a `shape` and a `dtype`, and iterating yields consecutive blocks of trials (trial, voxel): what a
    dataset needs to store an array that is never whole in memory. The noise does not depend on the size of
    the blocks.

    >>> list(SyntheticResponses(np.array([[1.0], [3.0]]), np.array([1, 0, 1])))
    [array([[ 1.],
           [-1.],
           [ 1.]], dtype=float32)]
    """

    predicted: Float[np.ndarray, "image voxel"]
    """A model's predictions. A voxel that never varies has no z-score and is NaN."""
    trial_image: Int[np.ndarray, " trial"]
    """Which image each trial shows."""
    gain: Float[np.ndarray, " voxel"] | None = None
    factor: Float[np.ndarray, "voxel source"] | None = None
    """Of `gnet.analysis.noise_model.NoiseModel`, perhaps some of its rows; without them there is no noise."""
    seed: int | Sequence[int] = 0
    block: int = 1000

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Trials and voxels."""
        return len(self.trial_image), self.predicted.shape[1]

    def __iter__(self) -> Iterator[Float32[np.ndarray, "block voxel"]]:
        mean = self.predicted.mean(0, dtype=np.float64)
        spread = self.predicted.std(0, dtype=np.float64)
        random = np.random.default_rng(self.seed)
        for start in range(0, len(self.trial_image), self.block):
            image = self.trial_image[start : start + self.block]
            with np.errstate(invalid="ignore"):
                responses = (self.predicted[image] - mean) / spread
            if self.gain is not None and self.factor is not None:
                noise = random.standard_normal((len(image), self.factor.shape[1]))
                responses = self.gain * responses + noise @ self.factor.T
            yield responses.astype(np.float32)
