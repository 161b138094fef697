"""The trunk: seven convolutional layers on two grids, all of them visible to the readout.

Layers are named as in the published code: conv3 (L1), 4a, 4b (L2, L3) on the fine grid; 5a, 5b, 6a, 6b (L4 to
L7) on the coarse one. In BERG's variant the readout also sees the prefilter's two, on a grid of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from gnet.errors import ParameterError
from gnet.models.prefilter import MAPS

FIRST_MAPS = 128
"""Feature maps of L1, whatever the trunk's width."""
PREFILTER = ("conv1", "conv2")
FINE = ("conv3", "conv4a", "conv4b")
COARSE = ("conv5a", "conv5b", "conv6a", "conv6b")


def layer_features(width: int, *, prefilter: bool = False) -> dict[str, int]:
    """Number of feature maps of each layer that the readout sees, in its order.

    >>> layer_features(64)
    {'conv3': 128, 'conv4a': 64, 'conv4b': 64, 'conv5a': 64, 'conv5b': 64, 'conv6a': 64, 'conv6b': 64}
    >>> list(layer_features(64, prefilter=True).items())[:3]
    [('conv1', 64), ('conv2', 192), ('conv3', 128)]
    """
    before = dict(zip(PREFILTER, MAPS, strict=True)) if prefilter else {}
    return before | {name: FIRST_MAPS if name == "conv3" else width for name in FINE + COARSE}


def grid_sizes(pixels: int) -> tuple[int, int]:
    """Sides of the fine and the coarse feature maps; ParameterError if images are too small for a fine pixel.

    >>> grid_sizes(227), grid_sizes(75)
    ((25, 13), (6, 3))
    """
    after_conv1 = (pixels + 2 * 2 - 11) // 4 + 1
    fine = ((after_conv1 - 3) // 2 + 1) - 2
    if fine < 1:
        raise ParameterError(f"pixels: expected images of at least 31 pixels, got {pixels}.")
    return fine, (fine + 2 * 1 - 3) // 2 + 1


def grid_positions(pixels: int) -> tuple[Float[np.ndarray, " fine"], Float[np.ndarray, " coarse"]]:
    """Pixel centres of the fine and the coarse maps, as a fraction of the image's side, from its centre.

    They do not reach the edges of the image: the first layer has no padding.

    >>> fine, coarse = grid_positions(227)
    >>> fine[[0, -1]].round(3), coarse[[0, -1]].round(3)
    (array([-0.432,  0.414]), array([-0.432,  0.414]))
    """
    fine, coarse = (np.arange(side, dtype=float) for side in grid_sizes(pixels))
    # Pixel i of conv1 is centred on image pixel 4 i + 3, of the pooled maps on 8 i + 7, of conv3 on 8 i + 15.
    return (8 * fine + 15.5) / pixels - 0.5, (16 * coarse + 15.5) / pixels - 0.5


def first_maps(maps: Float[Tensor, "image k y x"], width: int) -> Float[Tensor, "image _ y x"]:
    """The maps of a layer that the readout sees: the first ones."""
    return maps[:, :width]


class Layer(nn.Module):
    """Batch normalisation and Dropout2d of the input, 3x3 convolution, ReLU."""

    def __init__(
        self, maps_in: int, maps_out: int, *, padding: int = 1, dropout: float, momentum: float
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(maps_in, eps=1e-5, momentum=momentum)
        self.dropout = nn.Dropout2d(dropout)
        self.conv = nn.Conv2d(maps_in, maps_out, 3, padding=padding)
        nn.init.xavier_normal_(self.conv.weight, gain=nn.init.calculate_gain("relu"))
        nn.init.zeros_(cast(Tensor, self.conv.bias))

    def forward(self, maps: Float[Tensor, "image c y x"]) -> Float[Tensor, "image k v u"]:
        return relu(self.conv(self.dropout(self.norm(maps))))


class Trunk(nn.Module):
    """From prefiltered images to the feature maps that readouts see: `width` per layer, 128 for the first.

    All layers except the first and the last compute `pass_through` additional maps that only the layers above
    see (published code: as many as `width`, the default; a later variant: 192 at width 64). With
    `prefilter_readout` the input is that of an exposed prefilter: the trunk reads the maps of conv2 and
    returns all of the input as its first group.

    >>> fine, coarse = Trunk(8)(torch.zeros(2, 192, 8, 8))
    >>> fine.shape, coarse.shape
    (torch.Size([2, 144, 6, 6]), torch.Size([2, 32, 3, 3]))
    """

    def __init__(
        self,
        width: int = 64,
        *,
        pass_through: int | None = None,
        prefilter_readout: bool = False,
        dropout: float = 0.5,
        momentum: float = 0.25,
    ) -> None:
        super().__init__()
        self.width, self.prefilter_readout = width, prefilter_readout
        maps = width + (width if pass_through is None else pass_through)
        layer = partial(Layer, dropout=dropout, momentum=momentum)
        self.conv3 = layer(MAPS[1], FIRST_MAPS, padding=0)
        self.conv4a = layer(FIRST_MAPS, maps)
        self.conv4b = layer(maps, maps)
        self.conv5a = layer(maps, maps)
        self.conv5b = layer(maps, maps)
        self.conv6a = layer(maps, maps)
        self.conv6b = layer(maps, width)

    def forward(self, prefiltered: Float[Tensor, "image _ v u"]) -> tuple[Float[Tensor, "image _ _ _"], ...]:
        """Feature maps that the readout sees, one group per grid, finest first."""
        return self.from_first_layer(self.conv3(prefiltered[:, -MAPS[1] :]), prefiltered)

    def from_first_layer(
        self,
        l1: Float[Tensor, "image k y x"],
        prefiltered: Float[Tensor, "image _ v u"],
        first_maps: Callable[[Tensor, int], Tensor] = first_maps,
    ) -> tuple[Float[Tensor, "image _ _ _"], ...]:
        """The same, given the maps of the first layer. A fit has its own `first_maps`."""

        def seen(maps: Tensor) -> Tensor:
            return first_maps(maps, self.width)

        l2 = self.conv4a(l1)
        l3 = self.conv4b(l2)
        l4 = self.conv5a(max_pool2d(l3, 3, stride=2, padding=1))
        l5 = self.conv5b(l4)
        l6 = self.conv6a(l5)
        l7 = self.conv6b(l6)
        fine = torch.cat([l1, seen(l2), seen(l3)], dim=1)
        coarse = torch.cat([seen(l4), seen(l5), seen(l6), l7], dim=1)
        return (prefiltered, fine, coarse) if self.prefilter_readout else (fine, coarse)
