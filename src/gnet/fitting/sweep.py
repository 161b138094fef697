"""The readout's loss and its gradients in one sweep over blocks of voxels.

A voxel's part of the loss depends on its own predictions only, up to the mean of the voxels' weights, which
is one number that divides everything. So a block of voxels can go all the way, from pooling to gradients,
before the next begins: what the backward pass needs of a block is still at hand, and nothing of it is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from gnet.fitting.objective import voxel_error
from gnet.models.readout import Readout, image_groups, voxel_blocks


def readout_loss(
    readout: Readout,
    maps: Sequence[Float[Tensor, "image _ _ _"]],
    target: Float[Tensor, "image voxel"],
    *,
    floor: float = 0.1,
) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
    """`voxel_loss(readout(maps), target)`, and the same gradients of it: in less time and memory.

    Gradients are computed at once, with the loss, of what requires them: maps, fields, weights, bias. The
    second value, the squared error of each voxel, has none.
    """
    seen = [Compressed.apply(grid) for grid in maps]
    fields = [field.flatten(1) for field in readout.pooling_fields()]
    return SweptLoss.apply(target, floor, readout.bias, readout.weight, *seen, *fields)


def compress_with_slope(
    x: Float[Tensor, "*any"], value: Float[Tensor, "*any"], slope: Float[Tensor, "*any"]
) -> None:
    """Write the non-linearity and its derivative at `x` into `value` and `slope`; `value` may be `x` itself.

    >>> x = torch.tensor([0.0, 1.0, -1.0]); slope = torch.empty(3)
    >>> compress_with_slope(x, x, slope); x, slope
    (tensor([ 0.0000,  0.5279, -0.5279]), tensor([0.0000, 0.6719, 0.6719]))
    """
    tanh, size = torch.tanh(x), torch.abs(x)
    log = torch.log1p(size)
    torch.mul(tanh, log, out=value)
    # (1 - tanh^2) log(1 + |x|) + |tanh| / (1 + |x|)
    torch.addcmul(log, tanh, value, value=-1, out=slope)
    slope += tanh.abs_().div_(size.add_(1))


class Compressed(torch.autograd.Function):
    """The non-linearity of feature maps; its derivative is computed with it, not later."""

    @staticmethod
    def forward(ctx: FunctionCtx, maps: Float[Tensor, "image k _ _"]) -> Float[Tensor, "image k _ _"]:
        value, slope = torch.empty_like(maps), torch.empty_like(maps)
        for image in range(len(maps)):  # so that it stays in a CPU's cache
            compress_with_slope(maps[image], value[image], slope[image])
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "image k _ _"]) -> Float[Tensor, "image k _ _"]:
        [slope] = ctx.saved_tensors
        return slope * upstream


class SweptLoss(torch.autograd.Function):
    """See `readout_loss`. The gradients are made in the forward pass, and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        target: Float[Tensor, "image voxel"],
        floor: float,
        bias: Float[Tensor, " voxel"],
        weight: Float[Tensor, "voxel feature"],
        *maps_and_fields: Tensor,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
        _, _, for_bias, for_weight, *for_grids = ctx.needs_input_grad
        count = len(maps_and_fields) // 2
        maps, fields = maps_and_fields[:count], maps_and_fields[count:]
        for_maps, for_fields = any(for_grids[:count]), any(for_grids[count:])
        features = [grid.shape[1] for grid in maps]
        groups = [image_groups(grid) for grid in maps]
        group_slopes = [[torch.zeros_like(group) for group in grid] for grid in groups] if for_maps else []
        field_slopes = [torch.zeros_like(field) for field in fields] if for_fields else []
        weight_slope = torch.zeros_like(weight) if for_weight else None
        bias_slope = torch.empty_like(bias)
        voxel_weight, error = torch.empty_like(bias), torch.empty_like(bias)

        for block in voxel_blocks(len(bias), bias.device):
            of_block = weight[block].split(features, dim=1)
            values, slopes = [], []
            prediction = bias[block, None].expand(-1, len(target)).clone()
            for matrices, field, of_grid in zip(groups, fields, of_block, strict=True):
                values.append(block_of(matrices, field[block]))
                slopes.append(block_of(matrices, field[block]))
                done = 0
                for matrix, value, slope in zip(matrices, values[-1], slopes[-1], strict=True):
                    torch.mm(field[block], matrix, out=value)
                    compress_with_slope(value, value, slope)
                    phi = value.unflatten(1, (-1, of_grid.shape[1]))
                    prediction[:, done : done + phi.shape[1]] += (phi * of_grid[:, None]).sum(2)
                    done += phi.shape[1]
            voxel_weight[block], error[block], towards = voxel_error(
                prediction.T, target[:, block], floor=floor
            )
            towards = towards.T.contiguous()  # voxel, image
            bias_slope[block] = towards.sum(1)
            if not (for_maps or for_fields or for_weight):
                continue
            column = 0
            for grid, (field, of_grid) in enumerate(zip(fields, of_block, strict=True)):
                done, width = 0, of_grid.shape[1]
                for group, (value, slope) in enumerate(zip(values[grid], slopes[grid], strict=True)):
                    value, slope = (side.unflatten(1, (-1, width)) for side in (value, slope))
                    here = towards[:, done : done + value.shape[1], None]
                    done += value.shape[1]
                    if weight_slope is not None:
                        weight_slope[block, column : column + width] += value.mul_(here).sum(1)
                    if not (for_maps or for_fields):
                        continue
                    upstream = slope.mul_(here).mul_(of_grid[:, None]).flatten(1)
                    if for_maps:
                        group_slopes[grid][group].addmm_(field[block].T, upstream)
                    if for_fields:
                        field_slopes[grid][block].addmm_(upstream, groups[grid][group].T)
                column += width

        mean_weight = voxel_weight.mean()
        map_slopes = [
            torch.cat([slope.unflatten(1, (-1, grid.shape[1])).transpose(0, 1) for slope in of_grid])
            .permute(0, 2, 1)
            .unflatten(2, grid.shape[2:])
            for of_grid, grid in zip(group_slopes, maps, strict=bool(group_slopes))
        ]
        gradients = [bias_slope if for_bias else None, weight_slope]
        gradients += map_slopes or [None] * count
        gradients += field_slopes or [None] * count
        ctx.save_for_backward(mean_weight, *gradients)
        ctx.mark_non_differentiable(error)
        return (voxel_weight * error).sum() / mean_weight, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, ""], _: Tensor) -> tuple[Tensor | None, ...]:
        mean_weight, *gradients = ctx.saved_tensors
        factor = upstream / mean_weight
        return None, None, *(gradient if gradient is None else gradient * factor for gradient in gradients)


def block_of(
    matrices: Sequence[Float[Tensor, "pixel _"]], field: Float[Tensor, "voxel pixel"]
) -> list[Float[Tensor, "voxel _"]]:
    """Uninitialised room for what the fields pool of each group of images, in one piece."""
    sizes = [len(field) * matrix.shape[1] for matrix in matrices]
    return [part.view(len(field), -1) for part in field.new_empty(sum(sizes)).split(sizes)]
