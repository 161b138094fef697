"""Simulated photographs: dead leaves, the simplest random images with the statistics of natural scenes.

Opaque leaves of all sizes fall on each other until the ground is covered: edges at every scale, and an
amplitude spectrum that falls about as one over frequency (Ruderman 1997, Vision Research 37:3385; Lee,
Mumford & Huang 2001, International Journal of Computer Vision 41:35).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32, Int16, UInt8

from gnet.errors import ParameterError

LAYERS = 4.0  # leaves that cover a pixel, on average: the bare ground shows through at exp(-4) of them
SMALLEST, LARGEST = 0.02, 0.5  # half the length of a leaf, as a fraction of the image's side
ROUNDNESS = (0.25, 1.0)  # width of a leaf divided by its length
TEXTURE = 0.10  # highest contrast of the texture on a leaf, as a fraction of the full range
BLOCK = 64  # images painted together: their canvases fit a processor's cache


def dead_leaves(count: int, pixels: int, seed: int) -> UInt8[np.ndarray, "image y x 3"]:
    """Random colour images with natural statistics, in 0..255.

    Leaves are ellipses whose sizes r follow p(r) ~ r^-3, each of one colour with a faint texture that is
    itself 1/f noise. Colours differ mostly in lightness and a little from blue to yellow and from red to
    green, as they do outdoors. The same seed gives the same images, and a longer series begins with the
    shorter one. Raises ParameterError for too few or too small images to paint anything.
    """
    if count < 1 or pixels < 8:
        raise ParameterError(
            f"dead leaves: expected at least 1 image of at least 8 pixels a side, got {count} of {pixels}. "
            "Correct it in the parameters."
        )
    images = np.empty((count, pixels, pixels, 3), np.uint8)
    for start in range(0, count, BLOCK):
        generator = np.random.default_rng([seed, start])
        images[start : start + BLOCK] = paint(BLOCK, pixels, generator)[: count - start]
    return images


def paint(count: int, pixels: int, generator: np.random.Generator) -> UInt8[np.ndarray, "image y x 3"]:
    """One block of images: leaves of the same sizes fall in the same order on each, at different places."""
    half_lengths = leaf_sizes(pixels, generator)
    topmost = fallen_leaves(count, pixels, half_lengths, generator)
    colours = leaf_colours(count, len(half_lengths) + 1, generator)
    contrast = generator.uniform(0, TEXTURE, colours.shape[:2]).astype(np.float32)
    image = np.arange(count)[:, None, None]
    texture = contrast[image, topmost] * clouds(count, pixels, generator)
    return np.rint(255 * np.clip(colours[image, topmost] + texture[..., None], 0, 1)).astype(np.uint8)


def leaf_sizes(pixels: int, generator: np.random.Generator) -> Float[np.ndarray, " leaf"]:
    """Half lengths, in pixels, of the leaves of one image in the order in which they fall.

    Per unit of area p(r) ~ r^-3. A leaf touches the image if its centre is closer than r to it, so large
    leaves come from a wider surround and are more frequent among those that count: p(r) ~ r^-3 (side +
    2r)^2. Sizes are the quantiles of that law in random order, not draws from it: no image is left without
    its large leaves.
    """
    size = pixels * np.geomspace(SMALLEST, LARGEST, 1000)
    surround = (pixels + 2 * size) ** 2
    mass = size**-3 * surround * np.gradient(size)
    mass /= mass.sum()
    covered = np.pi * np.mean(ROUNDNESS) * size**2 / surround  # of the image, by a leaf of this size
    number = int(np.ceil(LAYERS / (mass @ covered)))
    quantile = (np.arange(number) + 0.5) / number
    return generator.permutation(np.interp(quantile, np.cumsum(mass) - mass / 2, size))


def fallen_leaves(
    count: int, pixels: int, half_lengths: Float[np.ndarray, " leaf"], generator: np.random.Generator
) -> Int16[np.ndarray, "image y x"]:
    """Number of the topmost leaf at each pixel: 1 for the first that fell, 0 for bare ground."""
    margin = 2 * int(np.ceil(half_lengths.max())) + 1  # a leaf that only just touches the image ends here
    canvas = np.zeros((count, pixels + 2 * margin, pixels + 2 * margin), np.int16)
    for leaf, length in enumerate(half_lengths, start=1):
        reach = int(np.ceil(length))
        centre = generator.uniform(-length, pixels + length, (2, count)).astype(np.float32)
        corner = np.floor(centre).astype(np.intp) - reach
        offset = np.arange(2 * reach + 2, dtype=np.float32)
        y, x = (corner - centre).astype(np.float32)[:, :, None] + offset
        width = length * generator.uniform(*ROUNDNESS, count)
        angle = generator.uniform(0, np.pi, count)
        yy = ((np.cos(angle) / width) ** 2 + (np.sin(angle) / length) ** 2).astype(np.float32)[:, None, None]
        xx = ((np.sin(angle) / width) ** 2 + (np.cos(angle) / length) ** 2).astype(np.float32)[:, None, None]
        yx = (np.sin(2 * angle) * (length**-2 - width**-2)).astype(np.float32)[:, None, None]
        y, x = y[:, :, None], x[:, None, :]
        inside = yy * y * y + xx * x * x + yx * y * x <= 1
        image, row, column = np.nonzero(inside)
        canvas[image, corner[0, image] + row + margin, corner[1, image] + column + margin] = leaf
    return canvas[:, margin:-margin, margin:-margin]


def leaf_colours(
    count: int, leaves: int, generator: np.random.Generator
) -> Float32[np.ndarray, "image leaf 3"]:
    """Colours in about 0..1: each image has its own illumination and contrast, each leaf its own paint."""
    mean = generator.uniform(0.35, 0.6, (count, 1))
    spread = generator.uniform(0.10, 0.26, (count, 1))
    lightness = mean + spread * generator.standard_normal((count, leaves))
    yellow = 0.06 * generator.standard_normal((count, leaves)) + 0.03
    red = 0.03 * generator.standard_normal((count, leaves))
    channels = [lightness + yellow + red, lightness + yellow - red, lightness - yellow]
    return np.stack(channels, -1).astype(np.float32)


def clouds(count: int, pixels: int, generator: np.random.Generator) -> Float32[np.ndarray, "image y x"]:
    """Gaussian noise whose amplitude spectrum is 1/f, of zero mean and unit variance over each image."""
    frequency = np.hypot(np.fft.fftfreq(pixels)[:, None], np.fft.rfftfreq(pixels))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.standard_normal((count, pixels, pixels))) / frequency
    noise = np.fft.irfft2(spectrum, s=(pixels, pixels))
    return (noise / noise.std(axis=(1, 2), keepdims=True)).astype(np.float32)
