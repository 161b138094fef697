"""The planted brain: responses of V1, V2, V3 and hV4 to images, known to the last weight.

Every voxel is a feature-weighted receptive field, `r = offset + sum_k w_k sum_yx g(y, x) map_k(y, x)`. Areas
differ in their maps (`area_maps`) and in the size of their fields. Positions are in degrees from the centre
of the image, x to the right and y upwards; the image spans `FIELD_OF_VIEW` degrees as in NSD.
"""

from __future__ import annotations

import numpy as np
import scipy.fft
from jaxtyping import Float, Float32, Float64, UInt8

from gnet.recording.pictures import FIELD_OF_VIEW

AREAS = ("V1", "V2", "V3", "hV4")  # from the lowest to the highest
ORGANISATIONS = ("parallel", "hierarchical", "even")

GRID = 22  # side of a feature map
SAMPLES = 3  # grey values along the side of one cell of a map, where the filters are applied
BORDER = 15  # mirrored grey values around the image, so that filters do not see its edge
FREQUENCIES = (0.9, 1.25, 1.75)  # cycles per degree
ORIENTATIONS = 6
OPPOSITION = 0.6  # how strongly the third map of a combination counts against the other two
# sigma in degrees: at the centre of gaze, growth per degree of eccentricity
FIELD_SIZE = {"V1": (0.5, 0.15), "V2": (0.65, 0.2), "V3": (0.85, 0.3), "hV4": (1.1, 0.4)}
EVEN_STEPS = 2  # combinations in the chain of every area of an even brain
SOURCES = 3  # of noise common to all voxels of a subject: arousal, breathing, ...
BLOCK = 100  # images filtered together

Maps = Float32[np.ndarray, "image map row column"]


def gabor_energies(images: UInt8[np.ndarray, "image y x 3"]) -> Maps:
    """Local amplitude of the lightness at `ORIENTATIONS` orientations and the spatial `FREQUENCIES`.

    Complex log-Gabor filters (Field 1987, Journal of the Optical Society of America A 4:2379), modulus,
    average over the cell of the grid. Octave-wide filters respond equally to all scales of an image with a
    1/f spectrum. Maps count orientations first: map `6 * f + o` prefers frequency f and bars at `o * 30`
    degrees from the vertical.
    """
    side = GRID * SAMPLES
    downsample = area_average(images.shape[1], side)
    across = downsample if images.shape[2] == images.shape[1] else area_average(images.shape[2], side)
    filters = log_gabors(side + 2 * BORDER, FIELD_OF_VIEW / side)
    energies = np.empty((len(images), len(filters), GRID, GRID), np.float32)
    inner = slice(BORDER, BORDER + side)
    for start in range(0, len(images), BLOCK):
        grey = images[start : start + BLOCK].mean(-1, dtype=np.float32) / 255
        grey = downsample @ grey @ across.T
        padded = np.pad(grey, ((0, 0), (BORDER, BORDER), (BORDER, BORDER)), "symmetric")
        spectrum = scipy.fft.fft2(padded)
        for index, gain in enumerate(filters):
            amplitude = np.abs(scipy.fft.ifft2(spectrum * gain)[:, inner, inner])
            cells = amplitude.reshape(len(grey), GRID, SAMPLES, GRID, SAMPLES)
            energies[start : start + BLOCK, index] = cells.mean((2, 4))
    return energies


def log_gabors(side: int, spacing: float) -> Float32[np.ndarray, "map row column"]:
    """Transfer functions of the filters for images of `side` samples, `spacing` degrees apart."""
    frequency_y = np.fft.fftfreq(side, spacing)[:, None]
    frequency_x = np.fft.fftfreq(side, spacing)[None, :]
    radius = np.hypot(frequency_x, frequency_y)
    radius[0, 0] = np.inf  # no filter sees the mean
    angle = np.arctan2(frequency_y, frequency_x)
    filters = []
    for frequency in FREQUENCIES:
        octaves = np.log2(radius / frequency)
        for orientation in np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS:
            turn = np.angle(np.exp(1j * (angle - orientation)))
            filters.append(np.exp(-0.5 * (octaves / 0.5) ** 2 - 0.5 * (turn / 0.35) ** 2))
    return np.stack(filters).astype(np.float32)


def area_average(size: int, samples: int) -> Float32[np.ndarray, "sample pixel"]:
    """The linear map that averages `size` pixels into `samples` equal intervals.

    >>> area_average(3, 2).round(2)
    array([[0.67, 0.33, 0.  ],
           [0.  , 0.33, 0.67]], dtype=float32)
    """
    edges = np.arange(samples + 1) * size / samples
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.clip(overlap, 0, None) * samples / size).astype(np.float32)


def area_maps(energies: Maps, organisation: str, seed: int) -> dict[str, Maps]:
    """Feature maps of each area, as many as there are energies, on the same grid.

    An area's maps are the energies after a chain of random `combinations`: none in V1, n in the n-th area
    above it. Organisations differ in whether areas share a chain, and one differs in its length:

    - `hierarchical`: there is one chain. V2's maps are combinations of V1's, V3's are combinations of V2's,
      hV4's of V3's, so whoever has learned a higher area has learned the lower ones on the way.
    - `parallel`: each area has a chain of its own that starts at the energies and shares no intermediate
      map with any other area. Knowing hV4's chain says nothing about V2's.
    - `even`: parallel, with chains of `EVEN_STEPS` in every area, V1 too.

    An area is equally hard to model in a parallel and in a hierarchical brain, and higher areas are harder.
    Any trunk models the easy areas well, which alone brings the hierarchy index near one. In an even brain no
    area is harder than another.
    """
    maps = {}
    for height, area in enumerate(AREAS):
        chain = "common" if organisation == "hierarchical" else area
        maps[area] = energies
        for step in range(EVEN_STEPS if organisation == "even" else height):
            maps[area] = combinations(maps[area], np.random.default_rng([seed, *chain.encode(), step]))
    return maps


def combinations(maps: Maps, generator: np.random.Generator) -> Maps:
    """As many new maps: each is large where two maps are, unless a third is too.

    `max(0, sqrt(a b) - OPPOSITION c)` of three different maps that were divided by their means and blurred
    with the neighbouring cells (1/4, 1/2, 1/4), so that fields grow with each step. Gentle on purpose: a
    thousand noisy trials must be enough to learn three in a row.
    """
    scaled = blur(maps / maps.mean((0, 2, 3), keepdims=True))
    number = maps.shape[1]
    new = np.empty_like(scaled)
    for index in range(number):
        others = generator.permutation(np.delete(np.arange(number), index))[:2]
        new[:, index] = np.sqrt(scaled[:, index] * scaled[:, others[0]]) - OPPOSITION * scaled[:, others[1]]
    return np.maximum(new, 0)


def blur(maps: Maps) -> Maps:
    """Weighted average with the neighbours, 1/4, 1/2, 1/4 along rows and columns; the border is repeated."""
    for axis in (2, 3):
        padding = [(0, 0)] * 4
        padding[axis] = (1, 1)
        padded = np.pad(maps, padding, "edge")
        size = maps.shape[axis]
        before, middle, after = (np.take(padded, np.arange(i, i + size), axis) for i in range(3))
        maps = 0.25 * before + 0.5 * middle + 0.25 * after
    return maps


def field_size(area: str, eccentricity: Float[np.ndarray, " voxel"]) -> Float64[np.ndarray, " voxel"]:
    """Sigma of a receptive field in degrees: grows linearly with eccentricity, faster in higher areas."""
    foveal, slope = FIELD_SIZE[area]
    return foveal + slope * np.asarray(eccentricity, np.float64)


def fields(
    x: Float[np.ndarray, " voxel"],
    y: Float[np.ndarray, " voxel"],
    sigma: Float[np.ndarray, " voxel"],
) -> Float64[np.ndarray, "voxel row column"]:
    """Isotropic Gaussian receptive fields on the grid of the maps, each summing to one over the image.

    Row 0 is the top of the image, where y is largest.
    """
    centre = ((np.arange(GRID) + 0.5) / GRID - 0.5) * FIELD_OF_VIEW
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
    area: str, voxels: int, maps: int, generator: np.random.Generator
) -> Float64[np.ndarray, "voxel map"]:
    """What voxels of an area read, in units of the spread of each pooled map.

    V1: tuned to an orientation and a frequency, and a little suppressed by all; maps in the order of
    `gabor_energies`. Above V1: three random maps excite, a fourth inhibits, the others are not read.
    """
    if area == "V1":
        orientation = generator.uniform(0, np.pi, (voxels, 1))
        frequency = generator.uniform(0, len(FREQUENCIES) - 1, (voxels, 1))
        angle = 2 * (np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS - orientation)
        octave = np.arange(len(FREQUENCIES)) - frequency
        of_frequency, of_orientation = np.exp(-0.5 * (octave / 0.6) ** 2), np.exp(2 * (np.cos(angle) - 1))
        tuning = np.einsum("vf,vo->vfo", of_frequency, of_orientation).reshape(voxels, -1)
        return tuning / tuning.sum(1, keepdims=True) - 0.5 / tuning.shape[1]
    chosen = generator.permuted(np.broadcast_to(np.arange(maps), (voxels, maps)), axis=1)[:, :4]
    weights = np.zeros((voxels, maps))
    np.put_along_axis(weights, chosen, generator.uniform(0.5, 1, (voxels, 4)) * [1, 1, 1, -0.5], axis=1)
    return weights


def responses(
    pooled: Float32[np.ndarray, "image map voxel"], drawn: Float64[np.ndarray, "voxel map"]
) -> tuple[
    Float32[np.ndarray, "image voxel"], Float64[np.ndarray, "voxel map"], Float64[np.ndarray, " voxel"]
]:
    """Noiseless responses of zero mean and unit variance over the images; the weights and offset that do it.

    `responses = offset + sum_k weights_k pooled_k`. The drawn weights are first divided by the spread of
    the pooled map, so that a loud map does not drown the others.
    """
    weights = drawn / pooled.std(0).T
    raw = np.einsum("ikv,vk->iv", pooled, weights)
    weights = weights / raw.std(0)[:, None]
    offset = -raw.mean(0) / raw.std(0)
    return ((raw - raw.mean(0)) / raw.std(0)).astype(np.float32), weights, offset


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
