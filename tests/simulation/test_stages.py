from itertools import pairwise

import numpy as np
import pytest

from gnet.models.prefilter import gabor_weights
from gnet.models.trunk import grid_sizes
from gnet.recording.pictures import resize
from gnet.simulation.images import dead_leaves
from gnet.simulation.stages import EVEN, MAPS, ORGANISATIONS, Chains

AREAS = ("V1", "V2", "V3", "hV4")


@pytest.fixture(scope="module")
def images():
    return resize(dead_leaves(250, pixels=75, seed=2), 75)


def chains_of(images, organisation, seed=0):
    return Chains(images, AREAS, organisation, gabor_weights(), seed)


def maps_of(chains, images):
    blocks = list(chains.maps(images))
    return {area: np.concatenate([maps[area] for maps in blocks]) for area in AREAS}


def test_maps_lie_on_the_grids_of_the_trunk_and_are_sparse(images):
    maps = maps_of(chains_of(images, "hierarchical"), images)
    fine, coarse = grid_sizes(75)
    for area, side in {"V1": fine, "V2": fine, "V3": coarse, "hV4": coarse}.items():
        assert maps[area].shape == (len(images), MAPS, side, side)
        assert maps[area].min() == 0
        active = (maps[area] > 0).mean((0, 2, 3))
        assert active.min() > 0
        assert active.mean() < 0.3  # a normal combination exceeds 0.8 sd in 21 %, a sparser one in less


def test_who_shares_a_chain(images):
    hierarchical, parallel, even = (chains_of(images, name) for name in ("hierarchical", "parallel", "even"))
    stages = hierarchical.stages
    for lower, higher in pairwise(AREAS):
        assert stages[higher][: len(stages[lower])] == stages[lower]  # the same objects
    assert not {id(stage) for stage in parallel.stages["V1"]} & {id(stage) for stage in parallel.stages["V2"]}
    assert {area: len(chain) for area, chain in parallel.stages.items()} == hierarchical.depths
    assert {len(chain) for chain in even.stages.values()} == {EVEN}


def accuracy_from_maps(target, source):
    """Correlation that ridge regression on the pooled maps of a source reaches, median over maps."""
    target, source = (maps.mean((2, 3), dtype=float) for maps in (target, source))
    train, test = slice(0, 200), slice(200, None)
    target, source = ((array - array[train].mean(0)) / array[train].std(0) for array in (target, source))
    gram = source[train].T @ source[train] + 10 * np.eye(source.shape[1])
    predicted = source[test] @ np.linalg.solve(gram, source[train].T @ target[train])
    r = [np.corrcoef(predicted[:, k], target[test][:, k])[0, 1] for k in range(target.shape[1])]
    return np.nanmedian(r)


def test_a_higher_area_follows_from_a_lower_one_in_a_hierarchy_only(images):
    for seed in (0, 1):
        found = {}
        for organisation in ("hierarchical", "parallel"):
            maps = maps_of(chains_of(images, organisation, seed), images)
            found[organisation] = accuracy_from_maps(maps["V2"], maps["V1"])
        assert found["hierarchical"] > found["parallel"] + 0.1


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_the_maps_of_an_image_do_not_depend_on_the_others_that_are_asked_for(images, organisation):
    chains = chains_of(images, organisation)
    whole, alone = maps_of(chains, images), maps_of(chains, images[120:123])
    for area in AREAS:
        np.testing.assert_allclose(alone[area], whole[area][120:123], atol=1e-4)  # float32, other blocks


def test_another_seed_is_another_brain(images):
    first, second = (maps_of(chains_of(images, "even", seed), images[:5]) for seed in (0, 1))
    assert all((first[area] != second[area]).any() for area in AREAS)
