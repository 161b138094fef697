"""Which trials are seen together, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gnet.errors import ParameterError

Batch = tuple[str, Int[np.ndarray, " trial"]]
"""A subject and the trials of one step."""


@dataclass(frozen=True)
class Trials:
    """One subject's trials for fitting or scoring."""

    image_row: Int[np.ndarray, " trial"]
    """Row of the prepared images that each trial showed."""
    response: Float[np.ndarray, "trial voxel"]
    """float32, in standard deviations of the trial's session. No NaN."""

    def __post_init__(self) -> None:
        if len(self.image_row) != len(self.response):
            raise ParameterError(
                f"trials: expected one image for each response, got {len(self.image_row)} images "
                f"and {len(self.response)} responses."
            )
        unknown = int(np.isnan(self.response).any(0).sum())
        if unknown:
            raise ParameterError(
                f"trials: expected responses without NaN, got NaN in {unknown} of {self.response.shape[1]} "
                "voxels. Leave out voxels without data in a session before fitting."
            )


def epoch_batches(
    trials: Mapping[str, int], *, size: int, rule: str, random: np.random.Generator
) -> list[Batch]:
    """The batches of one epoch in random order, every trial of every subject once.

    A batch never mixes subjects. A single trial left over at the end joins the batch before it.

    Parameters
    ----------
    trials
        How many trials each subject has.
    size
        Trials in a batch.
    rule
        `fixed_slices` (published): contiguous slices in time, the same every epoch, only their order changes.
        `reshuffled`: trials are drawn anew into batches every epoch.

    Raises
    ------
    ParameterError
        for another rule.

    >>> for batch in epoch_batches({"a": 3, "b": 2}, size=2, rule="fixed_slices",
    ...                            random=np.random.default_rng(0)):
    ...     print(batch)
    ('a', array([0, 1, 2]))
    ('b', array([0, 1]))
    """
    if rule not in ("fixed_slices", "reshuffled"):
        raise ParameterError(f"batches: expected fixed_slices or reshuffled, got {rule!r}.")
    batches: list[Batch] = []
    for subject, count in trials.items():
        order = random.permutation(count) if rule == "reshuffled" else np.arange(count)
        starts = np.arange(0, count, size)
        if len(starts) > 1 and count - starts[-1] < 2:
            starts = starts[:-1]
        batches += [(subject, trial) for trial in np.split(order, starts[1:])]
    return [batches[index] for index in random.permutation(len(batches))]
