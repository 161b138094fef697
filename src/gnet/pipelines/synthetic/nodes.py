"""Nodes of synthetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gnet.analysis.synthetic_responses import synthetic_responses
from gnet.nsd.split import split_trials
from gnet.parameters import Split, Synthetic
from gnet.pipelines.measured import positions, voxels_of


def make_responses(
    voxels: pd.DataFrame,
    subject_images: pd.DataFrame,
    synthetic: Synthetic,
    split: Split,
    gnet8j_predictions: Mapping[str, Any],
    gnet8j_noise_model: Mapping[str, Any],
    gnet8r_predictions: Mapping[str, Any],
    gnet8r_noise_model: Mapping[str, Any],
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Responses, voxels and trials in the form of the measured ones, for every image of every subject.

    They are a model's predictions, z-scored per voxel, once per image; or, with the measured noise, those
    predictions times their gain plus noise of the measured covariance, `repetitions` times. Then `ncsnr`, the
    ratio of signal and noise that measured voxels have too, is known exactly; without noise it is NaN.
    """
    predictions, noise_models = {
        "gnet8j": (gnet8j_predictions, gnet8j_noise_model),
        "gnet8r": (gnet8r_predictions, gnet8r_noise_model),
    }[synthetic.source]
    noisy = synthetic.noise == "measured"
    repetitions = synthetic.repetitions if noisy else 1
    betas, tables, trials = {}, [], []
    for number, subject in enumerate(predictions):
        noise = noise_models[subject].read()
        # voxels with a noise model, once each, in the voxel table's order
        index, first = np.unique(np.asarray(predictions[subject]["voxel_index"]), return_index=True)
        kept = np.isin(index, noise["voxel_index"])
        index, first = index[kept], first[kept]
        images = subject_images[subject_images["subject"] == subject]
        shown = positions(np.asarray(predictions[subject]["image_row"]), images["image_row"].to_numpy())
        predicted = np.asarray(predictions[subject]["predictions"])[shown][:, first]

        order = np.random.default_rng([synthetic.seed, number]).permutation(len(images) * repetitions)
        position = order % len(images)
        table = images.iloc[position].reset_index(drop=True)
        seen = table.groupby("image_row").cumcount()
        table = table.assign(trial=np.arange(len(table)), session=1, repetition=seen + 1)
        trials.append(split_trials(table, "shared", split.holdout_fraction, split.seed))

        row = positions(noise["voxel_index"], index)
        gain, factor = (noise["gain"][row], noise["factor"][row]) if noisy else (None, None)
        responses = synthetic_responses(
            predicted, position, gain=gain, factor=factor, seed=synthetic.seed + number
        )
        betas[subject] = {
            "betas": responses,
            "valid": np.ones((1, len(index)), bool),
            "voxel_index": index,
        }
        snr = np.abs(gain) / np.sqrt((factor**2).sum(1)) if noisy else np.nan
        tables.append(voxels_of(index, voxels, subject).drop(columns="column").assign(ncsnr=snr))
    return betas, pd.concat(tables, ignore_index=True), pd.concat(trials, ignore_index=True)
