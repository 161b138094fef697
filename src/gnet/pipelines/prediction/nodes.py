"""Nodes of prediction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from gnet.analysis.noise_model import NoiseModel, noise_model
from gnet.evaluation.prediction import SubjectPredictions, predicted_blocks
from gnet.models.checkpoints import FittedModel
from gnet.models.device import resolve_device
from gnet.pipelines.fit_and_score.nodes import score_gnet
from gnet.pipelines.parameters import Fitting, Images, Prediction, Scoring
from gnet.pipelines.selecting import common_subjects, model_voxels, models_of, positions, voxels_of
from gnet.recording.measurements import Measurements, scored_trials
from gnet.recording.pictures import read_pictures
from gnet.recording.responses import Responses

log = logging.getLogger(__name__)

Predictions = dict[str, Callable[[], SubjectPredictions]]
"""By subject, made when their turn to be stored comes."""


def predict_images(
    images: np.ndarray,
    image_ids: np.ndarray,
    subject_images: pd.DataFrame,
    voxels: pd.DataFrame,
    prediction: Prediction,
    fitting: Fitting,
    **models: FittedModel | list[FittedModel],
) -> Predictions:
    """Responses of each subject to every image planned for it, or for any subject in use.

    `prediction.images` says which of the two. Voxels of several models (one per area) stand side by side.
    """

    def shown(subject: str) -> dict[str, np.ndarray]:
        rows = np.arange(len(images))
        if prediction.images == "subject":
            rows = subject_images.loc[subject_images["subject"] == subject, "image_row"].to_numpy()
        return {"image_row": rows, "image_id": np.asarray(image_ids)[rows]}

    return _predictions(models, voxels, images, shown, prediction.batch_size, fitting)


def predict_pictures(
    voxels: pd.DataFrame, images: Images, prediction: Prediction, fitting: Fitting, **models: FittedModel
) -> Predictions:
    """Responses of each subject to the pictures in the folder `prediction.folder`, by file name."""
    pictures, names = read_pictures(prediction.folder, images.pixels, images.resampling)
    return _predictions(models, voxels, pictures, lambda _: {"name": names}, prediction.batch_size, fitting)


def _predictions(
    models: Mapping[str, FittedModel | list[FittedModel]],
    voxels: pd.DataFrame,
    images: np.ndarray,
    shown: Callable[[str], dict[str, np.ndarray]],
    batch_size: int,
    fitting: Fitting,
) -> Predictions:
    """Responses to the images that are `shown` to each subject: `image_row` among them, or else all."""
    fitted, device = models_of(models), resolve_device(fitting.device)
    for model in fitted:
        model.network.to(device)

    def one_subject(subject: str) -> SubjectPredictions:
        own = [model for model in fitted if subject in model.voxels]
        tables = [model_voxels(model, voxels, subject) for model in own]
        networks, first, names = [model.network for model in own], own[0].voxels[subject], shown(subject)
        rows = names.get("image_row", np.arange(len(images)))
        return SubjectPredictions(
            predicted_blocks(networks, subject, images, rows, batch_size=batch_size),
            np.concatenate([table["voxel_index"] for table in tables]),
            np.concatenate([table["area"].to_numpy(str) for table in tables]),
            volume_shape=None if first.shape is None else np.array(first.shape),
            affine=first.affine,
            **names,
        )

    return {subject: partial(one_subject, subject) for subject in common_subjects(fitted, voxels)}


def fit_noise_model(
    predictions: Mapping[str, SubjectPredictions],
    betas: Mapping[str, Responses],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
) -> dict[str, Callable[[], NoiseModel]]:
    """For each subject: gain, covariance and factor of the noise in its test trials."""

    def one_subject(subject: str) -> NoiseModel:
        predicted = predictions[subject]
        index = predicted.voxel_index
        columns = voxels_of(index, voxels, subject)["column"].to_numpy()
        tests = scored_trials(betas[subject], trials, subject, columns)
        rows = positions(predicted.image_row, tests.image_row)
        expected = predicted.of(rows, np.arange(len(index)))
        varies = (expected.std(0) > 0) & (tests.response.std(0) > 0)
        return noise_model(tests.response[:, varies], expected[tests.trial_image][:, varies], index[varies])

    return {subject: partial(one_subject, subject) for subject in predictions}


def score_imported(
    images: np.ndarray,
    betas: Mapping[str, Responses],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    imported: list[FittedModel],
    scoring: Scoring,
    fitting: Fitting,
) -> pd.DataFrame:
    """Accuracy on the test trials of this recording, of every voxel that one of the imported models has.

    Whoever fitted the model may have held out other trials: then it was fitted to some of these.
    """
    models, tables = models_of({"imported": imported}), []
    for subject in common_subjects(models, voxels):
        excluded = betas[subject].reasons_excluded
        for model in (model for model in models if subject in model.voxels):
            table = model_voxels(model, voxels, subject)
            table["excluded"] = excluded[table["column"]]
            there = int((voxels["subject"].eq(subject) & voxels["area"].isin(model.areas)).sum())
            if there > len(table):
                log.warning(
                    "%s: the imported model of %s has %s of the %s voxels here; others are not predicted.",
                    *(subject, ", ".join(model.areas), f"{len(table):,}", f"{there:,}"),
                )
            measured = Measurements(table, trials, betas, model.areas)
            tables.append(score_gnet(images, measured, model, scoring, fitting))
    return pd.concat(tables, ignore_index=True)
