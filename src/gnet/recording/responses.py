"""Responses of one subject, whoever measured them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped


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
        missing = (~np.asarray(self.valid)).sum(0)
        return np.array([f"no data in {count} sessions" if count else "" for count in missing], dtype=str)
