import numpy as np
import pytest

from gnet.errors import ParameterError
from gnet.models.prefilter import gabor_weights
from gnet.models.trunk import grid_positions
from gnet.recording.pictures import FIELD_OF_VIEW, resize
from gnet.simulation.brain import (
    AREAS,
    Voxels,
    drawn_weights,
    field_size,
    fields,
    noise_covariance,
    planted_responses,
    pooled_maps,
)
from gnet.simulation.images import dead_leaves
from gnet.simulation.stages import HALVED, Chains

FINE, COARSE = (FIELD_OF_VIEW * positions for positions in grid_positions(75))


@pytest.fixture(scope="module")
def images():
    return resize(dead_leaves(200, pixels=75, seed=2), 75)


def test_fields_sum_to_one_and_lie_where_they_should():
    centre = ((np.arange(22) + 0.5) / 22 - 0.5) * FIELD_OF_VIEW
    x, y, sigma = np.array([1.5, -2.0]), np.array([1.0, -0.5]), np.array([0.5, 0.8])
    field = fields(x, y, sigma, centre)
    np.testing.assert_allclose(field.sum((1, 2)), 1)
    np.testing.assert_allclose(field.sum(1) @ centre, x, atol=0.02)
    np.testing.assert_allclose(field.sum(2) @ -centre, y, atol=0.02)  # the first row is the top of the image


def test_fields_grow_with_eccentricity_and_faster_in_higher_areas():
    near, far = (np.array([field_size(area, np.array([e]))[0] for area in AREAS]) for e in (0.0, 3.0))
    assert (np.diff(near) > 0).all()
    assert (np.diff(far - near) > 0).all()
    assert ((far - near) > 0).all()


def test_responses_are_what_weights_and_offset_make_of_the_pooled_maps(images):
    chains = Chains(images, AREAS, "parallel", gabor_weights(), seed=0)
    area = np.repeat(AREAS, 3)
    where = np.random.default_rng(0).uniform(-1.5, 1.5, (2, 12))
    voxels = Voxels(area, *where, np.full(12, 0.7))
    response, weights, offset = planted_responses(chains, images, voxels, np.random.default_rng(0))
    np.testing.assert_allclose(response.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(response.std(0), 1, atol=1e-5)
    blocks = list(chains.maps(images))
    for name in AREAS:
        here = area == name
        grid = COARSE if chains.depths[name] >= HALVED else FINE
        field = fields(*where[:, here], voxels.sigma[here], grid)
        pooled = np.concatenate([pooled_maps(maps[name], field) for maps in blocks])
        found = np.einsum("ikv,vk->iv", pooled, weights[here]) + offset[here]
        np.testing.assert_allclose(found, response[:, here], atol=1e-4)


def test_voxels_read_a_few_of_the_maps_that_vary():
    spread = np.tile(np.arange(10.0), (20, 1))
    weights = drawn_weights(spread, np.random.default_rng(0)) * spread
    assert ((weights > 0).sum(1) == 3).all()
    assert ((weights < 0).sum(1) == 1).all()
    assert not weights[:, 0].any()
    with pytest.raises(ParameterError, match=r"four maps or more .* found 3\. Simulate more images"):
        drawn_weights(spread[:, :4], np.random.default_rng(0))


def test_noise_leaves_the_signal_its_ceiling():
    ceiling = np.array([20.0, 50.0, 80.0])
    covariance = noise_covariance(ceiling, 0.3, np.random.default_rng(0))
    np.testing.assert_allclose(100 / (1 + np.diag(covariance)), ceiling)
    assert np.linalg.eigvalsh(covariance).min() > 0
    alone = noise_covariance(ceiling, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(alone, np.diag(np.diag(alone)), atol=1e-12)
