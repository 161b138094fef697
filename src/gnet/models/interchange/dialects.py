"""What checkpoints of the published code, of BERG and of this package say, under our names.

Published ones have `best_params` {`enc`, `fwrfs`} and the voxels of `voxel_index`, for GNet8r those of
`group_mask` in it. BERG's have one more pooling field, and the voxels of `roi_mask_volume` in C order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from gnet.errors import ModelFileError
from gnet.models.checkpoints import Voxels
from gnet.models.interchange.names import (
    areas_of_labels,
    from_published_encoder,
    from_published_readout,
    subject_name,
)


def read_tensors(content: Any, origin: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Encoder and readouts under our names, all of them known to be tensors, and the subjects."""
    best = content.get("best_params") if isinstance(content, Mapping) else None
    if not best:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ModelFileError(
            f"{origin}: expected a checkpoint of a GNet with best_params, found {found or 'nothing'}. "
            "A file of weights alone does not say whose voxels they are."
        )
    for part in ("enc", "fwrfs"):
        if not isinstance(best, Mapping) or not isinstance(best.get(part), Mapping) or not best[part]:
            raise ModelFileError(f"{origin}: expected best_params to have enc and fwrfs, found no {part}.")
    for state in (best["enc"], *best["fwrfs"].values()):
        if not isinstance(state, Mapping):
            raise ModelFileError(f"{origin}: expected tensors by name in fwrfs, got {type(state).__name__}.")
        other = [name for name, value in state.items() if not isinstance(value, Tensor)]
        if other:
            raise ModelFileError(f"{origin}: expected {other[0]} to be a tensor, got {state[other[0]]!r}.")
    subjects = tuple(subject_name(key) for key in best["fwrfs"])
    if len(set(subjects)) < len(subjects) or not all(name.isidentifier() for name in subjects):
        raise ModelFileError(
            f"{origin}: expected one readout for each subject, by number or a name like subj01, found "
            f"{', '.join(map(repr, best['fwrfs']))}."
        )
    tensors = from_published_encoder(best["enc"])
    for subject, state in zip(subjects, best["fwrfs"].values(), strict=True):
        readout = from_published_readout(state)
        tensors |= {f"readouts.{subject}.{name}": tensor for name, tensor in readout.items()}
    return tensors, subjects


def read_voxels(content: Mapping[str, Any], rows: Mapping[str, int], origin: str) -> dict[str, Voxels]:
    """A possible voxel for each of the `rows` of every readout and none twice, as the checkpoint itself says.

    Never from a region file: those were redrawn.
    """
    berg = "betas_info" in content
    said_by = "betas_info" if berg else "voxel_index and brain_nii_shape"
    voxels = {}
    for key in content["best_params"]["fwrfs"]:
        subject = subject_name(key)
        try:
            voxels[subject] = _berg_voxels(content, key) if berg else _published_voxels(content, key)
            _check_voxels(voxels[subject], rows[subject])
        except ModelFileError as error:
            raise ModelFileError(f"{origin}: {subject}: {error}") from None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            problem = (
                f"expected {said_by} to say which voxels subject {key} has, but it does not ({error!r})."
            )
            raise ModelFileError(f"{origin}: {problem}") from error
    return voxels


def _published_voxels(content: Mapping[str, Any], key: Any) -> Voxels:
    index = np.asarray(content["voxel_index"][key])
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise ModelFileError(
            f"expected a list of whole numbers as voxel indices, found {index.dtype} of shape {index.shape}."
        )
    labels = np.asarray(content["voxel_roi"][key]) if "voxel_roi" in content else np.zeros(len(index))
    group = content.get("group_mask")
    mask = np.ones(len(index), bool) if group is None else np.asarray(group[key], bool)
    if not len(index) == len(labels) == len(mask):
        raise ModelFileError(
            f"expected voxel_index, voxel_roi and group_mask of one length, found {len(index):,}, "
            f"{len(labels):,} and {len(mask):,}."
        )
    area = areas_of_labels(labels[mask])
    if group is not None and "group_name" in content:
        area = np.full(len(area), content["group_name"])
    return Voxels(index[mask].astype(np.int64), area, _shape(content["brain_nii_shape"][key]))


def _berg_voxels(content: Mapping[str, Any], key: Any) -> Voxels:
    info = content["betas_info"][key]
    volume = np.asarray(info["roi_mask_volume"])
    shape = _shape(info.get("volume_shape", volume.shape))
    if volume.shape != shape:
        raise ModelFileError(f"expected roi_mask_volume of shape {shape}, got {volume.shape}.")
    index = np.flatnonzero(volume)
    arguments = content.get("args.")
    if getattr(arguments, "split_roi", 0):  # both parts carry the mask of the whole area
        half = -(-len(index) // 2)
        index = index[:half] if getattr(arguments, "split", None) == 1 else index[half:]
    return Voxels(index, np.full(len(index), str(getattr(arguments, "roi", ""))), shape)


def _shape(shape: Any) -> tuple[int, int, int]:
    x, y, z = (int(length) for length in shape)
    if min(x, y, z) < 1:
        raise ValueError(f"a volume of {x} x {y} x {z} voxels")
    return x, y, z


def _check_voxels(found: Voxels, rows: int) -> None:
    assert found.shape is not None
    index, size = found.index, math.prod(found.shape)
    if len(index) != rows:
        raise ModelFileError(
            f"expected as many voxels as its readout has rows, {rows:,}, found {len(index):,}. "
            "Import the files of a split area as they were published."
        )
    outside = index[(index < 0) | (index >= size)]
    if len(outside):
        raise ModelFileError(
            f"expected voxel indices below {size:,}, the size of its volume {found.shape}, found "
            f"{outside[0]:,}."
        )
    listed, times = np.unique(index, return_counts=True)
    if len(listed) < len(index):
        raise ModelFileError(f"expected every voxel once, found {listed[times > 1][0]:,} again.")


def read_history(content: Mapping[str, Any], origin: str) -> pd.DataFrame:
    """Losses of each epoch and which was the best; empty if the checkpoint does not hold them."""
    berg = "betas_info" in content
    names = ("trn_hist", "hold_hist") if berg else ("trn_loss_history", "hold_loss_history")
    kept = dict(zip(("loss", "holdout_loss"), map(content.get, names), strict=True))
    kept = {name: values for name, values in kept.items() if isinstance(values, Sequence) and len(values)}
    try:
        columns = {column: np.asarray(values, float) for column, values in kept.items()}
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{origin}: expected numbers in {' and '.join(names)} ({error}).") from error
    if len({len(column) for column in columns.values()}) != 1:
        return pd.DataFrame()
    epochs = len(next(iter(columns.values())))
    best = np.arange(epochs) == content.get("best_epoch", -1)
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns, "best": best})


def read_told(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The name of a checkpoint's file, and its plain values and BERG's arguments, named as they are there."""
    arguments = content.get("args.")
    told = {**(vars(arguments) if isinstance(arguments, argparse.Namespace) else {}), **content}
    values = {key: value.item() if isinstance(value, np.generic) else value for key, value in told.items()}
    return {"imported": Path(origin).name} | {
        key: value
        for key, value in values.items()
        if isinstance(key, str) and (value is None or isinstance(value, (bool, int, float, str)))
    }
