"""What checkpoints of the published code, of BERG and of this package say, in one form.

The published form (GNet8j, GNet8r, transfer) has `best_params` {`enc`, `fwrfs`}; `voxel_index` says which
voxels its readouts predict, for GNet8r those of them in `group_mask`. BERG's form has the same tensors, one
more pooling field (on the prefilter's grid), and its voxels are those of `roi_mask_volume` in C order. What
this package exports is the published form with everything else about the model under the key `gnet`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from gnet.errors import ModelFileError
from gnet.models.checkpoints import Voxels
from gnet.models.interchange.names import (
    METADATA,
    areas_of_labels,
    from_published_encoder,
    from_published_readout,
    subject_name,
)

PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says, whatever its dialect, under our names and subject by subject."""

    encoder: Mapping[str, Tensor]
    readouts: Mapping[str, Mapping[str, Tensor]]
    voxels: Mapping[str, Voxels] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per epoch: epoch, loss, holdout_loss, best, as far as the checkpoint says."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """Plain values about the fit, by the names that the checkpoint gives them."""
    stored: Mapping[str, Any] | None = None
    """Of our own exports, instead of the three above: `to_arrays` of the model without its weights."""


VoxelReader = Callable[[Mapping[str, Any], Any, str], Voxels]
"""Given a checkpoint, the key of a subject in it, and what to call it in an error."""


def read_checkpoint(content: Any, origin: str) -> Checkpoint:
    """The content of a pickle, by the reader of its dialect.

    Parameters
    ----------
    content : Any
        What `read_pickle` read.
    origin : str
        What to call it in an error.

    Raises
    ------
    ModelFileError
        if it is no checkpoint of a GNet, or says nothing or something impossible about its voxels.
    """
    if not isinstance(content, Mapping) or not content.get("best_params"):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ModelFileError(
            f"{origin}: expected a checkpoint of a GNet with best_params, found {found or 'nothing'}. "
            "A file of weights alone does not say whose voxels they are."
        )
    encoder, readouts = _tensors(content["best_params"], origin)
    if METADATA in content:
        if not isinstance(content[METADATA], Mapping):
            raise ModelFileError(f"{origin}: expected a model's description under {METADATA}, found none.")
        return Checkpoint(encoder, readouts, stored=content[METADATA])
    if "betas_info" in content:
        return _read_berg(content, encoder, readouts, origin)
    return _read_published(content, encoder, readouts, origin)


def _read_published(
    content: Mapping[str, Any],
    encoder: Mapping[str, Tensor],
    readouts: Mapping[str, Mapping[str, Tensor]],
    origin: str,
) -> Checkpoint:
    voxels = {
        subject_name(key): _said_voxels(
            _published_voxels, content, key, origin, "voxel_index and brain_nii_shape"
        )
        for key in content["best_params"]["fwrfs"]
    }
    history = _history(content, "trn_loss_history", "hold_loss_history", origin)
    return Checkpoint(encoder, readouts, voxels, history, _told(content, origin))


def _read_berg(
    content: Mapping[str, Any],
    encoder: Mapping[str, Tensor],
    readouts: Mapping[str, Mapping[str, Tensor]],
    origin: str,
) -> Checkpoint:
    voxels = {
        subject_name(key): _said_voxels(_berg_voxels, content, key, origin, "betas_info")
        for key in content["best_params"]["fwrfs"]
    }
    arguments = content.get("args.")
    told = vars(arguments) if isinstance(arguments, argparse.Namespace) else {}
    return Checkpoint(
        encoder,
        readouts,
        voxels,
        _history(content, "trn_hist", "hold_hist", origin),
        _told({**told, **content}, origin),
    )


def _tensors(best: Any, origin: str) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
    """Encoder and readouts under our names, once everything in them is known to be a tensor."""
    for part in ("enc", "fwrfs"):
        if not isinstance(best, Mapping) or not isinstance(best.get(part), Mapping) or not best[part]:
            raise ModelFileError(f"{origin}: expected best_params to have enc and fwrfs, found no {part}.")
    for state in (best["enc"], *best["fwrfs"].values()):
        if not isinstance(state, Mapping):
            raise ModelFileError(f"{origin}: expected tensors by name in fwrfs, got {type(state).__name__}.")
        other = [name for name, value in state.items() if not isinstance(value, Tensor)]
        if other:
            raise ModelFileError(f"{origin}: expected {other[0]} to be a tensor, got {state[other[0]]!r}.")
    names = [subject_name(key) for key in best["fwrfs"]]
    if len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
        raise ModelFileError(
            f"{origin}: expected one readout for each subject, by number or a name like subj01, found "
            f"{', '.join(map(repr, best['fwrfs']))}."
        )
    readouts = {subject_name(key): from_published_readout(state) for key, state in best["fwrfs"].items()}
    return from_published_encoder(best["enc"]), readouts


def _said_voxels(read: VoxelReader, content: Mapping[str, Any], key: Any, origin: str, where: str) -> Voxels:
    """One subject's voxels, from the checkpoint itself and never from a region file: those were redrawn."""
    try:
        return read(content, key, origin)
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise ModelFileError(
            f"{origin}: expected {where} to say which voxels subject {key} has, but it does not ({error!r})."
        ) from error


def check_voxels(voxels: Mapping[str, Voxels], rows: Mapping[str, int], origin: str) -> None:
    """Check that every readout has one possible voxel for each of its rows, and none twice.

    Parameters
    ----------
    voxels : Mapping[str, Voxels]
        What the checkpoint says, by subject.
    rows : Mapping[str, int]
        Number of rows of each subject's readout.
    origin : str
        What to call the checkpoint in an error.

    Raises
    ------
    ModelFileError
        naming the subject and the first voxel concerned.
    """
    for subject, found in voxels.items():
        index, shape = found.index, found.shape
        if len(index) != rows[subject]:
            raise ModelFileError(
                f"{origin}: {subject}: expected as many voxels as its readout has rows, {rows[subject]:,}, "
                f"found {len(index):,}. Import the files of a split area as they were published."
            )
        size = math.prod(shape) if shape else np.iinfo(np.int64).max
        outside = index[(index < 0) | (index >= size)]
        if len(outside):
            within = f"below {size:,}, the size of its volume {shape}" if shape else "of at least 0"
            raise ModelFileError(
                f"{origin}: {subject}: expected voxel indices {within}, found {outside[0]:,}."
            )
        listed, times = np.unique(index, return_counts=True)
        if len(listed) < len(index):
            raise ModelFileError(
                f"{origin}: {subject}: expected every voxel once, found {listed[times > 1][0]:,} again."
            )


def _published_voxels(content: Mapping[str, Any], key: Any, origin: str) -> Voxels:
    index = np.asarray(content["voxel_index"][key])
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise ModelFileError(
            f"{origin}: {subject_name(key)}: expected a list of whole numbers as voxel indices, found "
            f"{index.dtype} of shape {index.shape}."
        )
    labels = np.asarray(content["voxel_roi"][key]) if "voxel_roi" in content else np.zeros(len(index))
    group = content.get("group_mask")
    mask = np.ones(len(index), bool) if group is None else np.asarray(group[key], bool)
    if not len(index) == len(labels) == len(mask):
        raise ModelFileError(
            f"{origin}: {subject_name(key)}: expected voxel_index, voxel_roi and group_mask of one length, "
            f"found {len(index):,}, {len(labels):,} and {len(mask):,}."
        )
    area = areas_of_labels(labels[mask])
    if group is not None and "group_name" in content:
        area = np.full(len(area), content["group_name"])
    return Voxels(index[mask], area, _shape(content["brain_nii_shape"][key]))


def _berg_voxels(content: Mapping[str, Any], key: Any, origin: str) -> Voxels:
    info = content["betas_info"][key]
    volume = np.asarray(info["roi_mask_volume"])
    shape = _shape(info.get("volume_shape", volume.shape))
    if volume.shape != shape:
        raise ModelFileError(
            f"{origin}: {subject_name(key)}: expected roi_mask_volume of shape {shape}, got {volume.shape}."
        )
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


def _is_list(values: Any) -> bool:
    return isinstance(values, Sequence) and len(values) > 0


def _history(content: Mapping[str, Any], loss: str, holdout_loss: str, origin: str) -> pd.DataFrame:
    """Losses of each epoch and which was the best; empty if the checkpoint does not hold them."""
    names = {"loss": loss, "holdout_loss": holdout_loss}
    kept = {column: content.get(name) for column, name in names.items()}
    try:
        columns = {column: np.asarray(values, float) for column, values in kept.items() if _is_list(values)}
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{origin}: expected numbers in {loss} and {holdout_loss} ({error}).") from error
    if len({len(column) for column in columns.values()}) != 1:
        return pd.DataFrame()
    epochs = len(next(iter(columns.values())))
    best = np.arange(epochs) == content.get("best_epoch", -1)
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns, "best": best})


def _told(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The plain values of a checkpoint, and the name of its file."""
    values = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in content.items()
        if isinstance(key, str)
    }
    plain = {key: value for key, value in values.items() if isinstance(value, PLAIN) or value is None}
    return {"imported": Path(origin).name, **plain}
