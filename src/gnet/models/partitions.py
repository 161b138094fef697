"""Ways to divide the features that a readout sees, by name.

A partition maps the name of each part to the features in it: `partition["conv4a"]` is a mask over the
readout's features, in the order in which it sees them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from gnet.models.gnet import Architecture
from gnet.models.trunk import COARSE, layer_features

Partition = dict[str, Bool[np.ndarray, " feature"]]


def layerwise(width: int, *, prefilter: bool = False) -> Partition:
    """Seven parts, the trunk's layers: 128 features of the first, `width` of each other.

    Two more come first, conv1 and conv2, where the readout sees the prefilter.

    >>> {name: int(mask.sum()) for name, mask in layerwise(8).items()}
    {'conv3': 128, 'conv4a': 8, 'conv4b': 8, 'conv5a': 8, 'conv5b': 8, 'conv6a': 8, 'conv6b': 8}
    """
    counts = layer_features(width, prefilter=prefilter)
    owner = np.repeat(list(counts), list(counts.values()))
    return {name: owner == name for name in counts}


def bipartite(width: int, *, prefilter: bool = False) -> Partition:
    """Two parts: the layers on the fine grid (the lower half) and those on the coarse one.

    What the readout sees of the prefilter belongs to the lower part.

    >>> [int(mask.sum()) for mask in bipartite(8).values()]
    [144, 32]
    """
    layers = layerwise(width, prefilter=prefilter)
    upper = np.any([layers[name] for name in COARSE], axis=0)
    return {"lower": ~upper, "upper": upper}


PARTITIONS = {"layerwise": layerwise, "bipartite": bipartite}
"""Every way to divide the features that is analysed, by name, given the trunk's width."""


def partitions(architecture: Architecture) -> dict[str, Partition]:
    """Every way to divide the features of a network that is analysed, by name."""
    width, prefilter = architecture.trunk_width, architecture.prefilter_readout
    return {name: partition(width, prefilter=prefilter) for name, partition in PARTITIONS.items()}


def fair_share(partition: Partition) -> Float[np.ndarray, " part"]:
    """Percent of the features in each part: the share of a part that is no better than its size.

    The control for partition width: the first layer has more features than any other.

    >>> fair_share(bipartite(64))
    array([50., 50.])
    """
    sizes = np.array([mask.sum() for mask in partition.values()], dtype=float)
    return 100 * sizes / sizes.sum()
