"""Transfer of trunks between areas: the transfer matrix and the hierarchy index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gnet.analysis.comparison import mean_difference

POOLED = "pooled"
"""Value of `subject` for the voxels of all subjects together."""


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

    `tested` is the area of each voxel, as its position in the order of the models. Voxels with a NaN among
    their shifts are excluded.
    """
    keep = np.isfinite(shifts).all(0)
    shifts, tested = shifts[:, keep], tested[keep]
    random = np.random.default_rng(seed)
    matrices = np.full((resamples, len(shifts), len(shifts)), np.nan)
    for area in range(len(shifts)):
        of_area = shifts[:, tested == area]
        if voxels := of_area.shape[1]:
            counts = random.multinomial(voxels, np.full(voxels, 1 / voxels), resamples)
            matrices[:, :, area] = counts @ of_area.T / voxels
    return np.array([hierarchy_index(matrix).index for matrix in matrices])


def shift_table(own: pd.DataFrame, transferred: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Shift of every voxel's accuracy with every area's trunk; NaN where either accuracy is.

    `own` is the accuracy table of the area-wise models (subject, voxel_index, area, r), `transferred` for
    each area that of the readouts fitted to its trunk. Columns: subject, voxel_index, area, and the shifts
    with the trunk of each area.
    """
    keys = ["subject", "voxel_index", "area"]
    table = own[[*keys, "r"]]
    for name, accuracy in transferred.items():
        table = table.merge(accuracy[[*keys, "r"]].rename(columns={"r": name}), on=keys)
    return table[keys].assign(**{name: table[name] - table["r"] for name in transferred})


def transfer_matrix(shifts: pd.DataFrame, areas: Sequence[str]) -> pd.DataFrame:
    """`D[j, i]`: mean shift over the voxels of area i with the trunk of area j, for each subject and pooled.

    `shifts` is a `shift_table`. Columns: subject, trunk, tested, shift, shift_error (standard error over
    voxels), voxels (with both accuracies).
    """
    rows = []
    for subject, voxels in _with_pooled(shifts):
        for trunk, tested in product(areas, areas):
            of_area = voxels.loc[voxels["area"] == tested, trunk].to_numpy(float)
            rows.append((subject, trunk, tested, *mean_difference(of_area)))
    return pd.DataFrame(rows, columns=["subject", "trunk", "tested", "shift", "shift_error", "voxels"])


def index_table(shifts: pd.DataFrame, areas: Sequence[str], *, resamples: int, seed: int) -> pd.DataFrame:
    """Hierarchy index of each subject and pooled, with its fit error and its spread over voxels and subjects.

    `shifts` is a `shift_table`. Columns: subject; index; fit_error, as published; voxel_sd, over bootstrap
    resamples of the voxels; subject_sd, over subjects (pooled row only); downward and upward, the slopes.
    """
    matrix = transfer_matrix(shifts, areas)
    place = {area: position for position, area in enumerate(areas)}
    rows = []
    for subject, voxels in _with_pooled(shifts):
        of_subject = matrix.loc[matrix["subject"] == subject, "shift"].to_numpy()
        found = hierarchy_index(of_subject.reshape(len(areas), len(areas)))
        of_voxels, tested = voxels[list(areas)].to_numpy(float).T, voxels["area"].map(place).to_numpy(int)
        resampled = hierarchy_index_over_voxels(of_voxels, tested, resamples=resamples, seed=seed)
        errors = (found.error, np.nanstd(resampled), np.nan)
        rows.append((subject, found.index, *errors, found.downward, found.upward))
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
