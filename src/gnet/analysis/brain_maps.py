"""Per-voxel results written back into the brain they come from."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32, Int

from gnet.analysis.tuning import SIGNIFICANT


def brain_map(
    values: Float[np.ndarray, " voxel"], voxel_index: Int[np.ndarray, " voxel"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "x y z"]:
    """A volume with the values of some voxels, and NaN in all others.

    Parameters
    ----------
    voxel_index
        Flat indices in C order over (x, y, z), each once.

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
    """What is worth a map, one row for each voxel of each subject, one column for each map.

    Parameters
    ----------
    accuracy, receptive_fields, tuning
        Tables of one kind of model: `accuracy_table`, `Ellipses.table`, `tuning_table`, each with subject and
        voxel_index.

    Returns
    -------
    `subject`, `voxel_index`, and: `r`, `variance_explained`, `ceiling`, `fev` (percent); `x`, `y`,
    `eccentricity`, `size` of the receptive field (degrees; NaN where the fit is not determined);
    `lower_unique_share` (percent of the accuracy squared that is lost without the lower half of the layers)
    and `argmax_layer` (1 to 7, the layer with the greatest unique share), both NaN where r (bootstrap mean)
    is not above 0.055, as a share of nothing means nothing. A voxel in several areas has its values from the
    first.
    """
    keys = ["subject", "voxel_index"]

    def by_voxel(table: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
        table = table.drop_duplicates(keys).set_index(keys)
        return table[list(columns)].rename(columns=dict(columns))

    fields = receptive_fields[receptive_fields["determined"]]
    known = tuning.drop_duplicates([*keys, "partition", "part"])
    known = known[known["total"] > SIGNIFICANT]
    lower = known[(known["partition"] == "bipartite") & (known["part"] == "lower")]
    layers = known[(known["partition"] == "layerwise") & known["unique"].notna()]
    names = list(dict.fromkeys(tuning.loc[tuning["partition"] == "layerwise", "part"]))
    greatest = layers.sort_values("unique", ascending=False, kind="stable")
    greatest = greatest.assign(number=greatest["part"].map({name: n + 1 for n, name in enumerate(names)}))
    return (
        by_voxel(accuracy, {name: name for name in ("r", "variance_explained", "ceiling", "fev")})
        .join(by_voxel(fields, {name: name for name in ("x", "y", "eccentricity", "size")}))
        .join(by_voxel(lower, {"unique": "lower_unique_share"}))
        .join(by_voxel(greatest, {"number": "argmax_layer"}))
        .reset_index()
    )
