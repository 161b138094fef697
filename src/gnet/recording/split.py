"""Train, holdout and test: trials that fit a model, choose its best state, and test it."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from gnet.errors import ParameterError, ReleaseError


def last_trials(position: Int[np.ndarray, " trial"], fraction: float) -> Bool[np.ndarray, " trial"]:
    """The holdout of the published code: the last `fraction` of the trials in time, rounded up.

    Repeats of an image fall on both sides, so the holdout's images are not all new to the model.
    """
    count = _rounded_up(fraction, len(position))
    return np.arange(len(position)) >= len(position) - count


def whole_images(
    position: Int[np.ndarray, " trial"], fraction: float, seed: int
) -> Bool[np.ndarray, " trial"]:
    """A holdout of new images: `fraction` of them, rounded up, drawn by `seed`, with all their trials.

    Differs from the published code: see `last_trials`.
    """
    images = np.unique(position)
    drawn = np.random.default_rng(seed).permutation(images)[: _rounded_up(fraction, len(images))]
    return np.isin(position, drawn)


def split_trials(
    trials: pd.DataFrame,
    rule: str,
    fraction: float,
    seed: int,
    special: Int[np.ndarray, " position"] | None = None,
) -> pd.DataFrame:
    """One subject's trials with their part under each holdout rule: "train", "holdout" or "test".

    Two columns are added, part_last_trials and part_images (see `last_trials` and `whole_images`). In both,
    the trials of "shared" images test, or only those of "special" ones, whose positions are given; `fraction`
    of the others are held out. Raises ParameterError for an unknown rule, special images without positions,
    or a fraction outside of 0 to 1, and ReleaseError if no trial is left to test or to train.
    """
    if not 0 <= fraction < 1:
        raise ParameterError(f"holdout fraction: expected at least 0 and less than 1, got {fraction}.")
    tests = trials["shared"].to_numpy(bool)
    if rule == "special":
        if special is None:
            raise ParameterError(
                "test split 'special': expected the positions of the special images, got none."
            )
        tests = np.isin(trials["position"], special)
    elif rule != "shared":
        raise ParameterError(f"unknown test split {rule!r}: expected one of shared, special.")
    position = trials["position"].to_numpy()[~tests]
    subject = ", ".join(trials["subject"].unique()) or "no subject"
    if not tests.any():
        raise ReleaseError(
            f"{subject}: expected trials of {rule} images to test with, found none among {len(trials):,} "
            "trials. Take more sessions, or the other test split."
        )

    def part(holdout: Callable[..., Bool[np.ndarray, " trial"]], **draw: int) -> np.ndarray:
        held = holdout(position, fraction, **draw)
        if held.all():
            raise ReleaseError(
                f"{subject}: expected trials to train with, found {len(position):,} beside the test trials, "
                f"of which {held.sum():,} are held out. Take more sessions, or a smaller holdout fraction."
            )
        parts = np.full(len(trials), "test", dtype=object)
        parts[~tests] = np.where(held, "holdout", "train")
        return parts

    return trials.assign(part_last_trials=part(last_trials), part_images=part(whole_images, seed=seed))


def image_average(
    responses: Float[np.ndarray, "trial voxel"], position: Int[np.ndarray, " trial"]
) -> tuple[Int[np.ndarray, " image"], Float[np.ndarray, "image voxel"], Int[np.ndarray, " image"]]:
    """Mean response to each image, the images ascending, and the number of trials in each mean.

    `position` is any number that tells images apart. A NaN trial makes its image's mean NaN for that voxel,
    so that the count of trials holds for every voxel that has a number.
    """
    images, count = np.unique(position, return_counts=True)
    if not len(images):
        return images, responses[:0], count
    in_order = responses[np.argsort(position, kind="stable")]
    total = np.add.reduceat(in_order, np.cumsum(count) - count, axis=0, dtype=np.float64)
    return images, (total / count[:, None]).astype(responses.dtype), count


def _rounded_up(fraction: float, count: int) -> int:
    return math.ceil(round(fraction * count, 9))  # 0.07 * 100 is a little more than 7
