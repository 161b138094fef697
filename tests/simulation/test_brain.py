import numpy as np
import pytest

from gnet.simulation.brain import (
    AREAS,
    FIELD_OF_VIEW,
    FREQUENCIES,
    GRID,
    ORGANISATIONS,
    ORIENTATIONS,
    area_maps,
    drawn_weights,
    field_size,
    fields,
    gabor_energies,
    noise_covariance,
    pooled_maps,
    responses,
)
from gnet.simulation.images import dead_leaves


@pytest.fixture(scope="module")
def energies():
    return gabor_energies(dead_leaves(192, pixels=66, seed=2))


def grating(frequency, angle, phase=0.0, pixels=84):
    """Bars at an angle from the vertical, `frequency` cycles per degree."""
    degrees = (np.arange(pixels) + 0.5) / pixels * FIELD_OF_VIEW
    along = np.cos(angle) * degrees + np.sin(angle) * degrees[:, None]
    grey = 128 + 100 * np.cos(2 * np.pi * frequency * along + phase)
    return np.repeat(grey.astype(np.uint8)[None, :, :, None], 3, axis=3)


def explained(target, source):
    """Share of the variance of each column of `target` that is linear in `source`, on data not fitted to."""
    half = len(source) // 2
    source = np.column_stack([source, np.ones(len(source))])
    weights = np.linalg.lstsq(source[:half], target[:half], rcond=None)[0]
    residual = target[half:] - source[half:] @ weights
    return 1 - residual.var(0) / target[half:].var(0)


def test_each_energy_map_prefers_its_own_orientation_and_frequency():
    for f, frequency in enumerate(FREQUENCIES):
        for o in range(ORIENTATIONS):
            maps = gabor_energies(grating(frequency, o * np.pi / ORIENTATIONS))[0].mean((1, 2))
            assert maps.argmax() == f * ORIENTATIONS + o


def test_energies_hardly_depend_on_phase_and_follow_contrast_not_brightness():
    a, b = (gabor_energies(grating(1.25, 0.5, phase))[0, :, 5:-5, 5:-5] for phase in (0.0, 1.3))
    np.testing.assert_allclose(a, b, atol=0.03 * a.max())
    flat = np.full((1, 64, 64, 3), 200, np.uint8)
    np.testing.assert_allclose(gabor_energies(flat), 0, atol=1e-5)


def test_energies_do_not_depend_on_the_number_of_pixels():
    coarse, fine = (gabor_energies(grating(1.25, 0.5, pixels=pixels)) for pixels in (66, 264))
    np.testing.assert_allclose(coarse, fine, atol=0.05 * fine.max())


def test_in_a_hierarchy_a_higher_area_is_computed_from_the_one_below_and_in_parallel_it_is_not(energies):
    def inherited(organisation, area, below):
        """Share of an area's maps that its own cell and neighbourhood in the maps below can explain."""
        maps = {
            name: array[:48, :, 2:-2, 2:-2].transpose(0, 2, 3, 1).reshape(-1, 18)
            for name, array in area_maps(energies[:48], organisation, seed=7).items()
        }
        return np.median(explained(maps[area], maps[below]))

    assert inherited("hierarchical", "V3", "V2") > inherited("parallel", "V3", "V2") + 0.1
    assert inherited("hierarchical", "hV4", "V3") > inherited("parallel", "hV4", "V3") + 0.1


def test_organisations_agree_where_they_should(energies):
    parallel, hierarchical, even = (area_maps(energies[:4], name, 0) for name in ORGANISATIONS)
    assert list(parallel) == list(hierarchical) == list(even) == list(AREAS)
    np.testing.assert_array_equal(parallel["V1"], energies[:4])
    np.testing.assert_array_equal(parallel["V1"], hierarchical["V1"])
    np.testing.assert_array_equal(parallel["V3"], even["V3"])  # its own chain, of as many steps in both
    for area in AREAS[1:]:
        assert parallel[area].shape == energies[:4].shape
        assert parallel[area].min() >= 0
        assert (parallel[area] != hierarchical[area]).any()


def accuracy_from_energies(maps, energies):
    """Of each area, median over voxels of the correlation that energies under the voxel's field reach."""
    generator = np.random.default_rng(0)
    accuracy = {}
    for area in AREAS:
        x, y = generator.uniform(-2, 2, (2, 30))
        field = fields(x, y, field_size(area, np.hypot(x, y)))
        response, _, _ = responses(pooled_maps(maps[area], field), drawn_weights(area, 30, 18, generator))
        pooled = pooled_maps(energies, field)
        shares = [explained(response[:, [v]], pooled[:, :, v])[0] for v in range(30)]
        accuracy[area] = np.sqrt(np.median(shares))
    return accuracy


@pytest.mark.parametrize("organisation", ["parallel", "hierarchical"])
def test_higher_areas_are_harder_to_explain_by_energies_but_not_out_of_reach(energies, organisation):
    accuracy = accuracy_from_energies(area_maps(energies, organisation, 0), energies)
    assert accuracy["V1"] > 0.99
    assert accuracy["V1"] > accuracy["V2"] > accuracy["V3"] > accuracy["hV4"] > 0.6
    assert accuracy["hV4"] < 0.95


def test_no_area_of_an_even_brain_is_much_harder_than_another(energies):
    accuracy = accuracy_from_energies(area_maps(energies, "even", 0), energies).values()
    assert 0.9 < min(accuracy) <= max(accuracy) < 0.98  # wide fields average more out


def test_fields_sum_to_one_and_lie_where_they_should():
    x, y, sigma = np.array([1.5, -2.0]), np.array([1.0, -0.5]), np.array([0.5, 0.8])
    field = fields(x, y, sigma)
    np.testing.assert_allclose(field.sum((1, 2)), 1)
    centre = ((np.arange(GRID) + 0.5) / GRID - 0.5) * FIELD_OF_VIEW
    np.testing.assert_allclose(field.sum(1) @ centre, x, atol=0.02)
    np.testing.assert_allclose(field.sum(2) @ -centre, y, atol=0.02)  # the first row is the top of the image


def test_fields_grow_with_eccentricity_and_faster_in_higher_areas():
    near, far = (np.array([field_size(area, np.array([e]))[0] for area in AREAS]) for e in (0.0, 3.0))
    assert (np.diff(near) > 0).all()
    assert (np.diff(far - near) > 0).all()
    assert ((far - near) > 0).all()


def test_responses_are_what_weights_and_offset_make_of_the_pooled_maps(energies):
    generator = np.random.default_rng(0)
    pooled = pooled_maps(energies, fields(np.zeros(4), np.ones(4), np.full(4, 0.7)))
    response, weights, offset = responses(pooled, drawn_weights("V1", 4, 18, generator))
    np.testing.assert_allclose(response.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(response.std(0), 1, atol=1e-5)
    np.testing.assert_allclose(np.einsum("ikv,vk->iv", pooled, weights) + offset, response, atol=1e-4)


def test_weights_above_v1_read_few_maps_and_those_of_v1_are_tuned():
    generator = np.random.default_rng(0)
    assert ((drawn_weights("V3", 20, 18, generator) != 0).sum(1) == 4).all()
    weights = drawn_weights("V1", 200, 18, generator)
    preferred = weights.reshape(200, len(FREQUENCIES), ORIENTATIONS).sum(1).argmax(1)
    assert set(preferred.tolist()) == set(range(ORIENTATIONS))
    np.testing.assert_allclose(weights.sum(1), 0.5)


def test_noise_leaves_the_signal_its_ceiling():
    ceiling = np.array([20.0, 50.0, 80.0])
    covariance = noise_covariance(ceiling, 0.3, np.random.default_rng(0))
    np.testing.assert_allclose(100 / (1 + np.diag(covariance)), ceiling)
    assert np.linalg.eigvalsh(covariance).min() > 0
    alone = noise_covariance(ceiling, 0.0, np.random.default_rng(0))
    np.testing.assert_allclose(alone, np.diag(np.diag(alone)), atol=1e-12)
