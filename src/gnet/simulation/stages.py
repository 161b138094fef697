"""Feature maps of a brain that needs depth: computed stage by stage from those of a prefilter, area by area.

A stage does what a layer of the trunk can learn to do: it normalises the maps before it, takes `MAPS` sparse
3 x 3 combinations of them, and keeps of each what exceeds a threshold. The first has no padding and the grid
is halved before the fourth, as in the trunk, so maps lie on the fine and the coarse grid of a network for
images of the same size (`gnet.models.trunk.grid_positions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d, relu

from gnet.models.prefilter import Prefilter, Weights

ORGANISATIONS = ("parallel", "hierarchical", "even")
MAPS = 24
"""Of every stage."""
SIGNS = (1, 1, -1, -1)
"""Of the values from which a map is combined, each of another map, anywhere in 3 x 3 cells. If all were
negative, nothing of what is rectified could exceed the threshold."""
TAPS = len(SIGNS)
THRESHOLD = 0.8
"""In standard deviations of a combination: 21 % of it exceed it, if it is normal."""
DEEPEST, EVEN, HALVED = 6, 3, 4
"""Stages of the highest area; of every area of an even brain; the stage before which the grid is halved."""
GREY = 0.5
BLOCK = 100  # images at a time


def depths(areas: Sequence[str], organisation: str) -> dict[str, int]:
    """The number of stages of each area, from the lowest to the highest.

    >>> depths(("V1", "V2", "V3", "hV4"), "parallel")
    {'V1': 1, 'V2': 2, 'V3': 4, 'hV4': 6}
    """
    if organisation == "even":
        return dict.fromkeys(areas, EVEN)
    steps = max(len(areas) - 1, 1)
    return {area: 1 + (DEEPEST - 1) * height // steps for height, area in enumerate(areas)}


@dataclass(frozen=True)
class Stage:
    """One step of a chain, with the normalisation of what goes in and of what it combines."""

    kernel: Float[Tensor, "map input 3 3"]
    of_input: tuple[Tensor, Tensor]
    of_combination: tuple[Tensor, Tensor]
    number: int
    """Its place in the chain, from 1."""

    @classmethod
    def drawn(
        cls, maps: Float[Tensor, "image input row column"], number: int, generator: np.random.Generator
    ) -> Stage:
        """A random stage for maps like these, which set what is normal."""
        halved = _halved(maps, number)
        of_input = _moments(halved)
        varying = np.flatnonzero(halved.amax((0, 2, 3)) > halved.amin((0, 2, 3)))
        kernel = np.zeros((MAPS, maps.shape[1], 9), np.float32)
        for weights in kernel:
            taken, cell = generator.permutation(varying)[:TAPS], generator.integers(0, 9, TAPS)
            weights[taken, cell] = generator.uniform(0.5, 1, TAPS) * SIGNS
        kernels = torch.from_numpy(kernel).unflatten(2, (3, 3))
        combined = conv2d(_normal(halved, of_input), kernels, padding=_padding(number))
        return cls(kernels, of_input, _moments(combined), number)

    def __call__(self, maps: Float[Tensor, "image input row column"]) -> Float[Tensor, "image map v u"]:
        """The maps of this stage, given those of the one before."""
        normal = _normal(_halved(maps, self.number), self.of_input)
        combined = conv2d(normal, self.kernel, padding=_padding(self.number))
        return relu(_normal(combined, self.of_combination) - THRESHOLD)


class Chains:
    """The chains of stages of a brain, from which the feature maps of its areas follow.

    Organisations differ in whether areas share a chain, and one differs in its length:

    - `hierarchical`: one chain. Each area reads a later stage of it than the area below, so whoever has
      learned a higher area has learned the lower ones on the way.
    - `parallel`: chains of the same lengths, but each area has its own from the first stage on. Knowing that
      of one area says nothing about another's.
    - `even`: parallel, with `EVEN` stages in every area, so that none is harder to learn than another.

    Parameters
    ----------
    reference : array of uint8, (image, 3, y, x)
        Images that say what is normal for each map; some hundreds.
    areas : sequence of str
        From the lowest to the highest.
    prefilter : Weights
        Of the two layers before the first stage.
    """

    def __init__(
        self,
        reference: UInt8[np.ndarray, "image 3 y x"],
        areas: Sequence[str],
        organisation: str,
        prefilter: Weights,
        seed: int,
    ) -> None:
        self.prefilter = Prefilter()
        self.prefilter.load_state_dict({name: torch.from_numpy(array) for name, array in prefilter.items()})
        self.depths = depths(areas, organisation)
        self.stages: dict[str, list[Stage]] = {}
        """By area; those of a hierarchical brain are the first ones of the same."""
        common: dict[tuple[str, int], tuple[Stage, Tensor]] = {}
        with torch.no_grad():
            start = torch.cat([self._prefiltered(block) for block in _blocks(reference)])
            for area, depth in self.depths.items():
                chain, maps = "common" if organisation == "hierarchical" else area, start
                self.stages[area] = []
                for number in range(1, depth + 1):
                    if (chain, number) not in common:
                        generator = np.random.default_rng([seed, *chain.encode(), number])
                        stage = Stage.drawn(maps, number, generator)
                        common[chain, number] = stage, stage(maps)
                    stage, maps = common[chain, number]
                    self.stages[area].append(stage)

    def maps(
        self, images: UInt8[np.ndarray, "image 3 y x"], areas: Sequence[str] = ()
    ) -> Iterator[dict[str, Float32[np.ndarray, "image map row column"]]]:
        """By area, all or some, its feature maps of a block of images after the other."""
        for block in _blocks(images):
            with torch.no_grad():
                start, done, of_areas = self._prefiltered(block), {}, {}
                for area in areas or self.stages:
                    maps = start
                    for stage in self.stages[area]:
                        if id(stage) not in done:
                            done[id(stage)] = stage(maps)
                        maps = done[id(stage)]
                    of_areas[area] = maps.numpy()
            yield of_areas

    def _prefiltered(self, images: UInt8[np.ndarray, "image 3 y x"]) -> Float[Tensor, "image _ v u"]:
        return self.prefilter(torch.from_numpy(images.astype(np.float32)) / 255 - GREY)


def _blocks(images: UInt8[np.ndarray, "image 3 y x"]) -> Iterator[UInt8[np.ndarray, "block 3 y x"]]:
    for start in range(0, len(images), BLOCK):
        yield np.asarray(images[start : start + BLOCK])


def _padding(number: int) -> int:
    return 0 if number == 1 else 1


def _halved(maps: Float[Tensor, "image map row column"], number: int) -> Float[Tensor, "image map v u"]:
    return max_pool2d(maps, 3, stride=2, padding=1) if number == HALVED else maps


def _moments(maps: Float[Tensor, "image map row column"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each map over images and cells; 1 in the place of a deviation of 0."""
    deviation, mean = torch.std_mean(maps, (0, 2, 3), keepdim=True)
    return mean, torch.where(deviation > 0, deviation, 1)


def _normal(maps: Float[Tensor, "image map row column"], moments: tuple[Tensor, Tensor]) -> Tensor:
    mean, deviation = moments
    return (maps - mean) / deviation
