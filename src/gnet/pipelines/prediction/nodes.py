"""Nodes of prediction. Torch is imported where it is used: listing pipelines must not cost seconds."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gnet.analysis.noise_model import noise_model
from gnet.pipelines.fit_and_score.nodes import score_voxels
from gnet.pipelines.parameters import Fitting, Images, Prediction, Scoring
from gnet.pipelines.selecting import (
    common_subjects,
    model_voxels,
    positions,
    reasons_excluded,
    scoring_trials,
    voxels_of,
)
from gnet.recording.pictures import read_pictures

if TYPE_CHECKING:  # imports torch
    from gnet.models.checkpoints import FittedModel

log = logging.getLogger(__name__)


def predict_images(
    images: np.ndarray,
    image_ids: np.ndarray,
    subject_images: pd.DataFrame,
    voxels: pd.DataFrame,
    prediction: Prediction,
    fitting: Fitting,
    *models: Mapping[str, Any],
) -> dict[str, Callable[[], dict[str, Any]]]:
    """For each subject: responses to every image, and whose they are.

    `prediction.images` says which images: those planned for the subject, or for any subject in use. Voxels of
    several models (one per area) stand side by side.
    """
    ids = np.asarray(image_ids)

    def rows(subject: str) -> np.ndarray:
        if prediction.images == "release":
            return np.arange(len(images))
        return subject_images.loc[subject_images["subject"] == subject, "image_row"].to_numpy()

    def identity(chosen: np.ndarray) -> dict[str, np.ndarray]:
        return {"image_row": chosen, "image_id": ids[chosen]}

    return _predictions(images, rows, identity, voxels, prediction, fitting, models)


def predict_pictures(
    voxels: pd.DataFrame,
    preparation: Images,
    prediction: Prediction,
    fitting: Fitting,
    *models: Mapping[str, Any],
) -> dict[str, Callable[[], dict[str, Any]]]:
    """For each subject: responses to the pictures in the folder `prediction.folder`, by file name."""
    pictures, names = read_pictures(prediction.folder, preparation.pixels, preparation.resampling)
    return _predictions(
        pictures,
        lambda subject: np.arange(len(pictures)),
        lambda chosen: {"name": names[chosen]},
        voxels,
        prediction,
        fitting,
        models,
    )


def _predictions(
    images: np.ndarray,
    rows: Callable[[str], np.ndarray],
    identity: Callable[[np.ndarray], dict[str, np.ndarray]],
    voxels: pd.DataFrame,
    prediction: Prediction,
    fitting: Fitting,
    models: tuple[Mapping[str, Any], ...],
) -> dict[str, Callable[[], dict[str, Any]]]:
    """Each subject's predictions, made when their turn to be stored comes."""
    from gnet.evaluation.prediction import predicted_blocks

    fitted = _on_device(models, fitting)

    def one_subject(subject: str) -> dict[str, Any]:
        chosen = rows(subject)
        of_subject = [model for model in fitted if subject in model.voxel_index]
        tables = [model_voxels(model, voxels, subject) for model in of_subject]
        return {
            **identity(chosen),
            "voxel_index": np.concatenate([table["voxel_index"] for table in tables]),
            "area": np.concatenate([table["area"].to_numpy(str) for table in tables]),
            "predictions": predicted_blocks(
                [model.network for model in of_subject],
                subject,
                images,
                chosen,
                batch_size=prediction.batch_size,
            ),
        }

    return {subject: partial(one_subject, subject) for subject in common_subjects(fitted, voxels)}


def fit_noise_model(
    predictions: Mapping[str, Any], betas: Mapping[str, Any], voxels: pd.DataFrame, trials: pd.DataFrame
) -> dict[str, Callable[[], dict[str, Any]]]:
    """For each subject: gain, covariance and factor of the noise in its test trials."""

    def one_subject(subject: str) -> dict[str, Any]:
        index = np.asarray(predictions[subject]["voxel_index"])
        tests = scoring_trials(betas, trials, subject, voxels_of(index, voxels, subject)["column"].to_numpy())
        row = positions(np.asarray(predictions[subject]["image_row"]), tests.image_row)
        predicted = np.asarray(predictions[subject]["predictions"])[row]
        varies = (predicted.std(0) > 0) & (tests.response.std(0) > 0)
        model = noise_model(tests.response[:, varies], predicted[tests.trial_image][:, varies])
        return {
            "voxel_index": index[varies],
            "gain": model.gain,
            "covariance": model.covariance,
            "factor": model.factor,
        }

    return {subject: partial(one_subject, subject) for subject in predictions}


def score_imported(
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    imported: Mapping[str, Any],
    scoring: Scoring,
    fitting: Fitting,
) -> pd.DataFrame:
    """Accuracy on the test trials of this release, of every voxel that one of the imported models has.

    Who fitted the model may have held out other trials: then it was fitted to some of these.
    """
    models = _on_device([imported], fitting)
    tables = []
    for subject in common_subjects(models, voxels):
        excluded = reasons_excluded(betas, subject)
        for model in (model for model in models if subject in model.voxel_index):
            table = model_voxels(model, voxels, subject)
            table = table.assign(excluded=excluded[table["column"]])
            there = int((voxels["subject"].eq(subject) & voxels["area"].isin(model.areas)).sum())
            if there > len(table):
                log.warning(
                    "%s: the imported model of %s has %s of the %s voxels here; others are not predicted.",
                    *(subject, ", ".join(model.areas), f"{len(table):,}", f"{there:,}"),
                )
            tables.append(
                score_voxels(model.network, images, betas, table, trials, scoring, knows_excluded=True)
            )
    return pd.concat(tables, ignore_index=True)


def _on_device(stored: Sequence[Mapping[str, Any]], fitting: Fitting) -> list[FittedModel]:
    """All models of some datasets, where they are to compute."""
    from gnet.models.device import resolve_device
    from gnet.models.files import models_in

    models = [model for dataset in stored for model in models_in(dataset)]
    device = resolve_device(fitting.device)
    for model in models:
        model.network.to(device)
    return models
