"""Transfer of trunks between areas: the transfer matrix and the hierarchy index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int


def transfer_shift(
    transferred: Float[np.ndarray, " voxel"], own: Float[np.ndarray, " voxel"]
) -> tuple[float, float, int]:
    """`D[j, i]`: mean over an area's voxels of accuracy with trunk j less that of the area's own model.

    Returns the mean, its standard error over voxels, and the number of voxels with both accuracies.

    >>> shift, error, voxels = transfer_shift(np.array([0.2, 0.3, np.nan]), np.array([0.3, 0.5, 0.1]))
    >>> round(shift, 6), round(error, 6), voxels
    (-0.15, 0.05, 2)
    """
    difference = np.asarray(transferred - own, np.float64)
    difference = difference[np.isfinite(difference)]
    count = len(difference)
    if count == 0:
        return np.nan, np.nan, 0
    error = difference.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return float(difference.mean()), float(error), count


@dataclass(frozen=True)
class HierarchyIndex:
    """The index, its fit error and the two slopes that it is computed from."""

    index: float
    error: float
    downward: float
    """a+: slope of the shift over distance where the trunk's area is higher."""
    upward: float
    """a-: the same where it is lower."""


def hierarchy_index(shift: Float[np.ndarray, "model tested"]) -> HierarchyIndex:
    """`(a+ - a-) / (|a+| + |a-|)`: 1 for an entailment hierarchy, 0 for none (paper).

    a+ is the slope through the origin of the shift against |i - j| where the model's area j is higher than
    the tested area i, a- where it is lower. The error is propagated from the slopes as published, as if
    numerator and denominator were independent. NaN for fewer than three areas.

    Higher trunks that predict lower areas without loss, while lower trunks fail in higher areas:

    >>> hierarchy_index(-np.triu([[0, 1, 2], [0, 0, 1], [0, 0, 0]]).astype(float)).index
    1.0
    """
    model, tested = np.indices(shift.shape)
    distance = np.abs(model - tested).astype(float)
    downward, downward_error = _slope(distance[model > tested], shift[model > tested])
    upward, upward_error = _slope(distance[model < tested], shift[model < tested])
    difference, size = downward - upward, abs(downward) + abs(upward)
    with np.errstate(divide="ignore", invalid="ignore"):
        index = np.float64(difference) / size
        # |index| hypot(e / difference, e / size), without the division by a difference of zero
        error = np.hypot(downward_error, upward_error) / size * np.sqrt(1 + index**2)
    return HierarchyIndex(float(index), float(error), downward, upward)


def hierarchy_index_over_voxels(
    shifts: Float[np.ndarray, "model voxel"], tested: Int[np.ndarray, " voxel"], *, resamples: int, seed: int
) -> Float[np.ndarray, " resample"]:
    """The index in bootstrap resamples of the voxels, drawn within each tested area.

    Parameters
    ----------
    shifts : array, (model, voxel)
        Shift of each voxel's accuracy with each model's trunk. Voxels with a NaN are excluded.
    tested : array, (voxel,)
        Area of each voxel, as its position in the order of the models.
    resamples : int
        Number of resamples.
    seed : int
        Seed of the bootstrap.
    """
    keep = np.isfinite(shifts).all(0)
    shifts, tested = shifts[:, keep], tested[keep]
    random = np.random.default_rng(seed)
    matrices = np.full((resamples, len(shifts), len(shifts)), np.nan)
    for area in range(len(shifts)):
        of_area = shifts[:, tested == area]
        if of_area.shape[1]:
            counts = random.multinomial(
                of_area.shape[1], np.full(of_area.shape[1], 1 / of_area.shape[1]), resamples
            )
            matrices[:, :, area] = counts @ of_area.T / of_area.shape[1]
    return np.array([hierarchy_index(matrix).index for matrix in matrices])


POOLED = "pooled"
"""Value of `subject` for the voxels of all subjects together."""


def shift_table(own: pd.DataFrame, transferred: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Shift of every voxel's accuracy with every area's trunk.

    Parameters
    ----------
    own : DataFrame
        Accuracy table of the area-wise models: subject, voxel_index, area, r.
    transferred : mapping of DataFrame
        For each area, the accuracy table of the readouts fitted to its trunk.

    Returns
    -------
    DataFrame
        subject, voxel_index, area, and a column of shifts for the trunk of each area. NaN where either
        accuracy is.
    """
    keys = ["subject", "voxel_index", "area"]
    table = own[[*keys, "r"]]
    for name, accuracy in transferred.items():
        table = table.merge(accuracy[[*keys, "r"]].rename(columns={"r": name}), on=keys)
    return table[keys].assign(**{name: table[name] - table["r"] for name in transferred})


def transfer_matrix(shifts: pd.DataFrame, areas: Sequence[str]) -> pd.DataFrame:
    """Mean shift for each pair of trunk and tested area, for each subject and pooled.

    `shifts` is a `shift_table`. Columns: subject, trunk, tested, shift, shift_error, voxels.
    """
    rows = []
    for subject, voxels in _with_pooled(shifts):
        for trunk in areas:
            for tested in areas:
                of_area = voxels.loc[voxels["area"] == tested, trunk].to_numpy(float)
                shift, error, count = transfer_shift(of_area, np.zeros_like(of_area))
                rows.append((subject, trunk, tested, shift, error, count))
    return pd.DataFrame(rows, columns=["subject", "trunk", "tested", "shift", "shift_error", "voxels"])


def index_table(shifts: pd.DataFrame, areas: Sequence[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Hierarchy index of each subject and pooled, with its fit error and its spread over voxels and subjects.

    `shifts` is a `shift_table`. Columns: subject; index; fit_error, as published; voxel_sd, over bootstrap
    resamples of the voxels; subject_sd, over subjects (pooled row only); downward and upward, the slopes.
    """
    matrix = transfer_matrix(shifts, areas)
    rows = []
    for subject, voxels in _with_pooled(shifts):
        of_subject = matrix[matrix["subject"] == subject]
        found = hierarchy_index(of_subject["shift"].to_numpy().reshape(len(areas), len(areas)))
        resampled = hierarchy_index_over_voxels(
            voxels[list(areas)].to_numpy(float).T,
            voxels["area"].map({name: position for position, name in enumerate(areas)}).to_numpy(int),
            resamples=resamples,
            seed=seed,
        )
        rows.append(
            (subject, found.index, found.error, np.nanstd(resampled), np.nan, found.downward, found.upward)
        )
    columns = ["subject", "index", "fit_error", "voxel_sd", "subject_sd", "downward", "upward"]
    table = pd.DataFrame(rows, columns=columns)
    pooled = table["subject"] == POOLED
    if (~pooled).sum() > 1:
        table.loc[pooled, "subject_sd"] = table.loc[~pooled, "index"].std(ddof=1)
    return table


def _with_pooled(voxels: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each subject, then all rows as `POOLED`."""
    return [*voxels.groupby("subject"), (POOLED, voxels)]


def _slope(x: Float[np.ndarray, " entry"], y: Float[np.ndarray, " entry"]) -> tuple[float, float]:
    """Slope through the origin and its standard error."""
    if len(x) < 2:
        return float("nan"), float("nan")
    slope = (x @ y) / (x @ x)
    residual = y - slope * x
    return float(slope), float(np.sqrt(residual @ residual / (len(x) - 1) / (x @ x)))
