"""What accuracies mean: the same voxels, predicted by trunks that learned nothing, or everything.

- `untrained_gnet8j`: the joint model with a random trunk that stays as it is; readouts are fitted as ever.
- `prefilter`: ridge regression on the maps of the prefilter, under the receptive fields of the joint model.
- `planted`: ridge regression on the planted maps under the planted fields: what a trunk could reach that had
  learned everything. Of simulated data only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from kedro.pipeline import Node, Pipeline

from gnet.analysis.comparison import control_table
from gnet.evaluation.accuracy import score_voxels
from gnet.fitting.models import fit_data
from gnet.fitting.ridge import pool, ridge_predictions
from gnet.models.checkpoints import FittedModel
from gnet.models.prefilter import MAPS
from gnet.pipelines.fit_and_score import pipeline as template
from gnet.pipelines.parameters import Fitting, Protocols, Scoring, Simulation
from gnet.pipelines.selecting import positions
from gnet.recording.measurements import Measurements, scored_trials
from gnet.recording.reader import Reader
from gnet.simulation import stages
from gnet.simulation.release import SimulationPlan, simulate

FITS = ["params:fitting", "params:protocols", "params:scoring"]


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The controls, their accuracies, and how far the models are above them."""
    measured = ["images", "gnet8j_voxels", "trials", "betas"]
    prefilter = template.measuring(score_prefilter, areas)
    planted = template.measuring(score_planted, areas)
    simulated = ["recording", "params:simulation", "params:release.sessions"]
    compared = ["gnet8j", "gnet8r", "untrained_gnet8j", "prefilter", "planted"]
    accuracies = {name: f"{name}_accuracy" for name in compared}
    return template.fit_of_kind("untrained", "untrained_gnet8j", areas) + Pipeline(
        [
            Node(prefilter, [*measured, "gnet8j", *FITS], "prefilter_accuracy", name="score_prefilter"),
            Node(planted, [*measured, *simulated, *FITS], "planted_accuracy", name="score_planted"),
            Node(control_table, accuracies, "controls", name="compare_with_controls"),
        ]
    )


Group = tuple[np.ndarray, Callable[[slice], torch.Tensor], int]
"""Some of the voxels, what gives the features of a part of them (voxel, image, feature), their number."""


def score_prefilter(
    images: np.ndarray,
    measured: Measurements,
    joint: FittedModel,
    fitting: Fitting,
    protocols: Protocols,
    scoring: Scoring,
) -> pd.DataFrame:
    """Accuracy of ridge regressions on the prefilter's maps, under the fine fields of the joint model."""
    network = joint.network

    def groups(subject: str, rows: np.ndarray, voxels: pd.DataFrame) -> Iterator[Group]:
        def maps() -> Iterator[torch.Tensor]:
            for block in np.split(rows, range(64, len(rows), 64)):
                seen = network.prefiltered(torch.from_numpy(images[block]))[:, -MAPS[1] :]
                yield seen[:, :, 1:-1, 1:-1].flatten(2)  # the cells of the fine grid

        places = positions(joint.voxels[subject].index, voxels["voxel_index"].to_numpy())
        fields = network.readout(subject).fine_fields().detach().flatten(1)[torch.from_numpy(places)]
        yield np.arange(len(voxels)), lambda some: pool(maps(), fields[some]), MAPS[1]

    return score_ridge(measured, groups, fitting, protocols, scoring)


def score_planted(
    images: np.ndarray,
    measured: Measurements,
    recording: Reader,
    simulation: Simulation,
    sessions: dict[str, int],
    fitting: Fitting,
    protocols: Protocols,
    scoring: Scoring,
) -> pd.DataFrame:
    """Accuracy of ridge regressions on the planted maps under the planted fields.

    The brain saw the release's images, not the prepared ones. The table is empty for measured data.
    """
    del images
    if not recording.simulated:
        return pd.DataFrame(columns=["subject", "voxel_index", "area", "r", "ceiling"])
    release = simulate(SimulationPlan(sessions=sessions, **dict(simulation)))

    def groups(subject: str, rows: np.ndarray, voxels: pd.DataFrame) -> Iterator[Group]:
        shown = measured.trials.drop_duplicates("image_row").set_index("image_row")["image_id"]
        seen = shown.loc[rows].to_numpy() - 1
        planted = release.subjects[subject].planted
        place = positions(planted["voxel_index"], voxels["voxel_index"].to_numpy())

        def pooled(area: str, seen: np.ndarray, fields: torch.Tensor, some: slice) -> torch.Tensor:
            return pool(map(torch.from_numpy, release.maps(area, seen)), fields[some])

        for area in release.chains.stages:
            here = np.flatnonzero(planted["area"][place] == area)
            if len(here):
                fields = torch.from_numpy(release.fields(subject, place[here], area)).float()
                yield here, partial(pooled, area, seen, fields), stages.MAPS

    return score_ridge(measured, groups, fitting, protocols, scoring)


@torch.no_grad()
def score_ridge(
    measured: Measurements,
    groups: Callable[[str, np.ndarray, pd.DataFrame], Iterable[Group]],
    fitting: Fitting,
    protocols: Protocols,
    scoring: Scoring,
) -> pd.DataFrame:
    """Fit ridge regressions to the mean responses to training images, and score them on the test trials."""
    data = fit_data(measured, holdout=fitting.choices(protocols).holdout, means=True)
    tables = []
    for subject, voxels in measured.voxels.groupby("subject", sort=False):
        kept = voxels[voxels["excluded"] == ""]
        columns = kept["column"].to_numpy()
        tests = scored_trials(measured.responses[subject], measured.trials, subject, columns)
        parts = data.training[subject], data.holdout[subject]
        rows = np.unique(np.concatenate([tests.image_row, *(part.image_row for part in parts)]))
        predicted = np.empty((len(rows), len(kept)))
        for here, pooled, features in groups(subject, rows, kept):
            of_group = (replace(part, response=part.response[:, here], voxels=None) for part in parts)
            predicted[:, here] = ridge_predictions(pooled, features, rows, *of_group)
        tested = predicted[np.searchsorted(rows, tests.image_row)]
        tables.append(score_voxels(tested, tests, voxels, resamples=scoring.resamples, seed=scoring.seed))
    return pd.concat(tables, ignore_index=True)
