"""The table of units: where each voxel lies, in which areas and masks, and how noisy it is."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from gnet.errors import ParameterError, ReleaseError
from gnet.recording.volumes import flat_index

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Atlas:
    """One family of regions of one subject: -1 outside the cortex, 0 cortex without label, 1..N a label.

    `names` has the labels above 0. `labels != -1` is the whole cortex; the family's regions are `labels > 0`.
    """

    family: str
    labels: Int[np.ndarray, "x y z"]
    names: dict[int, str]
    subject: str


def unit_table(
    subject: str,
    masks: Mapping[str, Bool[np.ndarray, "x y z"]],
    areas: Mapping[str, Bool[np.ndarray, "x y z"]],
    atlases: Mapping[str, Atlas],
    ncsnr: Float[np.ndarray, "x y z"],
    ncsnr_name: str = "the volume of ncsnr",
) -> pd.DataFrame:
    """One row for each voxel in any mask or area, ascending by voxel index.

    Columns: subject; voxel_index, C-order over (x, y, z); x, y, z; area, the first of `areas` that contains
    the voxel, "" if none; label, the voxel's name in that area's atlas, "" if none; ncsnr, NaN where it is
    unknown; in_<name> for every mask and area, because areas may share voxels. `atlases` has the labels that
    each area is defined in, by the area's name; `ncsnr_name` is what to call that volume in an error. Raises
    ParameterError for a mask and an area of the same name, and ReleaseError if there is no voxel at all, or
    their ncsnr are all NaN, all the same, or one is negative or infinite.
    """
    if both := sorted(set(masks) & set(areas)):
        raise ParameterError(
            f"{', '.join(both)}: expected different names for masks and areas. "
            "Rename the area in the parameters."
        )
    volumes = {**masks, **areas}
    anywhere = np.zeros(ncsnr.shape, dtype=bool)
    for volume in volumes.values():
        anywhere |= volume
    index = flat_index(anywhere)
    if not index.size:
        raise ReleaseError(
            f"{subject}: expected voxels in {', '.join(volumes) or 'some mask'}, found none at all."
        )
    table = pd.DataFrame({"subject": subject, "voxel_index": index})
    table["x"], table["y"], table["z"] = np.unravel_index(index, ncsnr.shape)
    area, label = np.full((2, len(index)), "", dtype=object)
    for name, mask in areas.items():
        here = mask.ravel()[index] & (area == "")
        area[here] = name
        values = atlases[name].labels.ravel()[index[here]]
        label[here] = pd.Series(values).map(atlases[name].names).fillna("").to_numpy()
    table["area"], table["label"] = area, label
    table["ncsnr"] = ncsnr.ravel()[index]
    _check_ncsnr(subject, table["ncsnr"], ", ".join(volumes), ncsnr_name)
    return table.assign(**{f"in_{name}": volume.ravel()[index] for name, volume in volumes.items()})


def _check_ncsnr(subject: str, ncsnr: pd.Series, where: str, name: str) -> None:
    """Refuse ratios that cannot be; log how many are unknown."""
    known = ncsnr.dropna()
    missing = len(ncsnr) - len(known)
    if known.empty:
        raise ReleaseError(
            f"{subject}: expected an ncsnr for the voxels of {where}, found NaN in all {missing:,}. It is "
            f"damaged or of another subject: fetch {name} again."
        )
    if not np.isfinite(known).all() or known.min() < 0 or (len(known) > 1 and known.min() == known.max()):
        raise ReleaseError(
            f"{subject}: expected an ncsnr of at least 0 that differs between voxels, found "
            f"{known.min():g} to {known.max():g}. It is damaged: fetch {name} again."
        )
    if missing:
        log.info("%s: ncsnr is NaN in %d of %d voxels; they stay in the table.", subject, missing, len(ncsnr))
