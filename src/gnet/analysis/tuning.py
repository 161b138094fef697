"""Tuning of voxels to layers: accuracy with, and without, each part of the features.

Predictions are linear in the feature weights, so everything follows from the contributions of the parts in a
single forward pass. Accuracies are bootstrap means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gnet.evaluation.resampling import resampled_correlation

SIGNIFICANT = 0.055
"""Accuracy that chance exceeds with p < 0.01, by randomisation (paper)."""


@dataclass(frozen=True)
class Scores:
    """Bootstrap mean and standard deviation of each voxel's accuracy."""

    mean: Float[np.ndarray, "*part voxel"]
    sd: Float[np.ndarray, "*part voxel"]


@dataclass(frozen=True)
class TuningScores:
    """Accuracy of the whole model, with each part alone (inclusive), and without it (exclusive)."""

    total: Scores
    inclusive: Scores
    exclusive: Scores


def tuning_scores(
    contributions: Float[np.ndarray, "part image voxel"],
    bias: Float[np.ndarray, " voxel"],
    measured: Float[np.ndarray, "trial voxel"],
    trial_image: Int[np.ndarray, " trial"],
    counts: Int[np.ndarray, "resample trial"],
) -> TuningScores:
    """Score the model and its parts on the same resamples of the trials: their differences are paired.

    The contributions of the parts and the bias sum to the prediction. `trial_image` is the image of each test
    trial, as an index into the contributions; `counts` is how often each trial is in each resample, from
    `draw_trials` (published) or `draw_images` of `gnet.evaluation.resampling`. NaN where a resample has no
    correlation because either side is constant.
    """
    whole = contributions.sum(0) + bias

    def score(predicted: Float[np.ndarray, "image voxel"]) -> Scores:
        resampled = resampled_correlation(measured, predicted[trial_image], counts)
        return Scores(resampled.mean(0), resampled.std(0))

    def stack(scores: list[Scores]) -> Scores:
        return Scores(np.stack([one.mean for one in scores]), np.stack([one.sd for one in scores]))

    inclusive = [score(part + bias) for part in contributions]
    # not the whole less a part: if nothing else varies, that would score rounding errors
    others = (np.delete(contributions, part, axis=0).sum(0) for part in range(len(contributions)))
    exclusive = [score(rest + bias) for rest in others]
    return TuningScores(score(whole), stack(inclusive), stack(exclusive))


def specific_share(scores: TuningScores) -> tuple[np.ndarray, np.ndarray]:
    """Percent of the squared accuracy that a part reaches alone, `100 rho_in^2 / rho^2`, and its error.

    Both (part, voxel). The error is propagated from those of both accuracies as if they were independent
    (published code).
    """
    return _ratio(scores.inclusive, scores.total)


def unique_share(scores: TuningScores) -> tuple[np.ndarray, np.ndarray]:
    """Percent of the squared accuracy that is lost without a part, and its error.

    `100 (rho^2 - rho_ex^2) / rho^2`, both (part, voxel); errors as in `specific_share`.
    """
    rest, error = _ratio(scores.exclusive, scores.total)
    return 100 - rest, error


def _ratio(part: Scores, total: Scores) -> tuple[np.ndarray, np.ndarray]:
    """`100 part^2 / total^2` and its error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * part.mean**2 / total.mean**2
        error = 200 * np.abs(part.mean) / total.mean**2 * np.hypot(part.sd, part.mean * total.sd / total.mean)
    return share, error


def spread(share: Float[np.ndarray, "part voxel"]) -> Float[np.ndarray, " voxel"]:
    """Spread of a voxel's shares over the parts: near 0 if one part has all, near 1 if most do.

    The shares of a voxel are sorted and scaled to [0, 1]; the spread is the fraction of parts above the point
    where the interpolated curve crosses one half. NaN if a share is NaN or all are equal.

    >>> spread(np.array([[0.0, 5.0], [0.0, 0.0], [1.0, 5.0]])).round(2)
    array([0.25, 0.75])
    """
    parts = len(share)
    ordered = np.sort(share, axis=0)
    with np.errstate(invalid="ignore"):
        scaled = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    above = np.argmax(scaled > 0.5, axis=0)
    below = np.maximum(above - 1, 0)
    voxel = np.arange(share.shape[1])
    low, high = scaled[below, voxel], scaled[above, voxel]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (below + (0.5 - low) / (high - low)) / (parts - 1)
    return np.where(np.isfinite(scaled).all(0), 1 - crossing, np.nan)


def voxel_average(
    share: Float[np.ndarray, "part voxel"], accuracy: Float[np.ndarray, " voxel"]
) -> tuple[Float[np.ndarray, " part"], int]:
    """Mean of the shares over voxels, weighted by squared accuracy, and the number of voxels used.

    Voxels whose accuracy is NaN or not above `SIGNIFICANT` are excluded.

    >>> voxel_average(np.array([[10.0, 40.0, 99.0]]), np.array([0.1, 0.2, 0.0]))
    (array([34.]), 2)
    """
    used = (accuracy > SIGNIFICANT) & np.isfinite(share).all(0)
    if not used.any():
        return np.full(len(share), np.nan), 0
    return np.average(share[:, used], axis=1, weights=accuracy[used] ** 2), int(used.sum())


def tuning_table(scores: TuningScores, parts: Sequence[str]) -> pd.DataFrame:
    """Scores and shares as a table, one row per part and voxel.

    Columns: `voxel` (position), `part`; `total`, `inclusive`, `exclusive` (bootstrap means of the accuracy)
    and their `_sd`; `specific` and `unique` (shares, percent) and their `_error`; `specific_spread` and
    `unique_spread`, repeated for all parts of a voxel.
    """
    columns: dict[str, np.ndarray] = {}
    shape = (len(parts), len(scores.total.mean))
    for name, score in vars(scores).items():
        columns |= {name: score.mean, f"{name}_sd": score.sd}
    for name, (share, error) in {"specific": specific_share(scores), "unique": unique_share(scores)}.items():
        columns |= {name: share, f"{name}_error": error, f"{name}_spread": spread(share)}
    table = pd.DataFrame({name: np.broadcast_to(values, shape).ravel() for name, values in columns.items()})
    part, voxel = np.indices(shape)
    table.insert(0, "voxel", voxel.ravel())
    table.insert(1, "part", np.asarray(parts)[part.ravel()])
    return table


def average_table(tuning: pd.DataFrame) -> pd.DataFrame:
    """Mean shares (`voxel_average`) by partition, area and subject, and of the group.

    `tuning` is a `tuning_table` with subject, voxel_index, area and partition. The group (subject "group") is
    the mean over subjects; its `voxels` are the sum.
    """
    tables = []
    for (partition, area, subject), voxels in tuning.groupby(["partition", "area", "subject"], sort=False):
        parts = voxels["part"].unique()
        total = voxels.loc[voxels["part"] == parts[0], "total"].to_numpy()
        averages = {}
        for share in ("specific", "unique"):
            values = voxels[share].to_numpy().reshape(len(parts), -1)  # parts vary slowest
            averages[share], count = voxel_average(values, total)
        names = {"partition": partition, "area": area, "subject": subject, "part": parts}
        tables.append(pd.DataFrame(names | averages | {"voxels": count}))
    table = pd.concat(tables, ignore_index=True)
    group = table.groupby(["partition", "area", "part"], sort=False, as_index=False).agg(
        specific=("specific", "mean"), unique=("unique", "mean"), voxels=("voxels", "sum")
    )
    return pd.concat([table, group.assign(subject="group")], ignore_index=True)
