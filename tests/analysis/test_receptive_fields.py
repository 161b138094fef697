import numpy as np
import pytest

from gnet.analysis.receptive_fields import (
    FEWEST,
    FIELD_OF_VIEW,
    fit_ellipses,
    gaussian_mass,
    size_eccentricity,
    surface,
)
from gnet.models.trunk import grid_positions


def planted(voxels, seed=0):
    """Parameters of elongated Gaussians in the image, sigma_u > sigma_v."""
    random = np.random.default_rng(seed)
    return np.stack(
        [
            random.uniform(-5, 0, voxels),
            random.uniform(-2.5, 2.5, voxels),
            random.uniform(-2.5, 2.5, voxels),
            np.log(random.uniform(1.0, 1.8, voxels)),
            np.log(random.uniform(0.5, 0.9, voxels)),
            random.uniform(-1.5, 1.5, voxels),
            random.uniform(-0.1, 0.1, voxels),
        ],
        axis=1,
    )


@pytest.mark.parametrize("pixels", [227, 115])
def test_planted_ellipses_are_found(pixels):
    parameters = planted(300)
    x = FIELD_OF_VIEW * grid_positions(pixels)[0]
    found = fit_ellipses(surface(parameters, x, -x), x, -x)
    assert found.determined.mean() > 0.99
    good = found.determined
    np.testing.assert_allclose(found.centre[good], parameters[good, 1:3], atol=1e-3)
    np.testing.assert_allclose(found.sigmas.max(1)[good], np.exp(parameters[good, 3]), rtol=1e-3)
    np.testing.assert_allclose(found.sigmas.min(1)[good], np.exp(parameters[good, 4]), rtol=1e-3)
    expected = np.sqrt(np.pi * np.exp(parameters[:, 3:5]).prod(1))
    np.testing.assert_allclose(found.size[good], expected[good], rtol=1e-3)


def test_no_voxel_moves_another():
    x = np.linspace(-4, 4, 15)
    fields = surface(planted(20), x, -x) + np.random.default_rng(0).normal(0, 0.01, (20, 15, 15))
    together = fit_ellipses(fields, x, -x)
    alone = fit_ellipses(fields[7:8], x, -x)
    np.testing.assert_allclose(together.parameters[7], alone.parameters[0], rtol=1e-8)


def test_blocks_do_not_matter(monkeypatch):
    x = np.linspace(-4, 4, 9)
    fields = surface(planted(7), x, -x)
    whole = fit_ellipses(fields, x, -x).parameters
    monkeypatch.setattr("gnet.analysis.receptive_fields.BLOCK", 3)
    np.testing.assert_allclose(fit_ellipses(fields, x, -x).parameters, whole)


def test_scale_of_a_field_does_not_matter():
    x = np.linspace(-4, 4, 15)
    fields = surface(planted(10), x, -x)
    small, large = (fit_ellipses(scale * fields, x, -x) for scale in (1e-6, 1e6))
    np.testing.assert_allclose(small.centre, large.centre, rtol=1e-6)
    np.testing.assert_allclose(small.residual * 1e12, large.residual, rtol=1e-3, atol=1e-2)


def test_a_flat_field_is_not_determined():
    x = np.linspace(-4, 4, 6)
    found = fit_ellipses(np.full((3, 6, 6), 1 / 36), x, -x)
    assert not found.determined.any()
    assert np.isfinite(found.parameters).all()


@pytest.mark.parametrize(("x0", "determined"), [(2.2, True), (2.8, False)])
def test_an_ellipse_off_the_grid_is_not_determined(x0, determined):
    """The grid's last pixel ends at 2.5 degrees, the image at 4.2."""
    x = np.linspace(-2, 2, 5)
    parameters = planted(1)
    parameters[0, 1:3] = x0, 0.5
    found = fit_ellipses(surface(parameters, x, -x), x, -x)
    np.testing.assert_allclose(found.centre, [[x0, 0.5]], atol=1e-3)
    assert found.converged.all()
    assert found.determined.item() is determined


def test_long_axis_points_outwards():
    """Row 0 is the top of the image; an ellipse along the ray from the centre has radial angle 0."""
    x = np.linspace(-4, 4, 33)
    across, down = np.meshgrid(x, -x)
    x0, y0 = 1.5, 1.0
    ray = np.array([x0, y0]) / np.hypot(x0, y0)
    along = (across - x0) * ray[0] + (down - y0) * ray[1]
    beside = -(across - x0) * ray[1] + (down - y0) * ray[0]
    field = np.exp(-0.5 * (along / 1.2) ** 2 - 0.5 * (beside / 0.5) ** 2)
    turned = np.exp(-0.5 * (along / 0.5) ** 2 - 0.5 * (beside / 1.2) ** 2)
    found = fit_ellipses(np.stack([field, turned]), x, -x)
    np.testing.assert_allclose(np.abs(found.radial_angle), [0, np.pi / 2], atol=1e-3)
    np.testing.assert_allclose(found.centre, [[x0, y0]] * 2, atol=1e-3)


def test_size_grows_with_eccentricity():
    eccentricity = np.array([*range(FEWEST), np.nan])
    slope, foveal = size_eccentricity(eccentricity, 0.5 + 0.25 * eccentricity)
    assert (slope, foveal) == pytest.approx((0.25, 0.5))
    assert np.isnan(size_eccentricity(eccentricity[1:], eccentricity[1:])).all()  # one too few


def test_mass_of_a_gaussian_inside_the_map_is_one():
    mass = gaussian_mass(np.array([[0.1, -0.2, 0.05], [0.5, 0.0, 0.05]]), 13)
    np.testing.assert_allclose(mass.sum((1, 2)), [1, 0.5], atol=1e-3)
    row, column = np.unravel_index(mass[0].argmax(), mass[0].shape)
    assert (row, column) == (9, 7)  # below the middle, right of it
