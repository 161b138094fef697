"""Nodes shared by the encoding, transfer and synthetic pipelines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from gnet.analysis.seeds import settings_digest
from gnet.analysis.transfer_matrix import index_table, shift_table, transfer_matrix
from gnet.evaluation.accuracy import score_voxels
from gnet.evaluation.prediction import PrefilteredImages, predict
from gnet.fitting.loop import seeded
from gnet.fitting.models import fit_data, fit_model, transferred
from gnet.fitting.stepper import Procedure
from gnet.models.checkpoints import FittedModel
from gnet.models.device import resolve_device
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import Weights
from gnet.pipelines.parameters import Choices, Fitting, Images, Model, Protocols, Scoring, Transfer
from gnet.pipelines.selecting import positions
from gnet.recording.measurements import Measurements, scored_trials
from gnet.recording.pictures import mean_colour

FITTED_BY = {"batch_size", "trunk_learning_rate", "readout_learning_rate", "l1", "precision", "compiled"}
"""Parameters of `fitting` that are the procedure's own."""
INHERITED = ("resampling", "prefilter")
"""What a model with another's trunk records as that one did."""


def fit_gnet(  # noqa: PLR0913 - the last two are for the record only
    images: np.ndarray,
    measured: Measurements,
    prefilter: Weights,
    model: Model,
    fitting: Fitting,
    protocols: Protocols,
    preparation: Images,
    source: str,
    *,
    kind: str,
) -> FittedModel:
    """Fit one trunk and a readout for each subject to the voxels.

    `source` is that of the prefilter's weights. `kind` is joint, area-wise, or untrained: as joint, with a
    trunk whose weights stay as they were drawn. Only its normalisation adapts to the images.
    """
    choices, seed = fitting.choices(protocols), chosen_seed(fitting)
    rule = choices.input_mean_area if kind == "area-wise" else choices.input_mean_joint
    mean = input_mean(images, measured, rule, choices.holdout)
    architecture = Architecture(pixels=images.shape[-1], **dict(model))
    with seeded(seed):
        network = GNet(architecture, readout_sizes(measured), prefilter=prefilter, input_mean=mean)
    recorded = {"kind": kind, "trunk_areas": list(measured.areas), "prefilter": source}
    recorded |= {"resampling": preparation.resampling}
    trunk = "drifting" if kind == "untrained" else "trained"
    return fit(network, images, measured, fitting, choices, seed=seed, trunk=trunk, recorded=recorded)


def fit_transfer(
    images: np.ndarray,
    measured: Measurements,
    source: FittedModel,
    model: Model,
    fitting: Fitting,
    protocols: Protocols,
) -> FittedModel:
    """Fit new readouts for all voxels to the trunk of another model, whose weights stay fixed.

    The protocol's `frozen_trunk` decides whether the running statistics of the trunk change.
    """
    choices, seed = fitting.choices(protocols), chosen_seed(fitting)
    form = {"readout": model.readout, "dropout": model.dropout, "trainable_prefilter": False}
    with seeded(seed):
        network = transferred(source.network, replace(source.architecture, **form), readout_sizes(measured))
    kept = {name: source.configuration[name] for name in INHERITED if name in source.configuration}
    recorded = {"kind": "transfer", "trunk_areas": list(source.areas), **kept}
    trunk = choices.frozen_trunk
    return fit(network, images, measured, fitting, choices, seed=seed, trunk=trunk, recorded=recorded)


def fit(
    network: GNet,
    images: np.ndarray,
    measured: Measurements,
    fitting: Fitting,
    choices: Choices,
    *,
    seed: int,
    trunk: str,
    recorded: Mapping[str, object],
) -> FittedModel:
    """Fit a network as the parameters say; the model records them in addition to the procedure."""
    device = resolve_device(fitting.device)
    chosen = choices.model_dump()
    return fit_model(
        network.to(device),
        fit_data(measured, holdout=choices.holdout, means=choices.responses == "image_means"),
        images,
        procedure=Procedure(
            trunk=trunk,
            cache_bytes=int(fitting.cache_gigabytes * 1e9),
            **{name: chosen[name] for name in ("update", "batches", "epochs")},
            **fitting.model_dump(include=FITTED_BY),
        ),
        seed=seed,
        areas=measured.areas,
        settings={**recorded, "protocol": fitting.protocol, **chosen, "device": str(device)},
        state=fitting.state,
    )


def chosen_seed(fitting: Fitting) -> int:
    """The configured seed; if it is null one from the clock (published code)."""
    return time.time_ns() % 2**32 if fitting.seed is None else fitting.seed


def input_mean(images: np.ndarray, measured: Measurements, rule: str, holdout: str) -> np.ndarray:
    """Mean colour, subtracted from all images, of the images that the rule selects."""
    trials = measured.trials
    first = trials[trials["subject"] == measured.fitted["subject"].iloc[0]]
    averaged = {
        "seen_images": first,
        "unshared_images": first[~first["shared"]],
        "training_images": trials[trials[f"part_{holdout}"] == "train"],
    }[rule]
    return mean_colour(images, np.unique(averaged["image_row"]))


def readout_sizes(measured: Measurements) -> dict[str, int]:
    """Number of fitted voxels of each subject."""
    return measured.fitted.groupby("subject", sort=False).size().to_dict()


def score_gnet(
    images: np.ndarray, measured: Measurements, fitted: FittedModel, scoring: Scoring, fitting: Fitting
) -> pd.DataFrame:
    """Accuracy of every voxel on the test trials; excluded voxels have rows with NaN."""
    network = fitted.network.to(resolve_device(fitting.device))
    tables = []
    for subject, voxels in measured.voxels.groupby("subject", sort=False):
        kept = voxels[voxels["excluded"] == ""]
        tests = scored_trials(
            measured.responses[subject], measured.trials, subject, kept["column"].to_numpy()
        )
        source = PrefilteredImages(network, images, tests.image_row)
        predicted = predict(network, subject, source, tests.image_row, batch_size=scoring.batch_size)
        column = positions(fitted.voxels[subject].index, kept["voxel_index"].to_numpy())
        predicted = predicted.take(column, axis=1)  # an imported model has voxels that are excluded here
        tables.append(score_voxels(predicted, tests, voxels, resamples=scoring.resamples, seed=scoring.seed))
    return pd.concat(tables, ignore_index=True)


def gather(**accuracies: pd.DataFrame) -> pd.DataFrame:
    """Concatenate the accuracy tables of several models."""
    return pd.concat(accuracies.values(), ignore_index=True)


def gather_by_trunk(**accuracies: pd.DataFrame) -> pd.DataFrame:
    """Concatenate the accuracy tables of the transfer models; `trunk` is the area of the trunk."""
    return gather(**{area: table.assign(trunk=area) for area, table in accuracies.items()})


def measure_transfer(
    transfer: Transfer, own: pd.DataFrame, transferred: pd.DataFrame, **models: FittedModel
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The transfer matrix and the hierarchy index, by subject and pooled over subjects.

    The index records `protocol`, `seed` and `settings`, a digest shared by results that differ only in the
    seed (`gnet.analysis.seeds`). Values that differ between fits are joined by a plus.
    """
    areas = tuple(dict.fromkeys(transferred["trunk"]))
    shifts = shift_table(own, dict(iter(transferred.groupby("trunk", sort=False))))
    index = index_table(shifts, areas, resamples=transfer.resamples, seed=transfer.seed)
    fits = [model.configuration for model in models.values()]
    forms = [model.architecture.as_dict() for model in models.values()]
    return transfer_matrix(shifts, areas), index.assign(
        protocol="+".join(dict.fromkeys(str(fit["protocol"]) for fit in fits)),
        seed="+".join(dict.fromkeys(str(fit["seed"]) for fit in fits)),
        settings=settings_digest([*fits, *forms]),
    )
