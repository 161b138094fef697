"""How much of a voxel's response any model of the image could explain, from repeated presentations."""

import numpy as np
from jaxtyping import Float, Int, Num

from gnet.errors import ParameterError


def ncsnr(
    zscored: Float[np.ndarray, "trial voxel"], image: Int[np.ndarray, " trial"], repetitions: int = 3
) -> Float[np.ndarray, " voxel"]:
    """Noise-ceiling signal-to-noise ratio, sigma_signal / sigma_noise (Allen et al. 2022, NSD).

    The noise variance is the unbiased variance over an image's trials, averaged over the images with exactly
    `repetitions` trials. Because responses are z-scored within each session, the signal variance is 1 minus
    the noise variance, but at least 0. `image` is any number that tells images apart.

    NaN where it cannot be computed: for a voxel without one image whose trials are all finite, or without any
    variation between them. An image with a NaN trial is left out for that voxel alone.

    >>> responses = np.array([[1.5, 1.0], [0.5, 1.0], [1.0, 1.0], [-1.5, -1.0], [-0.5, -1.0], [-1.0, -1.0]])
    >>> ncsnr(responses, np.array([7, 7, 7, 9, 9, 9])).round(3)  # the second voxel repeats without noise
    array([1.732,   nan])
    """
    _, first, count = np.unique(image, return_index=True, return_counts=True)
    complete = np.isin(image, image[first[count == repetitions]])
    by_image = np.flatnonzero(complete)[np.argsort(image[complete], kind="stable")]
    repeated = zscored[by_image].reshape(-1, repetitions, zscored.shape[1])
    variance = repeated.var(axis=1, ddof=1)
    usable = np.isfinite(variance)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = np.where(usable, variance, 0).sum(axis=0, dtype=np.float64) / usable.sum(axis=0)
        signal = np.maximum(0, 1 - noise)
        return np.where(noise > 0, np.sqrt(signal / noise), np.nan)


def noise_ceiling(
    ncsnr: Float[np.ndarray, "*voxels"], repetitions: int | Num[np.ndarray, " image"] = 1
) -> Float[np.ndarray, "*voxels"]:
    """Ceiling on the explained variance, in percent: 100 ncsnr^2 / (ncsnr^2 + 1/n); NaN stays NaN.

    `repetitions` is the number n of trials averaged into each response, or one such number per image. Images
    averaged over 3, 2 and 1 trials, A, B and C of each, make 1/n = (A/3 + B/2 + C) / (A + B + C): the mean
    noise variance that remains. Raises ParameterError for no image, or one with fewer than one trial.

    >>> noise_ceiling(np.array([1.0, 0.5, np.nan]))
    array([50., 20., nan])
    >>> noise_ceiling(np.array([1.0]), repetitions=np.array([3, 1])).round(1)  # 1/n = 2/3
    array([60.])
    """
    counts = np.atleast_1d(repetitions)
    if not counts.size or counts.min() < 1:
        found = f"the smallest of them {counts.min()}" if counts.size else "none"
        raise ParameterError(
            f"repetitions: expected one trial or more for each image, found {found}. "
            "Leave out the images that were never shown."
        )
    noise = float(np.mean(1 / counts))
    return 100 * ncsnr**2 / (ncsnr**2 + noise)
