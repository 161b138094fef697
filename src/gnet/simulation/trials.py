"""Betas of the simulated brain, trial by trial: signal, noise, and drift from session to session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int16, Int64

from gnet.readers.nsd.betas import UNITS_PER_PERCENT
from gnet.recording.volumes import flat_index
from gnet.simulation.anatomy import Anatomy

WEAK_CEILING = 8.0  # percent: highest single-trial ceiling of visual cortex outside the areas
VEINS = 0.003  # fraction of the voxels outside visual cortex whose betas saturate


@dataclass(frozen=True)
class VoxelModel:
    """How the voxels of a brain respond to a trial: `level + size * (signal + noise)` percent."""

    voxel_index: Int64[np.ndarray, " voxel"]
    """All voxels of the brain, ascending."""
    signal: Float32[np.ndarray, "position voxel"]
    private: Float32[np.ndarray, " voxel"]
    """Standard deviation of the noise that a voxel does not share with others."""
    planted: Int64[np.ndarray, " planted"]
    """Columns of the planted voxels, whose noise is drawn from `factor`."""
    factor: Float64[np.ndarray, "planted planted"]
    level: Float32[np.ndarray, " voxel"]
    size: Float32[np.ndarray, " voxel"]

    @classmethod
    def draw(cls, anatomy: Anatomy, planted: Mapping[str, Any], generator: np.random.Generator) -> VoxelModel:
        """Planted voxels as planted, weak mixtures of three of them in the rest of nsdgeneral, else noise.

        A few voxels outside nsdgeneral lie in veins, with responses so large that int16 saturates. `planted`
        is what `SimulatedRelease.planted` has of the subject.
        """
        inside = flat_index(anatomy.brainmask)
        column = np.searchsorted(inside, planted["voxel_index"])
        responses = planted["responses"]
        count = len(inside)
        visual = anatomy.regions["nsdgeneral"].flat[inside] == 1
        mixture = responses[:, generator.integers(0, responses.shape[1], (3, count))].sum(1)
        mixture /= mixture.std(0)
        share = np.where(visual, generator.uniform(0, WEAK_CEILING / 100, count), 0).astype(np.float32)
        signal, private = mixture * np.sqrt(share), np.sqrt(1 - share)
        signal[:, column], private[column] = responses, 0
        size = generator.uniform(0.5, 2, count)
        size[~visual & (generator.random(count) < VEINS)] *= 60
        level = generator.normal(0.5, 0.5, count)
        factor = np.linalg.cholesky(planted["noise_covariance"])
        return cls(inside, signal, private, column, factor, level.astype(np.float32), size.astype(np.float32))

    def measure(
        self, position: Int64[np.ndarray, " trial"], generator: np.random.Generator
    ) -> Int16[np.ndarray, "trial voxel"]:
        """The betas of one session, 300 x percent signal change; level and size drift between sessions.

        `position` is that of each trial's image in the subject's list.
        """
        trials, count = len(position), len(self.level)
        noise = generator.standard_normal((trials, count), np.float32) * self.private
        noise[:, self.planted] += generator.standard_normal((trials, len(self.planted))) @ self.factor.T
        level = self.level + 0.2 * generator.standard_normal(count, np.float32)
        size = self.size * np.exp(0.1 * generator.standard_normal(count, np.float32))
        betas = UNITS_PER_PERCENT * (level + size * (self.signal[position] + noise))
        limits = np.iinfo(np.int16)
        return np.rint(np.clip(betas, limits.min, limits.max)).astype(np.int16)
