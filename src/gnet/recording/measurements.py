"""What was measured of some voxels: who they are, in which trials, and how they responded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gnet.errors import ReleaseError
from gnet.recording.responses import Responses


@dataclass(frozen=True)
class Measurements:
    """Voxels of some areas with their trials and responses. Nothing is read until it is asked for."""

    voxels: pd.DataFrame
    """One row per voxel: subject, voxel_index, area, label, ncsnr, `column` in the responses, and `excluded`:
    why it cannot be fitted, empty for the others."""
    trials: pd.DataFrame
    """One row per trial: subject, trial, image_row, shared, and its part under each holdout rule."""
    responses: Mapping[str, Responses]
    """By subject."""
    areas: tuple[str, ...]
    """The areas, in the order in which they are configured."""

    @property
    def fitted(self) -> pd.DataFrame:
        """The voxels that are not excluded."""
        return self.voxels[self.voxels["excluded"] == ""]


@dataclass(frozen=True)
class ScoredTrials:
    """The test trials of one subject."""

    image_row: Int[np.ndarray, " image"]
    """Rows of the prepared images that were shown, ascending."""
    trial_image: Int[np.ndarray, " trial"]
    """Position in `image_row` of the image of each trial."""
    response: Float[np.ndarray, "trial voxel"]


def scored_trials(
    responses: Responses, trials: pd.DataFrame, subject: str, columns: Int[np.ndarray, " voxel"]
) -> ScoredTrials:
    """The test trials of one subject, with the responses of the voxels in some columns."""
    tests = trials[(trials["subject"] == subject) & (trials["part_images"] == "test")]
    image_row, trial_image = np.unique(tests["image_row"], return_inverse=True)
    return ScoredTrials(image_row, trial_image, responses.of(tests["trial"].to_numpy(), columns))


def choose_voxels(
    voxels: pd.DataFrame, responses: Mapping[str, Responses], trials: pd.DataFrame, *, areas: tuple[str, ...]
) -> pd.DataFrame:
    """The voxels of some areas, which column of the responses each is, and why some cannot be fitted.

    A voxel without data in some session is excluded. A voxel in several of the areas belongs to the one that
    the voxel table gives it, or else to the first. The table is that of `gnet.recording.units.unit_table`.
    Raises ReleaseError if the responses are not of its voxels, in its order, or a subject has no voxel left.
    """
    tables = []
    for subject, table in voxels.groupby("subject", sort=False):
        measured = responses[subject]
        if not np.array_equal(table["voxel_index"], measured.voxel_index):
            raise ReleaseError(
                f"{subject}: expected betas of the {len(table):,} voxels in the voxel table, found those of "
                f"{len(measured.voxel_index):,}, not all the same. Make both again: kedro run "
                "--pipelines data_engineering,masks --to-outputs betas,voxels"
            )
        table = table.assign(column=np.arange(len(table)), excluded=measured.reasons_excluded)
        table = table[table[[f"in_{area}" for area in areas]].any(axis=1)]
        if not (table["excluded"] == "").any():
            raise ReleaseError(
                f"{subject}: expected voxels with data in every session in {', '.join(areas)}, found none of "
                f"{len(table)}. Look at valid_session*.nii.gz and ncsnr.nii.gz of this subject."
            )
        tables.append(table.assign(area=table["area"].where(table["area"].isin(areas), areas[0])))
    return pd.concat(tables, ignore_index=True)
