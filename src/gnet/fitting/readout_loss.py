"""The readout's loss and its gradients in one sweep over blocks of voxels.

A voxel's term of the loss depends only on its own predictions and on the mean of the voxel weights, a scalar
that divides the whole sum. So the gradients of a block are computed right after its forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gnet.fitting.objective import voxel_error
from gnet.fitting.passes import passes_for
from gnet.models.readout import Readout, image_group, voxel_blocks


def readout_loss(
    readout: Readout,
    maps: Sequence[Float[Tensor, "image _ _ _"]],
    target: Float[Tensor, "image voxel"],
    *,
    floor: float = 0.1,
    counts: Float[Tensor, " image"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
    """`voxel_loss(readout(maps), target)` in less time and memory.

    Gradients are computed in the forward pass for those of maps, fields, weights and bias that require them.
    The second value, the squared error of each voxel, has none. Under autocast, matrix products use its type;
    everything else, including sums, uses the type of the readout's parameters.
    """
    fields = [field.flatten(1) for field in readout.pooling_fields()]
    return SweptLoss.apply(target, floor, counts, readout.bias, readout.weight, *maps, *fields)


class Grid:
    """One resolution of a sweep: compressed maps, pooling fields, and the gradients of both.

    Images are pooled in groups, one matrix product each.
    """

    def __init__(
        self,
        maps: Float[Tensor, "image k _ _"],
        fields: Float[Tensor, "voxel pixel"],
        weight: Float[Tensor, "voxel k"],
        product: torch.dtype,
        *,
        weight_wanted: bool,
    ) -> None:
        self.fields, self.weight, self.product = fields, weight, product
        self.passes = passes_for(maps, weight, product)
        images, features = maps.shape[:2]
        self.compressed, self.kept = self.passes.of_maps(maps, product)
        size = image_group(features, self.passes.group_elements, maps.device)
        self.groups = [slice(start, min(start + size, images)) for start in range(0, images, size)]
        self.matrices = [self.compressed[:, group].flatten(1) for group in self.groups]
        slopes = weight.new_zeros(self.compressed.shape) if maps.requires_grad else None
        self.map_slopes = slopes
        self.field_slopes = torch.zeros_like(fields) if fields.requires_grad else None
        self.weight_slope = torch.zeros_like(weight) if weight_wanted else None

    def forward_block(self, block: slice) -> tuple[Float[Tensor, "voxel image"], list[Any]]:
        """The responses of a block of voxels without bias, and what the backward pass of each group needs."""
        fields, weight = self.fields[block].to(self.product), self.weight[block]
        parts = []
        for matrix in self.matrices:
            phi = (fields @ matrix).unflatten(1, (-1, weight.shape[1]))
            parts.append(self.passes.of_pooled(phi, weight))
        return torch.cat([response for response, _ in parts], dim=1), [kept for _, kept in parts]

    def backward_block(self, block: slice, kept: list[Any], towards: Float[Tensor, "voxel image"]) -> None:
        """Add to the gradients of weights, fields and maps, given that of the loss at the responses."""
        weight = self.weight[block]
        weight_slope = None if self.weight_slope is None else self.weight_slope[block]
        for group, matrix, of_group in zip(self.groups, self.matrices, kept, strict=True):
            upstream = self.passes.gradients_of_pooled(of_group, weight, towards[:, group], weight_slope)
            at_phi = upstream.flatten(1).to(self.product)
            if self.map_slopes is not None:
                slopes = self.map_slopes[:, group].flatten(1)
                self._add(slopes, self.fields[block].to(self.product).T, at_phi)
            if self.field_slopes is not None:
                self._add(self.field_slopes[block], at_phi, matrix.T)

    def _add(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """Add a matrix product to `total`, in its type."""
        if self.product == total.dtype:
            total.addmm_(left, right)
        else:
            total += left @ right


class SweptLoss(torch.autograd.Function):
    """See `readout_loss`. Gradients are computed in the forward pass and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        target: Float[Tensor, "image voxel"],
        floor: float,
        counts: Float[Tensor, " image"] | None,
        bias: Float[Tensor, " voxel"],
        weight: Float[Tensor, "voxel feature"],
        *maps_and_fields: Tensor,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
        device = bias.device.type
        product = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        resolutions = len(maps_and_fields) // 2
        maps, fields = maps_and_fields[:resolutions], maps_and_fields[resolutions:]
        weights = [part.contiguous() for part in weight.split([grid.shape[1] for grid in maps], dim=1)]
        with torch.autocast(device, enabled=False):
            grids = [
                Grid(*arrays, product, weight_wanted=weight.requires_grad)
                for arrays in zip(maps, fields, weights, strict=True)
            ]
            bias_slope, voxel_weight, error = (torch.empty_like(bias) for _ in range(3))
            for block in voxel_blocks(len(bias), bias.device):
                parts, kept = zip(*(grid.forward_block(block) for grid in grids), strict=True)
                prediction = bias[block, None] + sum(parts)
                voxel_weight[block], error[block], towards = voxel_error(
                    prediction.T, target[:, block], floor=floor, counts=counts
                )
                bias_slope[block] = towards.sum(0)
                towards = towards.T.contiguous()
                for grid, of_grid in zip(grids, kept, strict=True):
                    grid.backward_block(block, of_grid, towards)
            mean_weight = voxel_weight.mean()
        of_weights = [grid.weight_slope for grid in grids if grid.weight_slope is not None]
        gradients = [bias_slope, torch.cat(of_weights, dim=1) if of_weights else None]
        gradients += [grid.field_slopes for grid in grids]
        of_maps = [array for grid in grids for array in (grid.kept, grid.map_slopes)]
        ctx.save_for_backward(mean_weight, *of_maps, *gradients)
        ctx.passes = [grid.passes for grid in grids]
        ctx.mark_non_differentiable(error)
        return (voxel_weight * error).sum() / mean_weight, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, ""], _: Tensor) -> tuple[Tensor | None, ...]:
        mean_weight, *arrays = ctx.saved_tensors
        factor, resolutions = upstream / mean_weight, len(ctx.passes)
        kept, slopes = arrays[: 2 * resolutions : 2], arrays[1 : 2 * resolutions : 2]
        bias, weight, *fields = (
            None if slope is None else slope * factor for slope in arrays[2 * resolutions :]
        )
        maps = [
            passes.gradient_of_maps(of_grid, slope, factor) if slope is not None else None
            for passes, of_grid, slope in zip(ctx.passes, kept, slopes, strict=True)
        ]
        return None, None, None, bias, weight, *maps, *fields
