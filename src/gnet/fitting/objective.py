"""The objective: squared errors weighted by batch correlation (paper, eq. 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

STABILISER = 1e-6
"""Added to the product of the variances in the batch correlation (published code, not in the paper)."""


def voxel_weights(
    prediction: Float[Tensor, "trial voxel"],
    target: Float[Tensor, "trial voxel"],
    *,
    floor: float,
    counts: Float[Tensor, " trial"] | None = None,
) -> Float[Tensor, " voxel"]:
    """Weight of each voxel in the loss: its squared correlation over the batch, clamped to [floor, 1].

    Voxels that are predicted well get more weight. No gradient flows through the weights. As in the published
    code the correlation divides by `sqrt(var_p var_t + 1e-6)` with variances over the batch, so predictions
    that hardly vary, as in the first steps, and voxels that are constant in the batch count as uncorrelated.
    `counts` weights each row as that many trials.
    """

    def mean(values: Tensor) -> Tensor:
        return values.mean(0) if counts is None else counts @ values / counts.sum()

    with torch.no_grad():
        p, t = prediction - mean(prediction), target - mean(target)
        variances = mean(p * p) * mean(t * t)
        return (mean(p * t) ** 2 / (variances + STABILISER)).clamp(floor, 1)


def voxel_error(
    prediction: Float[Tensor, "trial voxel"],
    target: Float[Tensor, "trial voxel"],
    *,
    floor: float,
    counts: Float[Tensor, " trial"] | None = None,
) -> tuple[Float[Tensor, " voxel"], Float[Tensor, " voxel"], Float[Tensor, "trial voxel"]]:
    """Weight c_v and SSE of each voxel, and the gradient of `c_v SSE_v` with respect to its predictions."""
    weights = voxel_weights(prediction, target, floor=floor, counts=counts)
    difference = prediction - target
    counted = difference if counts is None else difference * counts[:, None]
    return weights, (difference * counted).sum(0), 2 * weights * counted


def voxel_loss(
    prediction: Float[Tensor, "trial voxel"],
    target: Float[Tensor, "trial voxel"],
    *,
    floor: float = 0.1,
    counts: Float[Tensor, " trial"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
    """`sum_v c_v SSE_v / mean(c)` (paper, eq. 5) and the SSE of each voxel over the batch.

    Reference for `gnet.fitting.readout_loss`, which finds the same loss and its gradients block by block.
    """
    weights, error, _ = voxel_error(prediction, target, floor=floor, counts=counts)
    return (weights * error).sum() / weights.mean(), error
