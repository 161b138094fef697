"""Readouts in closed form: ridge regression on feature maps under receptive fields that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from gnet.fitting.batches import Trials
from gnet.progress import track

PENALTIES = tuple(10.0**power for power in range(-4, 3))
"""Of features that have unit variance, in units of the number of trials."""
BYTES = 5e8
"""Of the features that are in memory at a time."""


def ridge_predictions(
    pooled: Callable[[slice], Float[Tensor, "some image feature"]],
    features: int,
    image_row: Int[np.ndarray, " image"],
    training: Trials,
    holdout: Trials,
) -> Float64[np.ndarray, "image voxel"]:
    """Fit a readout to every voxel's training trials, and predict its response to every image.

    Parameters
    ----------
    pooled
        Gives the features of some of the voxels for all images, such as `pool` makes them; called once for
        each group of voxels that fits into memory.
    features
        Their number.
    image_row
        The rows of the prepared images that these are of, ascending. All trials show one of them.
    training, holdout
        Trials with the responses of these voxels. Rows that are means over trials count as that many. The
        penalty of each voxel is the one whose predictions correlate best with its holdout trials.
    """
    voxels = training.response.shape[1]
    size = max(1, int(BYTES / (4 * features * len(image_row))))
    starts, result = range(0, voxels, size), np.empty((len(image_row), voxels))
    seen, held = (np.searchsorted(image_row, part.image_row) for part in (training, holdout))
    count = np.ones(len(seen)) if training.count is None else training.count
    weight = torch.from_numpy((count / count.sum()).astype(np.float32))[:, None]
    for start in track(starts, "ridge readouts", len(starts)):
        block = slice(start, start + size)
        responses = (torch.from_numpy(part.response[:, block].T) for part in (training, holdout))
        result[:, block] = _predictions(pooled(block), seen, held, weight, *responses).T
    return result


def pool(
    maps: Iterable[Float[Tensor, "block feature pixel"]], fields: Float[Tensor, "voxel pixel"]
) -> Float[Tensor, "voxel image feature"]:
    """Average feature maps of images, which come block after block, under receptive fields."""
    blocks = [(fields @ block.flatten(0, 1).T).unflatten(1, block.shape[:2]) for block in maps]
    return torch.cat(blocks, dim=1)


def _predictions(
    features: Float[Tensor, "voxel image feature"],
    seen: Int[np.ndarray, " trial"],
    held: Int[np.ndarray, " held"],
    weight: Float[Tensor, "trial 1"],
    response: Float[Tensor, "voxel trial"],
    target: Float[Tensor, "voxel held"],
) -> Float[Tensor, "voxel image"]:
    """Ridge regressions of several voxels, with the penalty that is best on the held-out trials."""
    mean = (weight * features[:, seen]).sum(1, keepdim=True)
    scale = (weight * (features[:, seen] - mean) ** 2).sum(1, keepdim=True).sqrt()
    features = (features - mean) / torch.where(scale > 0, scale, 1)
    level = response @ weight
    training = features[:, seen]
    variance, axes = torch.linalg.eigh(training.mT @ (weight * training))
    towards = axes.mT @ (training.mT @ (weight * (response - level)[..., None]))
    best, chosen = torch.full((len(features), 1), -torch.inf), response.new_zeros(features.shape[:2])
    for penalty in PENALTIES:
        readout = axes @ (towards / (variance.clamp_min(0)[..., None] + penalty))
        predicted = (features @ readout)[..., 0]
        r = _correlation(predicted[:, held], target)
        chosen, best = torch.where(r > best, predicted, chosen), torch.maximum(r, best)
    return chosen + level


def _correlation(
    first: Float[Tensor, "voxel trial"], second: Float[Tensor, "voxel trial"]
) -> Float[Tensor, "voxel 1"]:
    """Pearson's correlation of each voxel; 0 where one of the two is constant."""
    first, second = (part - part.mean(1, keepdim=True) for part in (first, second))
    size = first.norm(dim=1) * second.norm(dim=1)
    return ((first * second).sum(1) / torch.where(size > 0, size, 1))[:, None]
