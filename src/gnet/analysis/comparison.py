"""Comparison of the accuracies of two models of the same voxels."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from gnet.evaluation.accuracy import relative_accuracy


def mean_difference(difference: Float[np.ndarray, " voxel"]) -> tuple[float, float, int]:
    """Mean of a difference over voxels, its standard error, and the number of voxels; NaN are excluded.

    >>> mean_difference(np.array([0.5, -0.5, np.nan]))
    (0.0, 0.5, 2)
    """
    difference = np.asarray(difference[np.isfinite(difference)], np.float64)
    count = len(difference)
    if count == 0:
        return np.nan, np.nan, 0
    error = difference.std(ddof=1) / np.sqrt(count) if count > 1 else np.nan
    return float(difference.mean()), float(error), count


def paired_accuracies(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Voxels with an accuracy r in both tables, and the difference, first less second.

    Columns: subject, voxel_index, area, r_first, r_second, difference.
    """
    keys = ["subject", "voxel_index", "area"]
    both = first[[*keys, "r"]].merge(second[[*keys, "r"]], on=keys, suffixes=("_first", "_second"))
    both["difference"] = both["r_first"] - both["r_second"]
    return both[np.isfinite(both["difference"])]


def compare_accuracies(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Difference of accuracy (first less second) over the voxels of each area and subject that are in both.

    Columns: `area`, `subject`; `voxels`; `shift` (mean difference of r) and `shift_error` (standard error);
    `share_better` (percent of voxels that the first predicts better); `p` (Wilcoxon signed-rank test over
    voxels) and `q` (p adjusted for the false discovery rate over all rows, Benjamini and Hochberg 1995).
    Voxels are not independent, so p measures how consistent a difference is, not how surprising.
    """
    # imported here: it takes half a second, and every command imports this module
    from scipy.stats import false_discovery_control, wilcoxon

    rows = []
    for (area, subject), voxels in paired_accuracies(first, second).groupby(["area", "subject"]):
        difference = voxels["difference"].to_numpy(float)
        shift, error, count = mean_difference(difference)
        better = 100 * (difference > 0).mean()
        p = wilcoxon(difference).pvalue if difference.any() else 1.0
        rows.append((area, subject, count, shift, error, better, p))
    columns = ["area", "subject", "voxels", "shift", "shift_error", "share_better", "p"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(q=false_discovery_control(table["p"]) if len(table) else [])


def control_table(
    gnet8j: pd.DataFrame, gnet8r: pd.DataFrame, untrained_gnet8j: pd.DataFrame, **others: pd.DataFrame
) -> pd.DataFrame:
    """What models reach beside what controls reach, by area and subject.

    All arguments are tables of accuracy (subject, voxel_index, area, r, ceiling). Columns: `area`, `subject`,
    `voxels`; for each argument, under its name, the median over voxels of r / sqrt(ceiling), NaN where it has
    no such voxels; for both models `<model>_gain`, the mean difference of r from the untrained one over
    voxels, and its standard error `<model>_gain_error`.
    """
    models = {"gnet8j": gnet8j, "gnet8r": gnet8r}
    medians = {
        name: relative_accuracy(table).groupby([table["area"], table["subject"]]).median()
        for name, table in {**models, "untrained_gnet8j": untrained_gnet8j, **others}.items()
    }
    table = pd.DataFrame(medians).loc[medians["gnet8j"].index].reset_index()
    gains = {}
    for name, accuracy in models.items():
        paired = paired_accuracies(accuracy, untrained_gnet8j).groupby(["area", "subject"])["difference"]
        for key, differences in paired:
            gains[(name, *key)] = mean_difference(differences.to_numpy())
    for position, name in enumerate(("{}_gain", "{}_gain_error", "voxels")):
        for model in models:
            keys = zip(table["area"], table["subject"], strict=True)
            table[name.format(model)] = [gains[(model, *key)][position] for key in keys]
    return table
