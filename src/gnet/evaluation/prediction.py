"""What a network says about images: without a gradient graph, and only for the images that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from gnet.models.gnet import GNet
from gnet.progress import track
from gnet.storage.blocks import Blocks
from gnet.threads import in_order

NO_ROWS = np.zeros(0, np.int64)


@runtime_checkable
class ImageRows(Protocol):
    """Images that are made when rows of them are read, uint8 or floats in [0, 1]."""

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Images (row, 3, y, x)."""


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
        images: np.ndarray | ImageRows,
        rows: Int[np.ndarray, " row"],
        *,
        cache_bytes: int = 0,
    ) -> None:
        self.network, self.images = network, images
        self.device = network.device
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
            self.resident = torch.cat([self._pixels(block).to(self.device) for block in blocks])

    def read(self, rows: Int[np.ndarray, " row"]) -> Shaped[Tensor, "unique 3 y x"] | None:
        """The pixels that have to be brought to the device for these rows; None if it has all it needs.

        Each image once, in ascending order. May run in a thread of its own while the device works.
        """
        return self._pixels(rows) if self.cache is None and self.resident is None else None

    def _pixels(self, rows: Int[np.ndarray, " row"]) -> Shaped[Tensor, "unique 3 y x"]:
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[np.unique(rows)]))
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def __call__(
        self, rows: Int[np.ndarray, " row"], pixels: Shaped[Tensor, "unique 3 y x"] | None = None
    ) -> Float[Tensor, "row _ v u"]:
        """The trunk's input; `pixels` are what `read` gave for these rows, if it has been called."""
        if self.cache is not None:
            return self.cache[self._at(places(rows, self.announced))]
        unique, inverse = np.unique(rows, return_inverse=True)
        if self.resident is not None:
            pixels = self.resident[self._at(places(unique, self.announced))]
        elif pixels is None:
            pixels = self._pixels(rows)
        return self.network.prefiltered(pixels.to(self.device, non_blocking=True))[self._at(inverse)]

    def _at(self, position: Int[np.ndarray, " row"]) -> Int[Tensor, " row"]:
        return torch.as_tensor(position, device=self.device)

    def maps(
        self, rows: Int[np.ndarray, " row"], pixels: Shaped[Tensor, "unique 3 y x"] | None = None
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
        images: np.ndarray | ImageRows,
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

    def read(self, rows: Int[np.ndarray, " row"]) -> Shaped[Tensor, "unique 3 y x"] | None:
        """As of `PrefilteredImages`."""
        return self.source.read(rows) if self.cache is None else None

    @torch.no_grad()
    def __call__(
        self, rows: Int[np.ndarray, " row"], pixels: Shaped[Tensor, "unique 3 y x"] | None = None
    ) -> tuple[Tensor, ...]:
        """The feature maps that readouts see."""
        if self.cache is None:
            assert not self.source.network.trunk.training, "a frozen trunk is evaluated"
            return self.source.maps(rows, pixels)
        position = torch.as_tensor(places(rows, self.announced), device=self.source.device)
        return tuple(grid[position] for grid in self.cache)

    maps = __call__


Item = TypeVar("Item")
Read = TypeVar("Read")


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


Maps = tuple[Tensor, ...]


@dataclass(frozen=True)
class SubjectPredictions:
    """Predicted responses of one subject's voxels to images, and whose and which they are."""

    predictions: Any
    """float32 (image, voxel): an array, a `StoredArray` on disk, or blocks to be made."""
    voxel_index: Int[np.ndarray, " voxel"]
    area: Shaped[np.ndarray, " voxel"]
    image_row: Int[np.ndarray, " image"] | None = None
    """Row of each image among the prepared ones."""
    image_id: Int[np.ndarray, " image"] | None = None
    """Number of each image in its recording."""
    name: Shaped[np.ndarray, " image"] | None = None
    """File name of each picture, where they come from a folder."""
    volume_shape: Int[np.ndarray, " 3"] | None = None
    """Shape (x, y, z) of the volume that `voxel_index` counts through. None: unknown."""
    affine: Float[np.ndarray, "4 4"] | None = None
    """Takes (x, y, z, 1) to millimetres. None: unknown."""

    def of(
        self, rows: Int[np.ndarray, " row"], columns: Int[np.ndarray, " column"]
    ) -> Float[np.ndarray, "row column"]:
        """Predictions for some images of some voxels; no more than these are read into memory."""
        if isinstance(self.predictions, np.ndarray):
            return self.predictions[np.ix_(rows, columns)]
        return self.predictions.columns(columns, rows)


@torch.inference_mode()
def responses_of(
    networks: Sequence[GNet],
    images: PrefilteredImages | FrozenMaps,
    rows: Int[np.ndarray, " row"],
    respond: Callable[[GNet, Maps], Float[Tensor, "*part row voxel"]],
    *,
    batch_size: int = 100,
) -> list[Float[np.ndarray, "*part row voxel"]]:
    """What `respond` makes of the feature maps of each evaluated network for the given rows of the images.

    Dropout is off and batch normalisation uses its running statistics; every part of every network is left in
    the mode in which it came. Memory: one batch of maps of one network, and the results.

    Parameters
    ----------
    networks : sequence of GNet
        Networks that have the prefilter of `images` in common: it runs once for all of them.
    images : PrefilteredImages or FrozenMaps
        The source of their input.
    rows : array of int, (row,)
        Rows of the images, in the order of the results.
    respond : callable
        (network, maps) to the results for the images of a batch, images on the last axis but one.
    batch_size : int
        Images in a batch.
    """
    results: list[list[Tensor]] = [[] for _ in networks]
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with ExitStack() as modes:
        for network in networks:
            modes.enter_context(evaluated(network))
        for batch, pixels in read_ahead(images.read, batches):
            trunk_input = images(batch, pixels)
            for network, result in zip(networks, results, strict=True):
                maps = trunk_input if isinstance(trunk_input, tuple) else network.trunk(trunk_input)
                result.append(respond(network, maps).cpu())
    return [torch.cat(result, dim=-2).numpy() for result in results]


def predict(
    network: GNet,
    subject: str,
    images: PrefilteredImages | FrozenMaps,
    rows: Int[np.ndarray, " row"],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "row voxel"]:
    """Responses of one subject's voxels to the given rows of the images (`responses_of`).

    Raises
    ------
    ParameterError
        for a subject that the network has no readout for.
    """
    readout = network.readout(subject)
    if not len(rows):
        return np.empty((0, len(readout.bias)), np.float32)
    [predicted] = responses_of([network], images, rows, lambda _, maps: readout(maps), batch_size=batch_size)
    return predicted


def partition_contributions(
    network: GNet,
    subject: str,
    images: PrefilteredImages,
    rows: Int[np.ndarray, " row"],
    parts: Sequence[Bool[np.ndarray, " feature"]],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "part row voxel"]:
    """Contribution of each part of the features to the predictions, from one pass through the network.

    If every feature is in just one part, the contributions and the bias of the readout sum to the prediction.
    """
    readout = network.readout(subject)
    [contributions] = responses_of(
        [network],
        images,
        rows,
        lambda _, maps: readout.partition_contributions(maps, parts),
        batch_size=batch_size,
    )
    return contributions


def with_common_prefilter(networks: Sequence[GNet]) -> list[list[int]]:
    """Positions of the networks, those together whose prefilter and input mean are the same in every bit."""
    groups: list[list[int]] = []
    for position, network in enumerate(networks):
        for group in groups:
            if _same_prefilter(networks[group[0]], network):
                group.append(position)
                break
        else:
            groups.append([position])
    return groups


def _same_prefilter(one: GNet, other: GNet) -> bool:
    """Whether two networks make the same input for their trunks of any image."""
    return (
        one.architecture.pixels == other.architecture.pixels
        and one.architecture.prefilter_readout == other.architecture.prefilter_readout
        and torch.equal(one.input_mean, other.input_mean)
        and all(map(torch.equal, one.prefilter.parameters(), other.prefilter.parameters()))
    )


def predicted_blocks(
    networks: Sequence[GNet],
    subject: str,
    images: UInt8[np.ndarray, "image 3 y x"],
    rows: Int[np.ndarray, " row"],
    *,
    block: int = 1000,
    batch_size: int = 100,
) -> Blocks:
    """Responses (image, voxel) of one subject's voxels, side by side for several networks, block by block.

    A prefilter that several of the networks have in common runs once for all of them.

    Parameters
    ----------
    networks : sequence of GNet
        The networks, each with a readout of the subject.
    subject : str
        Whose voxels.
    images : array of uint8, (image, 3, y, x)
        All prepared images, usually memory-mapped.
    rows : array of int, (row,)
        Rows of the images, in the order of the predictions.
    block, batch_size : int
        Images in a block, and in a batch on the device.
    """

    def make() -> Iterator[Float[np.ndarray, "block voxel"]]:
        groups = with_common_prefilter(networks)
        sources = [PrefilteredImages(networks[group[0]], images, NO_ROWS) for group in groups]
        starts = range(0, len(rows), block)
        for start in track(starts, f"{subject}: predict {len(rows):,} images"):
            predicted: dict[int, np.ndarray] = {}
            for group, source in zip(groups, sources, strict=True):
                found = responses_of(
                    [networks[position] for position in group],
                    source,
                    rows[start : start + block],
                    lambda network, maps: network.readout(subject)(maps),
                    batch_size=batch_size,
                )
                predicted |= dict(zip(group, found, strict=True))
            yield np.concatenate([predicted[position] for position in range(len(networks))], axis=1)

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
