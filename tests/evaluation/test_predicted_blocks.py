"""Predictions made while they are stored: block by block the same as all at once."""

import numpy as np
import pytest
import torch

from gnet.evaluation.prediction import (
    PrefilteredImages,
    partition_contributions,
    predict,
    predicted_blocks,
)
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import gabor_weights

PIXELS = 47
ROWS = np.array([7, 2, 2, 11, 0])


@pytest.fixture(scope="module")
def networks():
    """Of two areas."""
    torch.manual_seed(0)
    made = [
        GNet(Architecture(PIXELS, trunk_width=4), {"subj01": voxels}, prefilter=gabor_weights())
        for voxels in (3, 2)
    ]
    for network in made:
        torch.nn.init.normal_(network.readout("subj01").weight)
    return made


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (12, 3, PIXELS, PIXELS), dtype=np.uint8)


@pytest.mark.parametrize("block", [1, 2, 5, 1000])
def test_blocks_of_several_networks_side_by_side(networks, images, block):
    stream = predicted_blocks(networks, "subj01", images, ROWS, block=block)
    blocks = list(stream)
    assert all(len(part) <= block for part in blocks)
    found = np.concatenate(blocks)
    assert (found.shape, found.dtype) == (stream.shape, stream.dtype)
    for network, columns in zip(networks, (slice(0, 3), slice(3, 5)), strict=True):
        prefiltered = PrefilteredImages(network, images, ROWS)
        np.testing.assert_allclose(
            found[:, columns], predict(network, "subj01", prefiltered, ROWS), rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("batch_size", [2, 100])
def test_contributions_of_all_parts_and_the_bias_are_the_prediction(networks, images, batch_size):
    network = networks[0]
    torch.nn.init.normal_(network.readout("subj01").bias)
    prefiltered = PrefilteredImages(network, images, ROWS)
    third = np.arange(sum(network.architecture.features)) % 3
    masks = [third == part for part in range(3)]
    parts = partition_contributions(network, "subj01", prefiltered, ROWS, masks, batch_size=batch_size)
    assert parts.shape == (3, len(ROWS), 3)
    bias = network.readout("subj01").bias.detach().numpy()
    np.testing.assert_allclose(
        parts.sum(0) + bias, predict(network, "subj01", prefiltered, ROWS), rtol=1e-4, atol=1e-5
    )
