"""Nodes of tuning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gnet.analysis.receptive_fields import FIELD_OF_VIEW, fit_ellipses, size_eccentricity
from gnet.analysis.tuning import average_table, tuning_scores, tuning_table
from gnet.evaluation.prediction import PrefilteredImages, partition_contributions
from gnet.evaluation.resampling import draw_images, draw_trials
from gnet.models.checkpoints import FittedModel
from gnet.models.device import resolve_device
from gnet.models.partitions import partitions
from gnet.models.trunk import grid_positions
from gnet.pipelines.parameters import Fitting, Tuning
from gnet.pipelines.selecting import model_voxels
from gnet.recording.measurements import scored_trials
from gnet.recording.responses import Responses


def measure_tuning(
    images: np.ndarray,
    betas: Mapping[str, Responses],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    tuning: Tuning,
    fitting: Fitting,
    **models: FittedModel,
) -> pd.DataFrame:
    """Specific and unique shares of all parts of the features, for every voxel and partition."""
    draw = {"trials": draw_trials, "images": draw_images}[tuning.resample]
    tables = []
    for model in models.values():
        network = model.network.to(resolve_device(fitting.device))
        layers = partitions(model.architecture)["layerwise"]
        for subject in model.voxels:
            table = model_voxels(model, voxels, subject)
            tests = scored_trials(betas[subject], trials, subject, table["column"].to_numpy())
            draws = draw(tests.trial_image, tuning.resamples, tuning.seed)
            source, size = PrefilteredImages(network, images, tests.image_row), tuning.batch_size
            by_layer = partition_contributions(
                network, subject, source, tests.image_row, list(layers.values()), batch_size=size
            )
            bias = network.readout(subject).bias.detach().cpu().numpy()
            for name, parts in partitions(model.architecture).items():
                # every partition is coarser than the layers, so its contributions are sums over layers
                member = [[(part & layer).any() for layer in layers.values()] for part in parts.values()]
                contributions = np.einsum("pl,liv->piv", np.array(member, by_layer.dtype), by_layer)
                scores = tuning_scores(contributions, bias, tests.response, tests.trial_image, draws)
                shares = tuning_table(scores, list(parts))
                identity = table[["subject", "voxel_index", "area"]].iloc[shares.pop("voxel")]
                tables.append(pd.concat([identity.reset_index(drop=True), shares], axis=1))
                tables[-1].insert(3, "partition", name)
    return pd.concat(tables, ignore_index=True)


def average_tuning(**tuning: pd.DataFrame) -> pd.DataFrame:
    """Mean shares by area and subject, and of the group of subjects, for every model."""
    averages = {model.removesuffix("_tuning"): average_table(table) for model, table in tuning.items()}
    return pd.concat([table.assign(model=model) for model, table in averages.items()], ignore_index=True)


def fit_receptive_fields(voxels: pd.DataFrame, **models: FittedModel) -> pd.DataFrame:
    """Centre, size and shape of every voxel's pooling field on the fine grid, in degrees of visual angle."""
    tables = []
    for model in models.values():
        fine, _ = grid_positions(model.architecture.pixels)
        for subject in model.voxels:
            table = model_voxels(model, voxels, subject)[["subject", "voxel_index", "area"]]
            fields = model.network.readout(subject).fine_fields().detach().numpy()
            ellipses = fit_ellipses(fields, FIELD_OF_VIEW * fine, -FIELD_OF_VIEW * fine)
            tables.append(table.join(ellipses.table()))
    return pd.concat(tables, ignore_index=True)


def fit_size_eccentricity(**fields: pd.DataFrame) -> pd.DataFrame:
    """Regression of field size on eccentricity in each area and subject, for every model."""
    rows = []
    for model, table in fields.items():
        name = model.removesuffix("_receptive_fields")
        for (area, subject), voxels in table[table["determined"]].groupby(["area", "subject"]):
            size = voxels["size"]
            slope, foveal = size_eccentricity(voxels["eccentricity"].to_numpy(), size.to_numpy())
            rows.append((name, area, subject, len(voxels), slope, foveal, size.median()))
    columns = ["model", "area", "subject", "voxels", "slope", "size_at_centre", "median_size"]
    return pd.DataFrame(rows, columns=columns)
