"""Partitions of the features that a readout sees: `partition["conv4a"]` is a boolean array over them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from gnet.models.gnet import Architecture
from gnet.models.trunk import COARSE, layer_features

Partition = dict[str, Bool[np.ndarray, " feature"]]


def layerwise(width: int, *, prefilter: bool = False) -> Partition:
    """One part a layer: 128 features in conv3, `width` in the others; conv1 and conv2 first if seen.

    >>> {name: int(mask.sum()) for name, mask in layerwise(8).items()}
    {'conv3': 128, 'conv4a': 8, 'conv4b': 8, 'conv5a': 8, 'conv5b': 8, 'conv6a': 8, 'conv6b': 8}
    """
    counts = layer_features(width, prefilter=prefilter)
    owner = np.repeat(list(counts), list(counts.values()))
    return {name: owner == name for name in counts}


def bipartite(width: int, *, prefilter: bool = False) -> Partition:
    """Two parts: the layers on the coarse grid (upper) and all others (lower)."""
    layers = layerwise(width, prefilter=prefilter)
    upper = np.any([layers[name] for name in COARSE], axis=0)
    return {"lower": ~upper, "upper": upper}


PARTITIONS = {"layerwise": layerwise, "bipartite": bipartite}
"""The partitions that are analysed, by name, as functions of the trunk's width."""


def partitions(architecture: Architecture) -> dict[str, Partition]:
    """The same for one network."""
    width, prefilter = architecture.trunk_width, architecture.prefilter_readout
    return {name: partition(width, prefilter=prefilter) for name, partition in PARTITIONS.items()}


def fair_share(partition: Partition) -> Float[np.ndarray, " part"]:
    """Percent of the features in each part: the share that a part would have by its size alone."""
    sizes = np.array([mask.sum() for mask in partition.values()], dtype=float)
    return 100 * sizes / sizes.sum()
