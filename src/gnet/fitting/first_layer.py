"""The trunk during fitting: the same maps with less work in the backward pass."""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import batch_norm, conv2d, relu

from gnet.models.prefilter import MAPS
from gnet.models.trunk import Layer, Trunk


def trunk_maps(trunk: Trunk, prefiltered: Float[Tensor, "image _ v u"]) -> tuple[Tensor, ...]:
    """`trunk(prefiltered)` up to rounding, but faster if the prefilter is fixed."""
    if prefiltered.requires_grad:
        return trunk(prefiltered)
    l1 = fixed_input_layer(trunk.conv3, prefiltered[:, -MAPS[1] :])
    return trunk.from_first_layer(l1, prefiltered, Seen.apply)


def fixed_input_layer(layer: Layer, maps: Float[Tensor, "image c y x"]) -> Float[Tensor, "image k v u"]:
    """`layer(maps)`, with the weight and bias of its batch normalisation folded into the convolution.

    This is exact without padding. The input of the convolution then depends on no parameter, so the backward
    pass needs no gradient of it: a third of the work (docs/performance.md).
    """
    norm, kernel = layer.norm, layer.conv.weight
    momentum = cast(float, norm.momentum)
    normal = batch_norm(
        maps, norm.running_mean, norm.running_var, None, None, layer.training, momentum, norm.eps
    )
    if layer.training:
        cast(Tensor, norm.num_batches_tracked).add_(1)
    kept = layer.dropout(torch.ones_like(maps[:, :, :1, :1]))
    offset = kept.flatten(1) @ (kernel.sum((2, 3)) * norm.bias).T + layer.conv.bias
    scaled = conv2d(normal * kept, kernel * norm.weight[:, None, None])
    return relu(scaled + offset[:, :, None, None])


class Seen(torch.autograd.Function):
    """The first `width` maps. Unlike that of a slice, the gradient lies in memory as the maps do."""

    @staticmethod
    def forward(ctx: Any, maps: Float[Tensor, "image k y x"], width: int) -> Float[Tensor, "image _ y x"]:
        ctx.features, ctx.last = maps.shape[1], maps.is_contiguous(memory_format=torch.channels_last)
        return maps[:, :width]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Float[Tensor, "image _ y x"]) -> tuple[Tensor, None]:
        images, width, *grid = upstream.shape
        order = torch.channels_last if ctx.last else torch.contiguous_format
        size = (images, ctx.features, *grid)
        gradient = torch.empty(size, dtype=upstream.dtype, device=upstream.device, memory_format=order)
        gradient[:, :width], gradient[:, width:] = upstream, 0
        return gradient, None
