"""Nodes of synthetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gnet.analysis.synthetic_responses import synthetic_responses
from gnet.pipelines.parameters import Split, Synthetic
from gnet.pipelines.selecting import positions, voxels_of
from gnet.recording.split import split_trials

Responses = tuple[dict[str, Callable[[], dict[str, Any]]], pd.DataFrame, pd.DataFrame]


def make_chosen_responses(
    voxels: pd.DataFrame,
    subject_images: pd.DataFrame,
    synthetic: Synthetic,
    split: Split,
    gnet8j_predictions: Mapping[str, Any],
    gnet8j_noise_model: Mapping[str, Any],
    gnet8r_predictions: Mapping[str, Any],
    gnet8r_noise_model: Mapping[str, Any],
) -> Responses:
    """`make_responses` of the joint or of the area-wise models, as `synthetic.source` says."""
    source = {
        "gnet8j": (gnet8j_predictions, gnet8j_noise_model),
        "gnet8r": (gnet8r_predictions, gnet8r_noise_model),
    }[synthetic.source]
    return make_responses(voxels, subject_images, synthetic, split, *source)


def make_responses(
    voxels: pd.DataFrame,
    subject_images: pd.DataFrame,
    synthetic: Synthetic,
    split: Split,
    predictions: Mapping[str, Any],
    noise_models: Mapping[str, Any],
) -> Responses:
    """Responses, voxels and trials in the form of the measured ones, for every image of every subject.

    They are a model's predictions, z-scored per voxel, once per image; or, with the measured noise, those
    predictions times their gain plus noise of the measured covariance, `repetitions` times. Then `ncsnr`, the
    ratio of signal and noise that measured voxels have too, is known exactly; without noise it is NaN.
    Responses of a subject are made when their turn to be stored comes.
    """
    noisy = synthetic.noise == "measured"
    betas, tables, trials = {}, [], []
    for number, subject in enumerate(predictions):
        images = subject_images[subject_images["subject"] == subject]
        repetitions = synthetic.repetitions if noisy else 1
        order = np.random.default_rng([synthetic.seed, number]).permutation(len(images) * repetitions)
        position = order % len(images)
        table = images.iloc[position].reset_index(drop=True)
        seen = table.groupby("image_row").cumcount()
        table = table.assign(trial=np.arange(len(table)), session=1, repetition=seen + 1)
        trials.append(split_trials(table, "shared", split.holdout_fraction, split.seed))

        predicted, noise = predictions[subject], noise_models[subject]
        # voxels with a noise model, once each, in the voxel table's order
        index = np.intersect1d(predicted["voxel_index"], noise["voxel_index"])
        image_row = images["image_row"].to_numpy()
        betas[subject] = partial(
            _responses, predicted, noise, index, image_row, position, noisy, synthetic.seed + number
        )
        snr = np.nan
        if noisy:
            gain, factor = _gain_and_factor(noise, index)
            snr = np.abs(gain) / np.sqrt((factor**2).sum(1))
        tables.append(voxels_of(index, voxels, subject).drop(columns="column").assign(ncsnr=snr))
    return betas, pd.concat(tables, ignore_index=True), pd.concat(trials, ignore_index=True)


def _responses(
    predictions: Mapping[str, Any],
    noise: Mapping[str, Any],
    index: np.ndarray,
    image_row: np.ndarray,
    position: np.ndarray,
    noisy: bool,
    seed: int,
) -> dict[str, Any]:
    """One subject's responses, as betas are stored."""
    shown = positions(np.asarray(predictions["image_row"]), image_row)
    column = positions(np.asarray(predictions["voxel_index"]), index)
    predicted = predictions["predictions"].columns(column, shown)
    gain, factor = _gain_and_factor(noise, index) if noisy else (None, None)
    return {
        "betas": synthetic_responses(predicted, position, gain, factor, seed),
        "valid": np.ones((1, len(index)), bool),
        "voxel_index": index,
    }


def _gain_and_factor(noise: Mapping[str, Any], index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a stored noise model, the rows of some voxels."""
    row = positions(np.asarray(noise["voxel_index"]), index)
    return np.asarray(noise["gain"])[row], np.asarray(noise["factor"])[row]
