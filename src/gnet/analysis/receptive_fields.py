"""Receptive fields: ellipses fitted to pooling fields, in degrees of visual angle.

Positions are relative to the centre of the image, x to the right and y upwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import erf

from gnet.recording.pictures import FIELD_OF_VIEW

BLOCK = 256
"""Voxels fitted at a time: their Jacobians at 25 x 25 pixels take 9 MB."""

FEWEST = 10
"""Voxels that a line through sizes and eccentricities needs: through two of them, it always goes."""

Positions = Float[np.ndarray, " pixel"]


@dataclass(frozen=True)
class Ellipses:
    """Elliptical Gaussians with an offset, one per voxel.

    `offset + exp(log_amplitude) exp(-(u / sigma_u)^2 / 2 - (v / sigma_v)^2 / 2)`, with
    (dx, dy) = (x - x0, y - y0), `u = dx cos(angle) - dy sin(angle)`, `v = dx sin(angle) + dy cos(angle)`.
    """

    parameters: Float[np.ndarray, "voxel 7"]
    """log_amplitude, x0, y0, log(sigma_u), log(sigma_v), angle, offset; lengths as in the positions."""
    errors: Float[np.ndarray, "voxel 7"]
    """Standard errors, from the curvature at the minimum and the residual variance."""
    residual: Float[np.ndarray, " voxel"]
    """Root of the sum of squared residuals."""
    converged: Bool[np.ndarray, " voxel"]
    on_grid: Bool[np.ndarray, " voxel"]
    """Whether the centre lies on one of the field's pixels."""

    @property
    def centre(self) -> Float[np.ndarray, "voxel 2"]:
        """Centre (x, y)."""
        return self.parameters[:, 1:3]

    @property
    def sigmas(self) -> Float[np.ndarray, "voxel 2"]:
        """Standard deviations along u and v."""
        return np.exp(self.parameters[:, 3:5])

    @property
    def size(self) -> Float[np.ndarray, " voxel"]:
        """Side of a square with the area of the 1-sigma ellipse: `sqrt(pi a b)` (published code)."""
        return np.sqrt(np.pi * self.sigmas.prod(1))

    @property
    def eccentricity(self) -> Float[np.ndarray, " voxel"]:
        """Distance of the centre from the centre of the image."""
        return np.hypot(*self.centre.T)

    @property
    def radial_angle(self) -> Float[np.ndarray, " voxel"]:
        """Angle between the long axis and the direction away from the centre, in (-pi/2, pi/2]."""
        x, y = self.centre.T
        long_axis = -self.parameters[:, 5] + np.where(self.sigmas[:, 0] < self.sigmas[:, 1], np.pi / 2, 0)
        turn = long_axis - np.arctan2(y, x)
        return np.pi / 2 - np.mod(np.pi / 2 - turn, np.pi)

    @property
    def determined(self) -> Bool[np.ndarray, " voxel"]:
        """Whether the fit, in degrees, converged on a Gaussian centred on the grid, smaller than the image.

        A field that is flat to 0.1 %, as all fields are before training, has no such Gaussian.
        """
        rises = np.exp(self.parameters[:, 0]) > 1e-3 * np.abs(self.parameters[:, 6])
        return self.converged & self.on_grid & rises & (self.sigmas < FIELD_OF_VIEW).all(1)

    def table(self) -> pd.DataFrame:
        """Columns: x, y, size, eccentricity, radial_angle, sigma_long, sigma_short, residual, determined."""
        table = pd.DataFrame(self.centre, columns=["x", "y"])
        table = table.assign(size=self.size, eccentricity=self.eccentricity, radial_angle=self.radial_angle)
        table = table.assign(sigma_long=self.sigmas.max(1), sigma_short=self.sigmas.min(1))
        return table.assign(residual=self.residual, determined=self.determined)


def surface(
    parameters: Float[np.ndarray, "voxel 7"], x: Float[np.ndarray, " column"], y: Float[np.ndarray, " row"]
) -> Float[np.ndarray, "voxel row column"]:
    """Values of the Gaussians at the given positions."""
    return _surface_and_slopes(parameters, *_grid(x, y))[0].reshape(len(parameters), len(y), len(x))


def fit_ellipses(
    fields: Float[np.ndarray, "voxel row column"],
    x: Float[np.ndarray, " column"],
    y: Float[np.ndarray, " row"],
    *,
    iterations: int = 100,
) -> Ellipses:
    """Least squares fit of an elliptical Gaussian with offset to each field, in blocks of voxels.

    Levenberg-Marquardt with separate damping for each voxel, starting from the moments of the field. A voxel
    has converged when a step lowers its squared error by a fraction of less than 1e-10; a flat field never
    does. `x` and `y` are positions of the columns and rows; row 0 is the top of the image, so y decreases.
    """
    blocks = (fields[start : start + BLOCK].astype(np.float64) for start in range(0, len(fields), BLOCK))
    parts = [_fit_block(block.reshape(len(block), -1), *_grid(x, y), iterations) for block in blocks]
    return Ellipses(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _grid(x: Float[np.ndarray, " column"], y: Float[np.ndarray, " row"]) -> tuple[Positions, Positions]:
    across, down = np.meshgrid(x, y)
    return across.ravel(), down.ravel()


def _moments(
    fields: Float[np.ndarray, "voxel pixel"], x: Positions, y: Positions
) -> Float[np.ndarray, "voxel 7"]:
    """Initial parameters: offset at the median, centre at the peak, size from the mass above the offset."""
    offset = np.median(fields, axis=1)
    above = (fields - offset[:, None]).clip(min=0)
    peak = above.argmax(1)
    amplitude = above.max(1).clip(min=1e-12)
    pixel = (np.ptp(x) * np.ptp(y)) / max(1, len(x) - 1)
    sigma = np.sqrt(above.sum(1) * pixel / (2 * np.pi * amplitude))
    sigma = sigma.clip(np.sqrt(pixel) / 2, np.ptp(x))
    # 0.9 and 0.3 rad: with equal axes the angle has no gradient, and an angle along the grid can be a saddle
    # point of a symmetric field. So the axes differ, and do not lie along the grid.
    log_sigmas, angle = (np.log(sigma), np.log(sigma * 0.9)), np.full(len(fields), 0.3)
    return np.stack([np.log(amplitude), x[peak], y[peak], *log_sigmas, angle, offset], axis=1)


def _bounds(x: Positions, y: Positions) -> tuple[Float[np.ndarray, " 7"], Float[np.ndarray, " 7"]]:
    """Bounds far beyond any real field, so that the fit of a flat field cannot overflow."""
    extent = max(np.ptp(x), np.ptp(y))
    widest, narrowest = np.log(100 * extent), np.log(extent / 1000)
    low = [-50, x.min() - 3 * extent, y.min() - 3 * extent, narrowest, narrowest, -np.inf, -np.inf]
    high = [50, x.max() + 3 * extent, y.max() + 3 * extent, widest, widest, np.inf, np.inf]
    return np.array(low), np.array(high)


def _surface_and_slopes(
    parameters: Float[np.ndarray, "voxel 7"], x: Positions, y: Positions
) -> tuple[Float[np.ndarray, "voxel pixel"], Float[np.ndarray, "voxel pixel 7"]]:
    log_amplitude, x0, y0, log_u, log_v, angle, offset = (column[:, None] for column in parameters.T)
    dx, dy, cos, sin = x - x0, y - y0, np.cos(angle), np.sin(angle)
    u, v = dx * cos - dy * sin, dx * sin + dy * cos
    su, sv = u / np.exp(2 * log_u), v / np.exp(2 * log_v)
    bump = np.exp((log_amplitude - (u * su + v * sv) / 2).clip(max=50))
    slopes = [
        bump,
        bump * (su * cos + sv * sin),
        bump * (-su * sin + sv * cos),
        bump * u * su,
        bump * v * sv,
        bump * (su * v - sv * u),
        np.ones_like(bump),
    ]
    return offset + bump, np.stack(slopes, axis=-1)


def _fit_block(
    fields: Float[np.ndarray, "voxel pixel"], x: Positions, y: Positions, iterations: int
) -> tuple[np.ndarray, ...]:
    # scaled by its maximum, so that damping and tolerance mean the same for every voxel
    unit = np.abs(fields).max(1).clip(min=1e-300)
    target = fields / unit[:, None]
    found = _moments(target, x, y)
    value, slopes = _surface_and_slopes(found, x, y)
    error = ((target - value) ** 2).sum(1)
    damping = np.full(len(target), 1e-3)
    converged = np.zeros(len(target), bool)
    bounds = _bounds(x, y)
    for _ in range(iterations):
        active = np.flatnonzero(~converged)
        if not len(active):
            break
        jacobian = slopes[active]
        gradient = np.einsum("vpk,vp->vk", jacobian, target[active] - value[active])
        normal = jacobian.transpose(0, 2, 1) @ jacobian
        scale = np.einsum("vkk->vk", normal).clip(min=1e-12)
        damped = normal + (damping[active, None] * scale)[:, :, None] * np.eye(normal.shape[1])
        trial = (found[active] + np.linalg.solve(damped, gradient[:, :, None])[:, :, 0]).clip(*bounds)
        trial_value, trial_slopes = _surface_and_slopes(trial, x, y)
        trial_error = ((target[active] - trial_value) ** 2).sum(1)
        better = trial_error <= error[active]
        taken = active[better]
        converged[taken] = error[taken] - trial_error[better] <= 1e-10 * error[taken]
        found[taken], value[taken], slopes[taken] = trial[better], trial_value[better], trial_slopes[better]
        error[taken] = trial_error[better]
        damping[active] = np.where(better, damping[active] / 5, damping[active] * 5).clip(1e-12, 1e12)
    freedom = max(1, target.shape[1] - found.shape[1])
    normal = slopes.transpose(0, 2, 1) @ slopes
    variance = np.einsum("vkk->vk", np.linalg.pinv(normal, hermitian=True)) * (error / freedom)[:, None]
    errors = np.sqrt(variance.clip(min=0))
    found[:, 0] += np.log(unit)
    for array in (found, errors):
        array[:, 6] *= unit
    on_grid = _reached(found[:, 1], x) & _reached(found[:, 2], y)
    return found, errors, np.sqrt(error) * unit, converged, on_grid


def _reached(centre: Float[np.ndarray, " voxel"], pixels: Positions) -> Bool[np.ndarray, " voxel"]:
    """Whether the pixels, with half of one on either side, reach so far."""
    half = np.ptp(pixels) / max(1, len(np.unique(pixels)) - 1) / 2
    return (pixels.min() - half <= centre) & (centre <= pixels.max() + half)


def size_eccentricity(
    eccentricity: Float[np.ndarray, " voxel"], size: Float[np.ndarray, " voxel"]
) -> tuple[float, float]:
    """Slope and intercept (size at the centre of gaze) of the regression of size on eccentricity.

    Voxels where either is not finite are excluded; NaN for fewer than `FEWEST` voxels.
    """
    known = np.isfinite(eccentricity) & np.isfinite(size)
    if known.sum() < FEWEST:
        return float("nan"), float("nan")
    slope, intercept = np.polyfit(eccentricity[known], size[known], 1)
    return float(slope), float(intercept)


def gaussian_mass(
    candidates: Float[np.ndarray, "candidate 3"], pixels: int, size: float = 1.0
) -> Float[np.ndarray, "candidate row column"]:
    """Mass of isotropic Gaussians (x, y, sigma) in each pixel of a square map of the given size.

    Exact integrals over the pixels; a Gaussian that extends beyond the edge sums to less than one.

    Differs from the published code: there, the mass of Gaussians with a sigma of a pixel or more is the
    density at the pixel's centre times its area.
    """
    edges = np.linspace(-size / 2, size / 2, pixels + 1)
    x, y, sigma = candidates.T

    def strip(centre: Float[np.ndarray, " candidate"]) -> Float[np.ndarray, "candidate pixel"]:
        below = erf((edges - centre[:, None]) / (np.sqrt(2) * sigma[:, None])) / 2
        return np.diff(below, axis=1)

    return np.einsum("vy,vx->vyx", strip(y)[:, ::-1], strip(x))


def gaussian_pyramid(extent: float, sigmas: Float[np.ndarray, " sigma"]) -> Float[np.ndarray, "candidate 3"]:
    """Candidate fields (x, y, sigma): for each sigma, a square grid of centres about one sigma apart.

    `extent` is the side of the square that the centres span.

    >>> gaussian_pyramid(1.0, np.array([0.5])).tolist()
    [[-0.5, -0.5, 0.5], [0.5, -0.5, 0.5], [-0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    candidates = []
    for sigma in sigmas:
        line = np.linspace(-extent / 2, extent / 2, int(np.ceil(extent / sigma)))
        x, y = np.meshgrid(line, line)
        candidates.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, sigma)], axis=1))
    return np.concatenate(candidates)
