"""What a network says about images: without a gradient graph, and only for the images that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from gnet.models.gnet import GNet
from gnet.progress import track
from gnet.storage.blocks import Blocks
from gnet.threads import in_order

NO_ROWS = np.zeros(0, np.int64)
Maps = tuple[Tensor, ...]


class PrefilteredImages:
    """The trunk's input for any rows of the images, each image through the frozen prefilter at most once.

    If the prefiltered images of the rows that will be requested fit into `cache_bytes`, they are kept on the
    network's device, in the type of the convolutions (half the memory in bfloat16). If only the images
    themselves fit, these are kept, on other devices than the CPU. Maps of a trained prefilter are never kept.

    `images[rows]` are prepared images, (row, 3, y, x), uint8 or floats in [0, 1]: an array, usually
    memory-mapped, or an object that makes them. They are read when they are needed.
    """

    def __init__(
        self, network: GNet, images: Any, rows: Int[np.ndarray, " row"], *, cache_bytes: int = 0
    ) -> None:
        self.network, self.images, self.device = network, images, network.device
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
        """The pixels that the device lacks for these rows, each image once, ascending; None if it lacks none.

        May run in a thread while the device works.
        """
        return self._pixels(rows) if self.cache is None and self.resident is None else None

    def _pixels(self, rows: Int[np.ndarray, " row"]) -> Shaped[Tensor, "unique 3 y x"]:
        pixels = torch.from_numpy(np.ascontiguousarray(self.images[np.unique(rows)]))
        return pixels.pin_memory() if self.device.type == "cuda" else pixels

    def __call__(
        self, rows: Int[np.ndarray, " row"], pixels: Shaped[Tensor, "unique 3 y x"] | None = None
    ) -> Float[Tensor, "row _ v u"]:
        """The trunk's input; `pixels` are what `read` returned for these rows, if it has been called."""
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


class FrozenMaps:
    """Feature maps of a frozen, evaluated trunk; arguments as `PrefilteredImages`.

    If they fit into `cache_bytes`, they are computed once, and the network never runs again.
    """

    def __init__(
        self, network: GNet, images: Any, rows: Int[np.ndarray, " row"], *, cache_bytes: int = 0
    ) -> None:
        self.source = PrefilteredImages(network, images, NO_ROWS)
        self.cache: Maps | None = None
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
    ) -> Maps:
        """The feature maps that readouts see."""
        if self.cache is None:
            trunk = self.source.network.trunk
            assert not trunk.training, "a frozen trunk is evaluated"
            return trunk(self.source(rows, pixels))
        position = torch.as_tensor(places(rows, self.announced), device=self.source.device)
        return tuple(grid[position] for grid in self.cache)


Item = TypeVar("Item")
Read = TypeVar("Read")


def read_ahead(read: Callable[[Item], Read], items: Iterable[Item]) -> Iterator[tuple[Item, Read]]:
    """Each item and what was read for it; the next is being read, in a thread, while this one is used."""
    return in_order(lambda item: (item, read(item)), items, threads=1, ahead=1)


def places(
    rows: Int[np.ndarray, " row"], announced: Int[np.ndarray, " announced"]
) -> Int[np.ndarray, " row"]:
    """Positions of rows among those announced to a cache, which ascend and include all of them.

    >>> places(np.array([7, 3, 7]), np.array([3, 5, 7]))
    array([2, 0, 2])
    """
    place = np.searchsorted(announced, rows)
    assert (announced[np.minimum(place, len(announced) - 1)] == rows).all(), "rows that were not announced"
    return place


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
    """What `respond` computes from the feature maps of each network for the given rows of the images.

    The networks share the prefilter of `images`, which runs once for all. They are evaluated: dropout is off
    and batch normalisation uses its running statistics. Memory: one batch of maps of one network, and the
    results.
    """
    results: list[list[Tensor]] = [[] for _ in networks]
    batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    with evaluated(networks):
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
    """Responses of a subject's voxels to the rows of the images; ParameterError for an unknown subject."""
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
    """Contribution of each part of the features to the predictions (`Readout.partition_contributions`)."""

    def contribute(network: GNet, maps: Maps) -> Tensor:
        return network.readout(subject).partition_contributions(maps, parts)

    [contributions] = responses_of([network], images, rows, contribute, batch_size=batch_size)
    return contributions


def joint_responses(
    networks: Sequence[GNet],
    images: Sequence[Any],
    rows: Int[np.ndarray, " row"],
    respond: Callable[[GNet, Maps], Float[Tensor, "*part row voxel"]],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "*part row voxel"]:
    """As `responses_of`, with the voxels of all networks side by side.

    `images` are those of each network. The first ones serve all networks whose prefilter, input mean and size
    of images are the same in every bit: the prefilter runs once for them.
    """
    groups: dict[tuple, list[int]] = {}
    for position, network in enumerate(networks):
        fixed = [network.input_mean, *network.prefilter.parameters()]
        form = network.architecture.pixels, network.architecture.prefilter_readout
        identity = (*form, *(tensor.detach().cpu().numpy().tobytes() for tensor in fixed))
        groups.setdefault(identity, []).append(position)
    found: dict[int, np.ndarray] = {}
    for group in groups.values():
        members = [networks[position] for position in group]
        source = PrefilteredImages(members[0], images[group[0]], NO_ROWS)
        responses = responses_of(members, source, rows, respond, batch_size=batch_size)
        found |= dict(zip(group, responses, strict=True))
    return np.concatenate([found[position] for position in range(len(networks))], axis=-1)


def predicted_blocks(
    networks: Sequence[GNet],
    subject: str,
    images: UInt8[np.ndarray, "image 3 y x"],
    rows: Int[np.ndarray, " row"],
    *,
    block: int = 1000,
    batch_size: int = 100,
) -> Blocks:
    """Responses (image, voxel) of one subject's voxels, side by side for several networks.

    They are computed when they are read, `block` rows of the images at a time; `images` are usually
    memory-mapped.
    """

    def make() -> Iterator[Float[np.ndarray, "block voxel"]]:
        for start in track(range(0, len(rows), block), f"{subject}: predict {len(rows):,} images"):
            yield joint_responses(
                networks,
                [images] * len(networks),
                rows[start : start + block],
                lambda network, maps: network.readout(subject)(maps),
                batch_size=batch_size,
            )

    voxels = sum(network.voxels[subject] for network in networks)
    return Blocks((len(rows), voxels), np.dtype(np.float32), make)


@contextmanager
def evaluated(networks: Sequence[GNet]) -> Iterator[None]:
    """Context with the networks in evaluation mode; every part of them returns to its mode afterwards."""
    modes = [(part, part.training) for network in networks for part in network.modules()]
    try:
        for network in networks:
            network.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode
