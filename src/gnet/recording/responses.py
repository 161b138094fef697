"""Responses of one subject: z-scored within sessions, and which of them were measured."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

SD_FLOOR = 1e-6
"""Added to the standard deviation when z-scoring, as in the published code."""


@dataclass(frozen=True)
class Responses:
    """One subject's responses, trials in the order they were run.

    `zscored` is in standard deviations of a unit's responses within a session, NaN where there is no
    measurement; `valid` says in which sessions there is one.
    """

    zscored: Float32[np.ndarray, "trial unit"]
    valid: Bool[np.ndarray, "session unit"]
    index: Int[np.ndarray, " unit"]
    """Identity of each column: for voxels the flat index in C order over (x, y, z)."""


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
