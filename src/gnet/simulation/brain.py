"""The planted brain: responses of V1, V2, V3 and hV4 to images, known to the last weight.

Every voxel is a feature-weighted receptive field, `r = offset + sum_k w_k sum_yx g(y, x) map_k(y, x)`. Areas
differ in their maps (`gnet.simulation.stages`) and in the size of their fields. Positions are in degrees from
the centre of the image, x to the right and y upwards; the image spans `FIELD_OF_VIEW` degrees as in NSD.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped, UInt8

from gnet.errors import ParameterError
from gnet.models.trunk import grid_positions
from gnet.recording.pictures import FIELD_OF_VIEW
from gnet.simulation.stages import HALVED, MAPS, Chains

AREAS = ("V1", "V2", "V3", "hV4")  # from the lowest to the highest

REFERENCE = 1000  # images that say how much a pooled map varies
# sigma in degrees: at the centre of gaze, growth per degree of eccentricity
FIELD_SIZE = {"V1": (0.5, 0.15), "V2": (0.65, 0.2), "V3": (0.85, 0.3), "hV4": (1.1, 0.4)}
ECCENTRICITIES = (0.2, 2.0)  # degrees, of the centres of receptive fields: on the grids of 75 pixels
SOURCES = 3  # of noise common to all voxels of a subject: arousal, breathing, ...

Maps = Float32[np.ndarray, "image map row column"]


@dataclass(frozen=True)
class Voxels:
    """Where planted voxels look."""

    area: Shaped[np.ndarray, " voxel"]
    x: Float[np.ndarray, " voxel"]
    y: Float[np.ndarray, " voxel"]
    sigma: Float[np.ndarray, " voxel"]
    """Degrees, as x and y: see `fields`."""


def planted_responses(
    chains: Chains, images: UInt8[np.ndarray, "image 3 y x"], voxels: Voxels, generator: np.random.Generator
) -> tuple[
    Float32[np.ndarray, "image voxel"], Float64[np.ndarray, "voxel map"], Float64[np.ndarray, " voxel"]
]:
    """Noiseless responses of zero mean and unit variance over the images; the weights and offset that do it.

    `responses = offset + sum_k weights_k pooled_k`. The drawn weights are first divided by the spread of the
    pooled map over some of the images, so that a loud map does not drown the others. Raises ParameterError
    for so few images that too few maps vary.
    """
    weights = np.zeros((len(voxels.area), MAPS))
    pixels = images.shape[-1]
    of_areas = {area: voxels.area == area for area in chains.stages}
    field = {
        area: fields(voxels.x[here], voxels.y[here], voxels.sigma[here], grid(chains, area, pixels))
        for area, here in of_areas.items()
    }
    some = images[:: -(-len(images) // REFERENCE)]
    blocks = list(chains.maps(some))
    for area, here in of_areas.items():
        pooled = np.concatenate([pooled_maps(maps[area], field[area]) for maps in blocks])
        weights[here] = drawn_weights(pooled.std(0).T, generator)
    raw = np.empty((len(images), len(weights)))
    done = 0
    for maps in chains.maps(images):
        size = len(next(iter(maps.values())))
        for area, here in of_areas.items():
            pooled = pooled_maps(maps[area], field[area])
            raw[done : done + size, here] = np.einsum("ikv,vk->iv", pooled, weights[here])
        done += size
    mean, spread = raw.mean(0), raw.std(0)
    return ((raw - mean) / spread).astype(np.float32), weights / spread[:, None], -mean / spread


def grid(chains: Chains, area: str, pixels: int) -> Float64[np.ndarray, " cell"]:
    """Centres of the cells of an area's maps along x, degrees; of images of this size."""
    fine, coarse = grid_positions(pixels)
    return FIELD_OF_VIEW * (coarse if chains.depths[area] >= HALVED else fine)


def drawn_fields(
    area: Shaped[np.ndarray, " voxel"], areas: Sequence[str], generator: np.random.Generator
) -> dict[str, Float64[np.ndarray, " voxel"]]:
    """`x`, `y` and `sigma` of voxels near the centre of gaze; `areas` from the lowest to the highest."""
    eccentricity = generator.uniform(*ECCENTRICITIES, len(area))
    angle = generator.uniform(0, 2 * np.pi, len(area))
    sigma = np.empty(len(area))
    for height, name in enumerate(areas):
        like = AREAS[round(height * (len(AREAS) - 1) / max(len(areas) - 1, 1))]
        here = area == name
        sigma[here] = field_size(like, eccentricity[here])
    return {"x": eccentricity * np.cos(angle), "y": eccentricity * np.sin(angle), "sigma": sigma}


def field_size(area: str, eccentricity: Float[np.ndarray, " voxel"]) -> Float64[np.ndarray, " voxel"]:
    """Sigma of a receptive field in degrees: grows linearly with eccentricity, faster in higher areas."""
    foveal, slope = FIELD_SIZE[area]
    return foveal + slope * np.asarray(eccentricity, np.float64)


def fields(
    x: Float[np.ndarray, " voxel"],
    y: Float[np.ndarray, " voxel"],
    sigma: Float[np.ndarray, " voxel"],
    centre: Float[np.ndarray, " cell"],
) -> Float64[np.ndarray, "voxel row column"]:
    """Isotropic Gaussian receptive fields on the grid of the maps, each summing to one.

    `centre` are the centres of the cells along x, in degrees; along y they have the other sign: row 0 is the
    top of the image.
    """
    across = np.exp(-0.5 * ((centre - x[:, None]) / sigma[:, None]) ** 2)
    down = np.exp(-0.5 * ((-centre - y[:, None]) / sigma[:, None]) ** 2)
    weight = np.einsum("vy,vx->vyx", down, across)
    return weight / weight.sum((1, 2), keepdims=True)


def pooled_maps(
    maps: Maps, field: Float64[np.ndarray, "voxel row column"]
) -> Float32[np.ndarray, "image map voxel"]:
    """Average of every map under every receptive field."""
    image, number, row, column = maps.shape
    flat = field.reshape(len(field), row * column).astype(np.float32)
    return (maps.reshape(image * number, row * column) @ flat.T).reshape(image, number, len(field))


def drawn_weights(
    spread: Float[np.ndarray, "voxel map"], generator: np.random.Generator
) -> Float64[np.ndarray, "voxel map"]:
    """What voxels read, of pooled maps that vary this much: three excite, a fourth inhibits.

    Raises ParameterError if fewer than four maps vary for a voxel.
    """
    fewest = int((spread > 0).sum(1).min(initial=4))
    if fewest < 4:
        raise ParameterError(
            f"simulation: expected images that make four maps or more vary for each voxel, found {fewest}. "
            "Simulate more images."
        )
    key = np.where(spread > 0, generator.random(spread.shape), np.inf)
    chosen = np.argsort(key, axis=1)[:, :4]
    drawn = generator.uniform(0.5, 1, chosen.shape) * [1, 1, 1, -0.5]
    weights = np.zeros(spread.shape)
    np.put_along_axis(weights, chosen, drawn / np.take_along_axis(spread, chosen, axis=1), axis=1)
    return weights


def noise_covariance(
    ceiling: Float64[np.ndarray, " voxel"], correlation: float, generator: np.random.Generator
) -> Float64[np.ndarray, "voxel voxel"]:
    """Covariance over trials of the noise that is added to responses of unit variance.

    A voxel's variance `100 / ceiling - 1` leaves the signal just `ceiling` percent of a single trial's
    variance. Of that noise a fraction `correlation` comes from the common `SOURCES`, which each voxel feels
    with a sign and strength of its own; the rest is private.
    """
    spread = np.sqrt(100 / ceiling - 1)
    loadings = generator.standard_normal((len(ceiling), SOURCES)) + 0.5
    loadings /= np.linalg.norm(loadings, axis=1, keepdims=True)
    common = correlation * loadings @ loadings.T + (1 - correlation) * np.eye(len(ceiling))
    return common * spread[:, None] * spread
