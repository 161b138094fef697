"""What a network says about images: without a gradient graph, and only for the images that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from gnet.models.gnet import GNet
from gnet.progress import track
from gnet.storage.blocks import Blocks
from gnet.threads import in_order


class PrefilteredImages:
    """The trunk's input for any rows of the images, each image through the frozen prefilter at most once.

    When the prefiltered images fit into `cache_bytes` they are kept on the network's device, in the type of
    the convolutions (half the memory in bfloat16). If they do not, the images themselves may: on another
    device than the CPU they are then kept there. A trained prefilter's maps are never kept.

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
        self.resident: Tensor | None = None
        self.announced = rows = np.unique(rows)
        if len(rows) == 0:
            return
        blocks = np.split(rows, range(64, len(rows), 64))
        fixed = not network.architecture.trainable_prefilter
        if fixed and len(rows) * self(rows[:1]).nbytes <= cache_bytes:
            self.cache = torch.cat([self(block) for block in blocks])
        elif self.device.type != "cpu" and len(rows) * images[:1].nbytes <= cache_bytes:
            self.resident = torch.cat([self.read(block).to(self.device) for block in blocks])

    def read(self, rows: Int[np.ndarray, " row"]) -> UInt8[Tensor, "unique 3 y x"] | None:
        """The pixels that have to be brought to the device for these rows; None if it has all it needs.

        Each image once, in ascending order. May run in a thread of its own while the device works.
        """
        if self.cache is not None or self.resident is not None:
            return None
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[np.unique(rows)]))
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def __call__(
        self, rows: Int[np.ndarray, " row"], pixels: UInt8[Tensor, "unique 3 y x"] | None = None
    ) -> Float[Tensor, "row _ v u"]:
        """The trunk's input; `pixels` are what `read` gave for these rows, if it has been called."""
        if self.cache is not None:
            return self.cache[self._at(places(rows, self.announced))]
        unique, inverse = np.unique(rows, return_inverse=True)
        if self.resident is not None:
            pixels = self.resident[self._at(places(unique, self.announced))]
        elif pixels is None:
            pixels = self.read(rows)
        return self.network.prefiltered(pixels.to(self.device, non_blocking=True))[self._at(inverse)]

    def _at(self, position: Int[np.ndarray, " row"]) -> Int[Tensor, " row"]:
        return torch.as_tensor(position, device=self.device)

    def maps(
        self, rows: Int[np.ndarray, " row"], pixels: UInt8[Tensor, "unique 3 y x"] | None = None
    ) -> tuple[Tensor, ...]:
        """The feature maps that readouts see, with the trunk in the mode that it is in."""
        return self.network.trunk(self(rows, pixels))


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
        self.announced = rows = np.unique(rows)
        if len(rows) and len(rows) * sum(grid.nbytes for grid in self(rows[:1])) <= cache_bytes:
            blocks = [self(block) for block in np.split(rows, range(64, len(rows), 64))]
            self.cache = tuple(torch.cat(grids) for grids in zip(*blocks, strict=True))

    def read(self, rows: Int[np.ndarray, " row"]) -> UInt8[Tensor, "unique 3 y x"] | None:
        """As of `PrefilteredImages`."""
        return self.source.read(rows) if self.cache is None else None

    @torch.no_grad()
    def __call__(
        self, rows: Int[np.ndarray, " row"], pixels: UInt8[Tensor, "unique 3 y x"] | None = None
    ) -> tuple[Tensor, ...]:
        """The feature maps that readouts see."""
        if self.cache is None:
            assert not self.source.network.trunk.training, "a frozen trunk is evaluated"
            return self.source.maps(rows, pixels)
        position = torch.as_tensor(places(rows, self.announced), device=self.source.device)
        return tuple(grid[position] for grid in self.cache)

    maps = __call__


Item, Read = TypeVar("Item"), TypeVar("Read")


def read_ahead(read: Callable[[Item], Read], items: Iterable[Item]) -> Iterator[tuple[Item, Read]]:
    """Each item and what was read for it; the next is being read, in a thread, while this one is used.

    >>> list(read_ahead(lambda item: item * 2, [1, 2, 3]))
    [(1, 2), (2, 4), (3, 6)]
    """
    return in_order(lambda item: (item, read(item)), items, threads=1, ahead=1)


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
    batches = [slice(start, start + batch_size) for start in range(0, len(rows), batch_size)]
    with evaluated(network):
        for batch, pixels in read_ahead(lambda batch: images.read(rows[batch]), batches):
            predicted[batch] = readout(images.maps(rows[batch], pixels)).cpu().numpy()
    return predicted


def predicted_blocks(
    networks: Sequence[GNet],
    subject: str,
    images: UInt8[np.ndarray, "image 3 y x"],
    rows: Int[np.ndarray, " row"],
    *,
    block: int = 1000,
    batch_size: int = 100,
) -> Blocks:
    """Responses (row, voxel) of one subject's voxels, side by side for several networks, block by block.

    For more images than fit in memory: the networks run while the blocks are stored.

    Parameters
    ----------
    networks : sequence of GNet
        Their voxels stand side by side, in this order.
    subject : str
        Whose voxels.
    images : array of uint8 (image, 3, y, x)
        All prepared images, usually memory-mapped.
    rows : array of int (row,)
        Rows of `images` to predict, in any order.
    block, batch_size : int
        Number of rows in a block, and of those that a network sees at a time.
    """

    def make() -> Iterator[Float[np.ndarray, "block voxel"]]:
        sources = [PrefilteredImages(network, images, rows[:0]) for network in networks]
        starts = range(0, len(rows), block)
        for start in track(starts, f"{subject}: predict {len(rows):,} images"):
            chosen = rows[start : start + block]
            yield np.concatenate(
                [
                    predict(network, subject, source, chosen, batch_size=batch_size)
                    for network, source in zip(networks, sources, strict=True)
                ],
                axis=1,
            )

    voxels = sum(network.voxels[subject] for network in networks)
    return Blocks((len(rows), voxels), np.dtype(np.float32), make)


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


@torch.inference_mode()
def partition_contributions(
    network: GNet,
    subject: str,
    images: PrefilteredImages,
    rows: Int[np.ndarray, " row"],
    parts: Sequence[Bool[np.ndarray, " feature"]],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "part row voxel"]:
    """Contribution of each part of the features to the evaluated network's predictions.

    If every feature is in just one part, the contributions and the readout's bias sum to the prediction.
    """
    readout = network.readout(subject)
    with evaluated(network):
        batches = [
            readout.partition_contributions(images.maps(rows[start : start + batch_size]), parts).cpu()
            for start in range(0, len(rows), batch_size)
        ]
    return torch.cat(batches, dim=1).numpy()
