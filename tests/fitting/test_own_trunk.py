"""Law: fresh readouts on a trained trunk predict its own area as well as the model that it comes from."""

import numpy as np
import pytest

from gnet.evaluation.prediction import PrefilteredImages
from gnet.fitting.loop import holdout_correlation

SEEDS = (2, 3, 4, 5)
EPOCHS = 4


@pytest.fixture(scope="module")
def own(problem):
    """The model of one area, fitted whole with each seed: its network and its accuracy."""
    networks = [problem.network(["subj01"], seed=seed) for seed in SEEDS]
    for seed, network in zip(SEEDS, networks, strict=True):
        problem.fit(network, seed=seed, epochs=EPOCHS)
    return networks, np.array([accuracy(problem, network) for network in networks])


def accuracy(problem, network):
    """Mean over voxels of the correlation on held-out trials."""
    trials = problem.holdout["subj01"]
    images = PrefilteredImages(network, problem.images, trials.image_row)
    return holdout_correlation(network, "subj01", images, trials).mean()


def refitted(problem, trunk, mode, seed):
    """Accuracy of fresh readouts on a trunk; None: on a random one."""
    network = problem.network(["subj01"], seed=seed)
    if trunk is not None:
        network.trunk.load_state_dict(trunk.state_dict())
    problem.fit(network, seed=seed, trunk=mode, epochs=EPOCHS)
    return accuracy(problem, network)


@pytest.mark.parametrize("mode", ["frozen", "drifting"])
def test_transfer_to_the_own_area_reproduces_its_accuracy(problem, own, mode):
    networks, expected = own
    spread = expected.std(ddof=1)  # what another seed changes in the model itself
    found = [
        refitted(problem, network.trunk, mode, seed=10 * seed)
        for seed, network in zip(SEEDS, networks, strict=True)
    ]
    assert np.abs(found - expected).max() < 3 * spread
    if mode == "frozen":  # in training mode, batch statistics make good features of a random trunk, too
        assert refitted(problem, None, mode, seed=99) < expected.min() - 3 * spread
