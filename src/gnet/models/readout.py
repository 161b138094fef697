"""From feature maps to voxels: the feature-weighted receptive field with flexible pooling fields.

`r_v = b_v + sum_k w_vk f(Phi_vk)`, `Phi_vk = sum_yx g_v(y, x) f(map_k(y, x))`, `f(x) = tanh(x) log(1 + |x|)`
(paper, Methods). A pooling field g_v is a softmax over space, so it is positive and sums to one.

At full size the array (image, feature, voxel) of the Phi would be ten gigabytes a batch. It is never made
whole: voxels go through in blocks, and the backward pass computes each block a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

BLOCK_ELEMENTS = {"cpu": 2**18, "cuda": 2**25, "mps": 2**22}
"""Elements of (image, feature, voxel) held at a time: on a CPU as many as stay in its cache (1 MB in float32,
several times that with temporaries), elsewhere as many as keep the device busy."""


def compress(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The readout's non-linearity `tanh(x) log(1 + |x|)`: odd, quadratic near zero, logarithmic far.

    >>> compress(torch.tensor([0.0, 1.0, -1.0]))
    tensor([ 0.0000,  0.5279, -0.5279])
    """
    return torch.tanh(x) * torch.log1p(torch.abs(x))


def compress_with_slope(
    x: Float[Tensor, "*any"],
) -> tuple[Float[Tensor, "*any"], Float[Tensor, "*any"]]:
    """`compress` and its derivative, from one evaluation of either transcendental function.

    >>> value, slope = compress_with_slope(torch.tensor([1.0]))
    >>> value, slope
    (tensor([0.5279]), tensor([0.6719]))
    """
    size, tanh = torch.abs(x), torch.tanh(x)
    log = torch.log1p(size)
    value = tanh * log
    # (1 - tanh^2) log(1 + |x|) + |tanh| / (1 + |x|)
    slope = log.addcmul_(tanh * tanh, log, value=-1).add_(tanh.abs_().div_(size.add_(1)))
    return value, slope


class PooledSum(torch.autograd.Function):
    """`sum_k w_vk f(sum_yx g_v map_k)` in blocks of voxels, each computed again in the backward pass."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        maps: Float[Tensor, "image k pixel"],
        fields: Float[Tensor, "voxel pixel"],
        weights: Float[Tensor, "voxel k"],
    ) -> Float[Tensor, "image voxel"]:
        ctx.save_for_backward(maps, fields, weights)
        blocks = []
        for block in voxel_blocks(maps, len(fields)):
            pooled = compress(maps @ fields[block].T)
            blocks.append(pooled.mul_(weights[block].T).sum(1))
        return torch.cat(blocks, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Float[Tensor, "image voxel"]) -> tuple[Tensor | None, ...]:
        maps, fields, weights = ctx.saved_tensors
        for_maps, for_fields, for_weights = ctx.needs_input_grad
        maps_slope = torch.zeros_like(maps) if for_maps else None
        fields_slope = torch.empty_like(fields) if for_fields else None
        weights_slope = torch.empty_like(weights) if for_weights else None
        for block in voxel_blocks(maps, len(fields)):
            value, upstream = compress_with_slope(maps @ fields[block].T)
            if weights_slope is not None:
                weights_slope[block] = value.mul_(slope[:, None, block]).sum(0).T
            if maps_slope is None and fields_slope is None:
                continue
            # d loss / d pooled, through the non-linearity and the feature weights
            upstream.mul_(slope[:, None, block]).mul_(weights[block].T)
            if maps_slope is not None:
                maps_slope += upstream @ fields[block]
            if fields_slope is not None:
                fields_slope[block] = upstream.flatten(0, 1).T @ maps.flatten(0, 1)
        return maps_slope, fields_slope, weights_slope


def voxel_blocks(maps: Float[Tensor, "image k pixel"], voxels: int) -> list[slice]:
    """Consecutive slices of voxels, each of at most BLOCK_ELEMENTS (image, feature, voxel) elements."""
    size = max(1, BLOCK_ELEMENTS[maps.device.type] // (maps.shape[0] * maps.shape[1]))
    return [slice(start, min(start + size, voxels)) for start in range(0, voxels, size)]


class Readout(nn.Module):
    """One subject's voxels: a pooling field per resolution and a weight per feature for each of them.

    Parameters
    ----------
    voxels
        How many voxels.
    grids
        Side of the feature maps at each resolution.
    features
        Number of feature maps at each resolution.
    single_field
        One field at the first (finest) resolution, resampled for the others: the second published form.

    Parameters of the module: `fields` (free parameters, (voxel, side, side) each, uniform at the start),
    `weight` (voxel, feature) and `bias` (voxel,), both ~ N(0, 0.01).
    """

    def __init__(
        self, voxels: int, grids: Sequence[int], features: Sequence[int], *, single_field: bool = False
    ) -> None:
        super().__init__()
        self.grids, self.features, self.single_field = tuple(grids), tuple(features), single_field
        free = self.grids[:1] if single_field else self.grids
        self.fields = nn.ParameterList(nn.Parameter(torch.ones(voxels, side, side)) for side in free)
        self.weight = nn.Parameter(torch.empty(voxels, sum(features)).normal_(0, 0.01))
        self.bias = nn.Parameter(torch.empty(voxels).normal_(0, 0.01))

    def pooling_fields(self) -> list[Float[Tensor, "voxel _ _"]]:
        """The fields g_v at each resolution, each summing to one over space."""
        fields = [torch.softmax(free.flatten(1), dim=1).view_as(free) for free in self.fields]
        if self.single_field:
            fields += [resample_mass(fields[0], side) for side in self.grids[1:]]
        return fields

    def forward(self, maps: Sequence[Float[Tensor, "image _ _ _"]]) -> Float[Tensor, "image voxel"]:
        return self.bias + sum(self.contributions(maps))

    def contributions(
        self, maps: Sequence[Float[Tensor, "image _ _ _"]]
    ) -> list[Float[Tensor, "image voxel"]]:
        """What each resolution adds to the prediction; with the bias they sum to it."""
        weights = self.weight.split(self.features, dim=1)
        return [
            PooledSum.apply(compress(grid).flatten(2), field.flatten(1), weight)
            for grid, field, weight in zip(maps, self.pooling_fields(), weights, strict=True)
        ]

    def partition_contributions(
        self, maps: Sequence[Float[Tensor, "image _ _ _"]], parts: Sequence[Bool[np.ndarray, " feature"]]
    ) -> Float[Tensor, "part image voxel"]:
        """What each part of the features adds to the prediction, from one pass over the maps.

        `parts` are masks over the features in the order in which the readout sees them. If every feature is
        in just one of them, the contributions and the bias sum to the prediction.
        """
        member = torch.as_tensor(np.stack(parts), dtype=self.weight.dtype, device=self.weight.device)
        members = member.split(self.features, dim=1)
        weights = self.weight.split(self.features, dim=1)
        total = 0
        for grid, field, of_grid, weight in zip(maps, self.pooling_fields(), members, weights, strict=True):
            seen = compress(grid).flatten(2)
            parts_of_grid = [
                of_grid @ compress(seen @ field[block].flatten(1).T).mul_(weight[block].T)
                for block in voxel_blocks(seen, len(self.bias))
            ]
            total = total + torch.cat(parts_of_grid, dim=2)
        return total.transpose(0, 1)


def resample_mass(field: Float[Tensor, "voxel y x"], side: int) -> Float[Tensor, "voxel v u"]:
    """The same mass on another grid: each pixel gives to each new one the share of its area that lies there.

    >>> resample_mass(torch.full((1, 3, 3), 1 / 9), 2)
    tensor([[[0.2500, 0.2500],
             [0.2500, 0.2500]]])
    """
    share = overlap(field.shape[-1], side).to(field)
    return torch.einsum("vyx,ty,sx->vts", field, share, share)


def overlap(old: int, new: int) -> Float[Tensor, "new old"]:
    """Share of each of `old` equal parts of a line that lies in each of `new` ones; columns sum to one."""
    old_edges = torch.linspace(0, 1, old + 1, dtype=torch.float64)
    new_edges = torch.linspace(0, 1, new + 1, dtype=torch.float64)
    start = torch.maximum(old_edges[None, :-1], new_edges[:-1, None])
    end = torch.minimum(old_edges[None, 1:], new_edges[1:, None])
    return (end - start).clamp(min=0) * old
