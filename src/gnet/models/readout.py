"""From feature maps to voxels: the feature-weighted receptive field with flexible pooling fields.

The array (image, feature, voxel) of all pooled maps would take ten gigabytes per batch at full size. It is
never built as a whole: voxels are processed in blocks, images in groups that fit a CPU's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gnet.models.nonlinearity import compress

BLOCK_VOXELS = {"cpu": 256, "cuda": 1024, "mps": 256}
"""Voxels pooled by one matrix product."""
GROUP_ELEMENTS = {"cpu": 2**16, "cuda": 2**27, "mps": 2**24}
"""Elements of (voxel, image, feature) to which the non-linearity is applied at a time: what fits the
second-level cache of a CPU with its temporaries, elsewhere what keeps the device busy."""


def voxel_blocks(voxels: int, device: torch.device) -> list[slice]:
    """Consecutive slices of at most `BLOCK_VOXELS` voxels."""
    size = BLOCK_VOXELS[device.type]
    return [slice(start, min(start + size, voxels)) for start in range(0, voxels, size)]


def image_group(features: int, elements: int, device: torch.device) -> int:
    """Number of images of which a block of voxels has about so many elements."""
    return max(1, elements // (BLOCK_VOXELS[device.type] * features))


def image_groups(maps: Float[Tensor, "image k _ _"]) -> list[Float[Tensor, "pixel _"]]:
    """The maps as matrices (pixel, image x k) of a few images each: a pooling field times one pools them all.

    >>> [tuple(group.shape) for group in image_groups(torch.zeros(3, 128, 6, 6))]
    [(36, 256), (36, 128)]
    """
    images, features = maps.shape[:2]
    size = image_group(features, GROUP_ELEMENTS[maps.device.type], maps.device)
    pixels_first = maps.flatten(2).permute(0, 2, 1)
    return [pixels_first[start : start + size].transpose(0, 1).flatten(1) for start in range(0, images, size)]


class Readout(nn.Module):
    """One subject's voxels: a pooling field per resolution and a weight per feature for each of them.

    `r_v = b_v + sum_k w_vk f(Phi_vk)`, `Phi_vk = sum_yx g_v(y, x) f(map_k(y, x))` (paper, Methods), f is
    `compress`. The pooling field g_v is a softmax over space, so it is positive and sums to one.

    `grids` and `features` are the side and the number of the feature maps at each resolution, finest first.
    With `single_field`, one field at the first resolution is resampled for the others (the second published
    form). Trained are `fields`, (voxel, side, side) at each resolution, before the softmax and initially
    uniform; `weight`, (voxel, feature), and `bias`, (voxel,), both drawn from N(0, 0.01).
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

    def fine_fields(self) -> Float[Tensor, "voxel y x"]:
        """The fields on the trunk's fine grid, the last grid but one."""
        return self.pooling_fields()[-2]

    def forward(self, maps: Sequence[Float[Tensor, "image _ _ _"]]) -> Float[Tensor, "image voxel"]:
        everything = np.ones(sum(self.features), bool)
        return self.bias + self.partition_contributions(maps, [everything])[0]

    def partition_contributions(
        self, maps: Sequence[Float[Tensor, "image _ _ _"]], parts: Sequence[Bool[np.ndarray, " feature"]]
    ) -> Float[Tensor, "part image voxel"]:
        """Contribution of each part of the features to the prediction, from one pass over the maps.

        If every feature is in exactly one part, the contributions plus the bias sum to the prediction.
        """
        member = torch.as_tensor(np.stack(parts), dtype=self.weight.dtype, device=self.weight.device)
        members, weights = (array.split(self.features, dim=1) for array in (member, self.weight))
        of_grids = []
        for grid, field, of_grid, weight in zip(maps, self.pooling_fields(), members, weights, strict=True):
            field, groups = field.flatten(1), image_groups(compress(grid.to(weight.dtype)))
            of_blocks = []
            for block in voxel_blocks(len(field), field.device):
                phi = [(field[block] @ group).to(weight.dtype) for group in groups]
                phi = [compress(values).unflatten(1, (-1, grid.shape[1])) for values in phi]
                weighted = [(values * weight[block, None]) @ of_grid.T for values in phi]
                of_blocks.append(torch.cat(weighted, dim=1))
            of_grids.append(torch.cat(of_blocks).permute(2, 1, 0))
        return cast(Tensor, sum(of_grids))


def resample_mass(field: Float[Tensor, "voxel y x"], side: int) -> Float[Tensor, "voxel v u"]:
    """Resample fields to another grid, conserving mass: each pixel is divided among new ones by area."""
    share = overlap(field.shape[-1], side).to(field)
    return torch.einsum("vyx,ty,sx->vts", field, share, share)


def overlap(old: int, new: int) -> Float[Tensor, "new old"]:
    """Fraction of each of `old` equal segments of a line within each of `new` ones; columns sum to one."""
    old_edges, new_edges = (torch.linspace(0, 1, n + 1, dtype=torch.float64) for n in (old, new))
    start = torch.maximum(old_edges[None, :-1], new_edges[:-1, None])
    end = torch.minimum(old_edges[None, 1:], new_edges[1:, None])
    return (end - start).clamp(min=0) * old
