"""What a sweep does to arrays besides matrix products: as torch's operations, or compiled."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gnet.models import nonlinearity
from gnet.models.readout import GROUP_ELEMENTS

COMPILED_GROUP_ELEMENTS = 2**20
"""As `GROUP_ELEMENTS`: fewer and larger products, which a pass over memory affords."""
Kept = tuple[Tensor, ...]
"""What a forward pass leaves for the backward pass."""


class Operations:
    """Torch's operations, for any device and type: one evaluation gives value and slope, both are kept."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.group_elements = GROUP_ELEMENTS[device.type]
        """Elements of (voxel, image, feature) in a call, as suits the caches."""

    def of_maps(
        self, maps: Float[Tensor, "image k y x"], product: torch.dtype
    ) -> tuple[Float[Tensor, "pixel image k"], Tensor]:
        """f(map) in the type of the products, and what to keep."""
        maps = maps.to(self.dtype)
        value, slope = torch.empty_like(maps), torch.empty_like(maps)
        for image in range(len(maps)):  # one at a time, so that they stay in a CPU's cache
            nonlinearity.compress_with_slope(maps[image], value[image], slope[image])
        return value.flatten(2).permute(2, 0, 1).to(product), slope

    def gradient_of_maps(
        self, kept: Tensor, upstream: Float[Tensor, "pixel image k"], factor: Float[Tensor, ""]
    ) -> Float[Tensor, "image k y x"]:
        """The gradient at the maps, given `factor` times that at f(map)."""
        gradient = kept * upstream.permute(1, 2, 0).unflatten(2, kept.shape[2:])
        return gradient.mul_(factor)

    def of_pooled(
        self, phi: Float[Tensor, "voxel image k"], weight: Float[Tensor, "voxel k"]
    ) -> tuple[Float[Tensor, "voxel image"], Kept]:
        """sum_k w_k f(phi_k), and what to keep; phi may be overwritten."""
        value, slope = phi.to(self.dtype), torch.empty_like(phi, dtype=self.dtype)
        nonlinearity.compress_with_slope(value, value, slope)
        return (value * weight[:, None]).sum(2), (value, slope)

    def gradients_of_pooled(
        self,
        kept: Kept,
        weight: Float[Tensor, "voxel k"],
        towards: Float[Tensor, "voxel image"],
        weight_slope: Float[Tensor, "voxel k"] | None,
    ) -> Float[Tensor, "voxel image k"]:
        """The gradient at phi, given that at the responses; that of the weights is added to `weight_slope`.

        May overwrite what was kept.
        """
        (value, slope), towards = kept, towards[:, :, None]
        if weight_slope is not None:
            weight_slope += value.mul_(towards).sum(1)
        return slope.mul_(towards).mul_(weight[:, None])


class Compiled(Operations):
    """One pass over memory each. Phi is kept: computing value and slope again is faster than reading them."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(device, dtype)
        self.group_elements = COMPILED_GROUP_ELEMENTS

    def of_maps(
        self, maps: Float[Tensor, "image k y x"], product: torch.dtype
    ) -> tuple[Float[Tensor, "pixel image k"], Tensor]:
        """See `Operations`."""
        maps = maps.contiguous(memory_format=torch.channels_last)
        return nonlinearity.pixels_first(maps, product), maps

    def gradient_of_maps(
        self, kept: Tensor, upstream: Float[Tensor, "pixel image k"], factor: Float[Tensor, ""]
    ) -> Float[Tensor, "image k y x"]:
        """See `Operations`."""
        return nonlinearity.gradient_of_maps(kept, upstream, factor.item())

    def of_pooled(
        self, phi: Float[Tensor, "voxel image k"], weight: Float[Tensor, "voxel k"]
    ) -> tuple[Float[Tensor, "voxel image"], Kept]:
        """See `Operations`."""
        return nonlinearity.responses(phi, weight), (phi,)

    def gradients_of_pooled(
        self,
        kept: Kept,
        weight: Float[Tensor, "voxel k"],
        towards: Float[Tensor, "voxel image"],
        weight_slope: Float[Tensor, "voxel k"] | None,
    ) -> Float[Tensor, "voxel image k"]:
        """See `Operations`."""
        [phi] = kept
        weight_slope = torch.empty_like(weight) if weight_slope is None else weight_slope
        nonlinearity.gradients_(phi, weight, towards.contiguous(), weight_slope)
        return phi


def passes_for(maps: Tensor, parameters: Tensor, product: torch.dtype) -> Operations:
    """Compiled passes if there are any for these arrays, otherwise torch's operations."""
    served = parameters.dtype == torch.float32 and product in nonlinearity.IS_HALF
    if served and nonlinearity.compiled_for(maps, parameters):
        return Compiled(parameters.device, parameters.dtype)
    return Operations(parameters.device, parameters.dtype)
