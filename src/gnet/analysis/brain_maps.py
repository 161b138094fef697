"""Brain volumes of voxelwise results."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from gnet.analysis.tuning import SIGNIFICANT


def brain_map(
    values: Float[np.ndarray, " voxel"], voxel_index: Int[np.ndarray, " voxel"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "x y z"]:
    """A volume with the values of some voxels, NaN elsewhere.

    `voxel_index` are flat indices in C order over (x, y, z), without duplicates.

    >>> brain_map(np.array([0.5]), np.array([3]), (1, 2, 2))
    array([[[nan, nan],
            [nan, 0.5]]], dtype=float32)
    """
    volume = np.full(shape, np.nan, np.float32)
    volume.flat[voxel_index] = values
    return volume


def mapped_values(
    accuracy: pd.DataFrame, receptive_fields: pd.DataFrame, tuning: pd.DataFrame
) -> pd.DataFrame:
    """The values that are mapped: one row per voxel and subject, one column per map.

    From `accuracy_table`, `Ellipses.table` and `tuning_table` of one model, with subject and voxel_index.
    Columns: `subject`, `voxel_index`, and: `r`; `variance_explained`, `ceiling`, `fev` (percent); `x`, `y`,
    `eccentricity`, `size` of the receptive field (degrees; NaN unless the fit is determined);
    `lower_unique_share` (percent of the squared accuracy lost without the layers on the fine grid) and
    `argmax_layer` (1 to 7, the layer with the largest unique share), both NaN unless r (bootstrap mean)
    is above 0.055, the level of chance. A voxel in several areas has the values of the first.
    """
    keys = ["subject", "voxel_index"]

    def by_voxel(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
        return table.drop_duplicates(keys).set_index(keys)[columns]

    fields = receptive_fields[receptive_fields["determined"]]
    tuning = tuning.drop_duplicates([*keys, "partition", "part"])
    layers = tuning[tuning["partition"] == "layerwise"]
    layers = layers.assign(argmax_layer=pd.factorize(layers["part"])[0] + 1)
    layers = layers[(layers["total"] > SIGNIFICANT) & layers["unique"].notna()]
    greatest = layers.sort_values("unique", ascending=False, kind="stable")
    lower = tuning[(tuning["partition"] == "bipartite") & (tuning["part"] == "lower")]
    lower = lower[lower["total"] > SIGNIFICANT].rename(columns={"unique": "lower_unique_share"})
    return (
        by_voxel(accuracy, ["r", "variance_explained", "ceiling", "fev"])
        .join(by_voxel(fields, ["x", "y", "eccentricity", "size"]))
        .join(by_voxel(lower, ["lower_unique_share"]))
        .join(by_voxel(greatest, ["argmax_layer"]))
        .reset_index()
    )
