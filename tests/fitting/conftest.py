"""A tiny problem with a known answer: a random trunk with readouts that pick places and features."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from gnet.evaluation.prediction import PrefilteredImages, predict
from gnet.fitting.batches import Trials
from gnet.fitting.loop import fit_network, seeded
from gnet.fitting.stepper import Procedure
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import gabor_weights

PIXELS, IMAGES, HELD_OUT = 47, 300, 60
VOXELS = {"subj01": 5, "subj02": 3}


def mosaics(count, pixels, seed):
    """Images of coloured tiles, uint8 (image, 3, y, x)."""
    tiles = -(-pixels // 6)
    colours = np.random.default_rng(seed).integers(0, 256, (count, 3, tiles, tiles), dtype=np.uint8)
    return colours.repeat(6, axis=2).repeat(6, axis=3)[..., :pixels, :pixels]


@dataclass
class Problem:
    """Responses of planted networks to images, and the means to fit another network to them."""

    images: np.ndarray
    training: dict[str, Trials]
    holdout: dict[str, Trials]
    trunk: dict[str, torch.Tensor]
    """State of the trunk behind the responses."""

    def network(self, subjects=None, *, seed=2, planted_trunk=False, device="cpu", **options):
        """A network to be fitted: its own random weights, and the planted trunk if asked for."""
        architecture = Architecture(PIXELS, trunk_width=4, **{"dropout": 0.0, **options})
        with seeded(seed):
            network = GNet(
                architecture,
                {subject: VOXELS[subject] for subject in subjects or self.training},
                prefilter=gabor_weights(),
            )
        if planted_trunk:
            network.trunk.load_state_dict(self.trunk)
        return network.to(device)

    def fit(self, network, *, seed=3, images=None, state=None, **options):
        """Fit it to the subjects that it has, with rates that learn fast."""
        rates = {"trunk_learning_rate": 3e-3, "readout_learning_rate": 3e-2, "l1": 0.0}
        return fit_network(
            network,
            {subject: self.training[subject] for subject in network.voxels},
            {subject: self.holdout[subject] for subject in network.voxels},
            self.images if images is None else images,
            procedure=Procedure(**{"epochs": 1, "batch_size": 30, **rates, **options}),
            seed=seed,
            state=state,
        )


@pytest.fixture(scope="session")
def problem():
    images = mosaics(IMAGES, PIXELS, seed=0)
    with seeded(1):
        planted = GNet(Architecture(PIXELS, trunk_width=4), VOXELS, prefilter=gabor_weights())
        for readout in planted.readouts.values():
            torch.nn.init.normal_(readout.weight)
            for free in readout.fields:
                torch.nn.init.normal_(free, std=2)
    rows = np.arange(IMAGES)
    prefiltered = PrefilteredImages(planted, images, rows, cache_bytes=2**30)
    training, holdout = {}, {}
    for number, subject in enumerate(VOXELS):
        response = predict(planted, subject, prefiltered, rows)
        response = (response - response.mean(0)) / response.std(0)
        order = np.random.default_rng(number).permutation(IMAGES)  # subjects saw the images in other orders
        train, held_out = order[HELD_OUT:], order[:HELD_OUT]
        training[subject] = Trials(train, response[train])
        holdout[subject] = Trials(held_out, response[held_out])
    trunk = {name: tensor.clone() for name, tensor in planted.trunk.state_dict().items()}
    return Problem(images, training, holdout, trunk)


@pytest.fixture(scope="session")
def few(problem):
    """The same with fewer trials, for what does not depend on learning."""

    def first(parts, count):
        return {s: Trials(t.image_row[:count], t.response[:count]) for s, t in parts.items()}

    return Problem(problem.images, first(problem.training, 40), first(problem.holdout, 10), problem.trunk)
