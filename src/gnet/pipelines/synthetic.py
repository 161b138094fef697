"""The experiment repeated on responses that a fitted model made: every model and the transfer analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline

from gnet.analysis.noise_model import NoiseModel
from gnet.analysis.synthetic_responses import synthetic_responses
from gnet.evaluation.prediction import SubjectPredictions
from gnet.pipelines.fit_and_score import pipeline as template
from gnet.pipelines.parameters import Split, Synthetic
from gnet.pipelines.selecting import by_keyword, positions, voxels_of
from gnet.recording.responses import Responses
from gnet.recording.split import split_trials

Experiment = tuple[dict[str, Callable[[], Responses]], pd.DataFrame, pd.DataFrame]
"""Responses by subject, voxels, trials."""


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines on responses of a model that was fitted here."""
    parts = [f"{model}_{part}" for model in ("gnet8j", "gnet8r") for part in ("predictions", "noise_model")]
    return experiment("synthetic", areas, make_chosen_responses, by_keyword(*parts))


def create_imported_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The same on responses of an imported model: not part of the default, because it needs one."""
    parts = {"predictions": "imported_predictions", "noise_models": "imported_noise_model"}
    return experiment("synthetic_imported", areas, make_responses, parts)


def experiment(
    name: str, areas: tuple[str, ...], function: Callable[..., Any], parts: dict[str, str]
) -> Pipeline:
    """In a namespace of its name: responses of what models predict, every model, the transfer analysis."""
    inputs = by_keyword("voxels", "subject_images", "params:synthetic", "params:split") | parts
    outputs = [f"{name}.betas", f"{name}.voxels", f"{name}.trials"]
    responses = Node(function, inputs, outputs, name=f"make_{name}_responses", namespace=name)
    models = (template.joint_model, template.area_models, template.transfer_models)
    fits = sum((fit(areas) for fit in models), template.transfer_analysis(areas))
    shared, parameters = {"images", "prefilter"}, template.parameters_of(fits)
    return Pipeline([responses]) + Pipeline(fits, namespace=name, inputs=shared, parameters=parameters)


def make_chosen_responses(
    voxels: pd.DataFrame, subject_images: pd.DataFrame, synthetic: Synthetic, split: Split, **models: Any
) -> Experiment:
    """`make_responses` from the joint or the area-wise models, as set by `synthetic.source`."""
    source = [models[f"{synthetic.source}_{part}"] for part in ("predictions", "noise_model")]
    return make_responses(voxels, subject_images, synthetic, split, *source)


def make_responses(
    voxels: pd.DataFrame,
    subject_images: pd.DataFrame,
    synthetic: Synthetic,
    split: Split,
    predictions: Mapping[str, SubjectPredictions],
    noise_models: Mapping[str, NoiseModel],
) -> Experiment:
    """Synthetic responses, voxels and trials, in the form of the measured ones, for all images.

    Without noise, one trial per image: the model's predictions, z-scored per voxel; `ncsnr` is NaN. With
    measured noise, `repetitions` trials per image: the predictions times their gain plus noise with the
    measured covariance; `ncsnr`, the ratio of signal to noise, is then known exactly.
    """
    noisy, repetitions = synthetic.noise == "measured", synthetic.repetitions
    betas, tables, trials = {}, [], []
    for number, subject in enumerate(predictions):
        images = subject_images[subject_images["subject"] == subject]
        count = len(images) * (repetitions if noisy else 1)
        position = np.random.default_rng([synthetic.seed, number]).permutation(count) % len(images)
        table = images.iloc[position].reset_index(drop=True)
        seen = table.groupby("image_row").cumcount()
        table = table.assign(trial=np.arange(count), session=1, repetition=seen + 1)
        trials.append(split_trials(table, "shared", split.holdout_fraction, split.seed))

        predicted, noise = predictions[subject], noise_models[subject]
        # voxels with a noise model, once each, in the order of the voxel table
        index = np.intersect1d(predicted.voxel_index, noise.voxel_index)
        image_row = images["image_row"].to_numpy()
        seed = [synthetic.seed, number, 1]  # differs from that of the order and between subjects
        used = noise if noisy else None
        betas[subject] = partial(_responses, predicted, used, index, image_row, position, seed)
        snr = np.nan
        if noisy:
            gain, factor = noise.of(positions(noise.voxel_index, index))
            snr = np.abs(gain) / np.sqrt((factor**2).sum(1))
        tables.append(voxels_of(index, voxels, subject).drop(columns="column").assign(ncsnr=snr))
    return betas, pd.concat(tables, ignore_index=True), pd.concat(trials, ignore_index=True)


def _responses(
    predicted: SubjectPredictions,
    noise: NoiseModel | None,
    index: np.ndarray,
    image_row: np.ndarray,
    position: np.ndarray,
    seed: list[int],
) -> Responses:
    """Synthetic responses of one subject."""
    images, columns = positions(predicted.image_row, image_row), positions(predicted.voxel_index, index)
    gain, factor = (None, None) if noise is None else noise.of(positions(noise.voxel_index, index))
    return Responses(
        synthetic_responses(predicted.of(images, columns), position, gain, factor, seed),
        np.ones((1, len(index)), bool),
        index,
        predicted.volume_shape,
        predicted.affine,
    )
