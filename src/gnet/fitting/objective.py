"""What fitting minimises."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

STABILISER = 1e-6
"""Added to the product of the two variances under the root of the batch correlation. Published code only."""


def voxel_weights(
    prediction: Float[Tensor, "trial voxel"],
    target: Float[Tensor, "trial voxel"],
    *,
    floor: float,
    counts: Float[Tensor, " trial"] | None = None,
) -> Float[Tensor, " voxel"]:
    """How much each voxel counts: its squared correlation over the batch, clamped to [floor, 1].

    Voxels that are predicted already pull harder. No gradient flows through this. The published code divides
    by `sqrt(var_p var_t + 1e-6)` with variances over the batch: predictions that hardly vary, as all do in
    the first steps, count as uncorrelated. So do voxels that are constant in the batch. With `counts`, every
    row counts as so many trials.
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
    """Weight c_v and SSE of each voxel, and the slope of `c_v SSE_v` as its prediction changes."""
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

    `gnet.fitting.sweep` computes it with its gradients, in blocks of voxels; this is what it is equal to.

    >>> loss, error = voxel_loss(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [1.0]]))
    >>> loss, error
    (tensor(1.), tensor([1.]))
    """
    weights, error, _ = voxel_error(prediction, target, floor=floor, counts=counts)
    return (weights * error).sum() / weights.mean(), error
