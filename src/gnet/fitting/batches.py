"""Trials for fitting, and their division into batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from gnet.errors import ParameterError
from gnet.models.checkpoints import Voxels
from gnet.recording.split import image_average

Batch = tuple[str, Int[np.ndarray, " _"]]
"""A subject and the trials of one step."""


@dataclass(frozen=True)
class Trials:
    """One subject's trials for fitting or scoring."""

    image_row: Int[np.ndarray, " trial"]
    """For each trial, the row of its image among the prepared images."""
    response: Float[np.ndarray, "trial voxel"]
    """float32, in standard deviations of the trial's session. No NaN."""
    count: Int[np.ndarray, " trial"] | None = None
    """Number of trials averaged in each row. None: rows are single trials."""
    voxels: Voxels | None = None
    """The voxels in the columns of `response`. None: unknown, and identified by column."""

    def __post_init__(self) -> None:
        trials, columns = self.response.shape
        if len(self.image_row) != trials:
            raise ParameterError(
                f"trials: expected one image for each response, got {len(self.image_row)} images "
                f"and {trials} responses."
            )
        if self.voxels is not None and len(self.voxels) != columns:
            raise ParameterError(
                f"trials: expected as many voxels as the responses have columns, got {len(self.voxels)} "
                f"voxels and {columns} columns."
            )
        unknown = int(np.isnan(self.response).any(0).sum())
        if unknown:
            raise ParameterError(
                f"trials: expected responses without NaN, got NaN in {unknown} of {columns} "
                "voxels. Remove voxels that lack data in a session before fitting."
            )


def image_means(trials: Trials) -> Trials:
    """Mean response and number of trials of each image, in order of first presentation.

    The sum of squared errors over trials differs from that over means, weighted by their number of trials, by
    a constant: both have the same expected gradient, and there are up to three times fewer means.

    >>> means = image_means(Trials(np.array([7, 3, 7]), np.array([[1.0], [5.0], [2.0]], np.float32)))
    >>> means.image_row, means.response.ravel(), means.count
    (array([7, 3]), array([1.5, 5. ], dtype=float32), array([2, 1]))
    """
    rows, means, count = image_average(trials.response, trials.image_row)
    seen = np.argsort(np.unique(trials.image_row, return_index=True)[1])
    return replace(trials, image_row=rows[seen], response=means[seen], count=count[seen])


def epoch_batches(
    trials: Mapping[str, int], *, size: int, rule: str, random: np.random.Generator
) -> list[Batch]:
    """The batches of one epoch in random order, given each subject's number of trials; every trial is in one.

    A batch never mixes subjects. A single remaining trial joins the batch before it. Under the rule
    `fixed_slices` (published), batches are contiguous slices in time, the same in every epoch; under
    `reshuffled`, trials are assigned to batches at random in every epoch.
    """
    batches: list[Batch] = []
    for subject, count in trials.items():
        order = random.permutation(count) if rule == "reshuffled" else np.arange(count)
        starts = np.arange(0, count, size)
        if len(starts) > 1 and count - starts[-1] < 2:
            starts = starts[:-1]
        batches += [(subject, trial) for trial in np.split(order, starts[1:])]
    return [batches[index] for index in random.permutation(len(batches))]
