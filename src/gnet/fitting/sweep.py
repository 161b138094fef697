"""The readout's loss and its gradients in one sweep over blocks of voxels.

A voxel's term of the loss depends only on its own predictions and on the mean of the voxel weights, a scalar
that divides the whole sum. So the gradients of a block are computed right after its forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from gnet.fitting.objective import voxel_error
from gnet.models.readout import Readout, image_groups, voxel_blocks


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
    seen = [Compressed.apply(grid.to(readout.weight.dtype)) for grid in maps]
    fields = [field.flatten(1) for field in readout.pooling_fields()]
    return SweptLoss.apply(target, floor, counts, readout.bias, readout.weight, *seen, *fields)


def compress_with_slope(
    x: Float[Tensor, "*any"], value: Float[Tensor, "*any"], slope: Float[Tensor, "*any"]
) -> None:
    """Write the non-linearity at `x` and its slope there into `value` and `slope`; `value` may be `x`."""
    tanh, size = torch.tanh(x), torch.abs(x)
    log = torch.log1p(size)
    torch.mul(tanh, log, out=value)
    # (1 - tanh^2) log(1 + |x|) + |tanh| / (1 + |x|)
    torch.addcmul(log, tanh, value, value=-1, out=slope)
    slope += tanh.abs_().div_(size.add_(1))


class Compressed(torch.autograd.Function):
    """The non-linearity of feature maps; its derivative is computed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, maps: Float[Tensor, "image k _ _"]) -> Float[Tensor, "image k _ _"]:
        value, slope = torch.empty_like(maps), torch.empty_like(maps)
        for image in range(len(maps)):  # one at a time, so that they stay in a CPU's cache
            compress_with_slope(maps[image], value[image], slope[image])
        ctx.save_for_backward(slope)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "image k _ _"]) -> Float[Tensor, "image k _ _"]:
        [slope] = ctx.saved_tensors
        return slope * upstream


class Grid:
    """One resolution of a sweep: maps in groups of images, pooling fields, and the gradients of both."""

    def __init__(
        self, maps: Float[Tensor, "image k _ _"], fields: Float[Tensor, "voxel pixel"], product: torch.dtype
    ) -> None:
        self.features, self.shape = maps.shape[1], maps.shape[2:]
        self.groups = [group.to(product) for group in image_groups(maps)]
        self.fields, self.product = fields, product
        self.group_slopes = (
            [maps.new_zeros(group.shape) for group in self.groups] if maps.requires_grad else None
        )
        self.field_slopes = torch.zeros_like(fields) if fields.requires_grad else None

    def pooled(
        self, block: slice
    ) -> Iterator[tuple[Float[Tensor, "voxel image k"], Float[Tensor, "voxel image k"]]]:
        """f(Phi) of a block of voxels and its derivative at Phi, for one group of images at a time."""
        fields = self.fields[block].to(self.product)
        sizes = [len(fields) * group.shape[1] for group in self.groups]
        room = self.fields.new_empty(2, sum(sizes)).split(sizes, dim=1)
        for group, (value, slope) in zip(self.groups, room, strict=True):
            value, slope = (part.view(len(fields), group.shape[1]) for part in (value, slope))
            if self.product == value.dtype:
                torch.mm(fields, group, out=value)
            else:
                value.copy_(fields @ group)
            compress_with_slope(value, value, slope)
            yield value.unflatten(1, (-1, self.features)), slope.unflatten(1, (-1, self.features))

    def backward_block(self, block: slice, group: int, upstream: Float[Tensor, "voxel image k"]) -> None:
        """Add to the gradients of maps and fields, given that of the loss at Phi of a block and a group."""
        at_phi = upstream.flatten(1).to(self.product)
        if self.group_slopes is not None:
            self._add(self.group_slopes[group], self.fields[block].to(self.product).T, at_phi)
        if self.field_slopes is not None:
            self._add(self.field_slopes[block], at_phi, self.groups[group].T)

    def _add(self, total: Tensor, left: Tensor, right: Tensor) -> None:
        """Add a matrix product to `total`, in its type."""
        if self.product == total.dtype:
            total.addmm_(left, right)
        else:
            total += left @ right

    def map_slopes(self) -> Float[Tensor, "image k _ _"] | None:
        """The gradient of the maps, after the backward pass of every block."""
        if self.group_slopes is None:
            return None
        images = [slope.unflatten(1, (-1, self.features)).transpose(0, 1) for slope in self.group_slopes]
        return torch.cat(images).permute(0, 2, 1).unflatten(2, self.shape)


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
        pairs = zip(maps_and_fields[:resolutions], maps_and_fields[resolutions:], strict=True)
        with torch.autocast(device, enabled=False):
            grids = [Grid(maps, fields, product) for maps, fields in pairs]
            features = [grid.features for grid in grids]
            weight_slope, bias_slope = torch.zeros_like(weight), torch.empty_like(bias)
            voxel_weight, error = torch.empty_like(bias), torch.empty_like(bias)
            for block in voxel_blocks(len(bias), bias.device):
                weights = weight[block].split(features, dim=1)
                slopes = weight_slope[block].split(features, dim=1)
                prediction = bias[block, None]
                pooled = [list(grid.pooled(block)) for grid in grids]
                for of_grid, of_weight in zip(pooled, weights, strict=True):
                    parts = [(value * of_weight[:, None]).sum(2) for value, _ in of_grid]
                    prediction = prediction + torch.cat(parts, dim=1)
                voxel_weight[block], error[block], towards = voxel_error(
                    prediction.T, target[:, block], floor=floor, counts=counts
                )
                bias_slope[block] = towards.sum(0)
                towards = towards.T.contiguous()[:, :, None]  # voxel, image, 1
                for grid, of_grid, of_weight, of_slope in zip(grids, pooled, weights, slopes, strict=True):
                    done = 0
                    for group, (value, slope) in enumerate(of_grid):
                        here = towards[:, done : done + value.shape[1]]
                        done += value.shape[1]
                        if weight.requires_grad:
                            of_slope += value.mul_(here).sum(1)
                        grid.backward_block(block, group, slope.mul_(here).mul_(of_weight[:, None]))
            mean_weight = voxel_weight.mean()
            of_grids = [grid.map_slopes() for grid in grids] + [grid.field_slopes for grid in grids]
            ctx.save_for_backward(mean_weight, bias_slope, weight_slope, *of_grids)
            ctx.mark_non_differentiable(error)
            return (voxel_weight * error).sum() / mean_weight, error

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, ""], _: Tensor) -> tuple[Tensor | None, ...]:
        mean_weight, *gradients = ctx.saved_tensors
        factor = upstream / mean_weight
        wanted = zip(ctx.needs_input_grad[3:], gradients, strict=True)
        return None, None, None, *(gradient * factor if needed else None for needed, gradient in wanted)
