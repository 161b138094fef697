"""Responses of one subject, whoever measured them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped

SD_FLOOR = 1e-6
"""Added to the standard deviation when z-scoring, as in the published code."""


@dataclass(frozen=True)
class Responses:
    """One subject's single-trial responses, z-scored within each session."""

    betas: Any
    """float32 (trial, voxel), in the order of trials: an array, a `StoredArray`, or `Blocks` to be made."""
    valid: Bool[np.ndarray, "session voxel"]
    """Whether a voxel has data in a session."""
    voxel_index: Int[np.ndarray, " voxel"]
    """Flat index of each voxel, C order over (x, y, z)."""
    volume_shape: Int[np.ndarray, " 3"] | None = None
    """Shape (x, y, z) of the volume that `voxel_index` counts through. None: unknown."""
    affine: Float[np.ndarray, "4 4"] | None = None
    """Takes (x, y, z, 1) to millimetres. None: unknown."""

    def of(
        self, trials: Int[np.ndarray, " trial"], columns: Int[np.ndarray, " column"]
    ) -> Float32[np.ndarray, "trial column"]:
        """Responses in some trials of the voxels in some columns; no more than these are read into memory."""
        if isinstance(self.betas, np.ndarray):
            return self.betas[np.ix_(trials, columns)]
        return self.betas.columns(columns, trials)

    @property
    def reasons_excluded(self) -> Shaped[np.ndarray, " voxel"]:
        """Why a voxel cannot be fitted or scored, in words; empty for those that can."""
        missing, sessions = (~np.asarray(self.valid)).sum(0), len(self.valid)
        return np.array(
            [f"no data in {count} of {sessions} sessions" if count else "" for count in missing], str
        )


def zscore_session(responses: Float[np.ndarray, "trial unit"]) -> Float32[np.ndarray, "trial unit"]:
    """Each unit's deviation from its mean over one session's trials, in population standard deviations.

    To be applied within each session and never again over all of them: the noise ceiling relies on it. A
    constant unit becomes 0, which is not a measurement: readers replace it by NaN.

    >>> zscore_session(np.array([[1.0], [3.0]])).round(3)
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    mean = responses.mean(axis=0, dtype=np.float64).astype(responses.dtype)
    deviation = (responses - mean).astype(np.float32)
    sd = np.sqrt(np.mean(deviation**2, axis=0, dtype=np.float64))
    return deviation / (sd + SD_FLOOR).astype(np.float32)
