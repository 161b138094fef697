"""What a network says about images: without a gradient graph, and only for the images that are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gnet.models.gnet import GNet


class PrefilteredImages:
    """The trunk's input for any rows of the images, each image through the frozen prefilter at most once.

    When the prefiltered images fit into `cache_bytes` they are kept, in float32, on the network's device;
    otherwise every request computes them. A trained prefilter is never cached.

    Parameters
    ----------
    network
        Whose prefilter and input mean are used.
    images
        All prepared images, usually memory-mapped: rows are read when they are needed.
    rows
        The rows that may be asked for.
    cache_bytes
        How much memory the cache may take.
    """

    def __init__(
        self,
        network: GNet,
        images: UInt8[np.ndarray, "image 3 y x"],
        rows: Int[np.ndarray, " row"],
        *,
        cache_bytes: int = 0,
    ) -> None:
        self.network, self.images = network, images
        self.device = network.input_mean.device
        self.cache: Tensor | None = None
        rows = np.unique(rows)
        if network.architecture.trainable_prefilter or len(rows) == 0:
            return
        if len(rows) * self.compute(rows[:1]).nbytes <= cache_bytes:
            self.announced = rows
            blocks = np.split(rows, range(64, len(rows), 64))
            self.cache = torch.cat([self.compute(block) for block in blocks])

    def __call__(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row _ v u"]:
        if self.cache is None:
            return self.compute(rows)
        return self.cache[torch.as_tensor(places(rows, self.announced), device=self.device)]

    def maps(self, rows: Int[np.ndarray, " row"]) -> tuple[Tensor, ...]:
        """The feature maps that readouts see, with the trunk in the mode that it is in."""
        return self.network.trunk(self(rows))

    def compute(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row _ v u"]:
        unique, inverse = np.unique(rows, return_inverse=True)  # ordered reads; a repeated image once
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[unique])).to(self.device)
        return self.network.prefiltered(pixels)[torch.as_tensor(inverse, device=self.device)]


class FrozenMaps:
    """Feature maps of a frozen, evaluated trunk for any rows of the images; arguments as `PrefilteredImages`.

    What fits into `cache_bytes` is computed once and kept: a readout is then fitted without ever running the
    network again.
    """

    def __init__(
        self,
        network: GNet,
        images: UInt8[np.ndarray, "image 3 y x"],
        rows: Int[np.ndarray, " row"],
        *,
        cache_bytes: int = 0,
    ) -> None:
        self.source = PrefilteredImages(network, images, rows[:0])
        self.cache: tuple[Tensor, ...] | None = None
        rows = np.unique(rows)
        if len(rows) and len(rows) * sum(grid.nbytes for grid in self.maps(rows[:1])) <= cache_bytes:
            self.announced = rows
            blocks = [self.maps(block) for block in np.split(rows, range(64, len(rows), 64))]
            self.cache = tuple(torch.cat(grids) for grids in zip(*blocks, strict=True))

    @torch.no_grad()
    def maps(self, rows: Int[np.ndarray, " row"]) -> tuple[Tensor, ...]:
        """The feature maps that readouts see."""
        if self.cache is None:
            assert not self.source.network.trunk.training, "a frozen trunk is evaluated"
            return self.source.maps(rows)
        position = torch.as_tensor(places(rows, self.announced), device=self.source.device)
        return tuple(grid[position] for grid in self.cache)

    __call__ = maps


def places(
    rows: Int[np.ndarray, " row"], announced: Int[np.ndarray, " announced"]
) -> Int[np.ndarray, " row"]:
    """Where rows stand among those that were announced to a cache, which ascend and include all of them.

    >>> places(np.array([7, 3, 7]), np.array([3, 5, 7]))
    array([2, 0, 2])
    """
    place = np.searchsorted(announced, rows)
    assert (announced[np.minimum(place, len(announced) - 1)] == rows).all(), "rows that were not announced"
    return place


@torch.inference_mode()
def predict(
    network: GNet,
    subject: str,
    images: PrefilteredImages | FrozenMaps,
    rows: Int[np.ndarray, " row"],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "row voxel"]:
    """The evaluated network's responses to the given rows of the images, in their order.

    Dropout is off and batch normalisation uses its running statistics; every part of the network is left in
    the mode in which it came. Memory: one batch of maps, and the result.

    Raises
    ------
    ParameterError
        for a subject that the network has no readout for.
    """
    readout = network.readout(subject)
    predicted = np.empty((len(rows), len(readout.bias)), np.float32)
    with evaluated(network):
        for start in range(0, len(rows), batch_size):
            batch = slice(start, start + batch_size)
            predicted[batch] = readout(images.maps(rows[batch])).cpu().numpy()
    return predicted


@contextmanager
def evaluated(network: GNet) -> Iterator[None]:
    """Inside, the network is in evaluation mode; outside, every part of it is in the mode that it was in."""
    training = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, mode in training.items():
            part.training = mode
