"""Models written as checkpoints that the published code reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnet.models.checkpoints import FittedModel, to_arrays
from gnet.models.interchange.names import (
    AREA_OF_LABEL,
    METADATA,
    subject_key,
    to_published_encoder,
    to_published_readout,
)
from gnet.storage.atomic import atomic_path
from gnet.storage.steady_file import SteadyFile


def export_checkpoint(model: FittedModel, path: Path | str) -> None:
    """Write the model in the published format, atomically."""
    with atomic_path(path) as part, SteadyFile(part) as file:
        torch.save(to_published(model), file)


def to_published(model: FittedModel) -> dict[str, Any]:
    """A model as the published code stores it, and under the key `gnet` what that has no place for.

    Labels in `voxel_roi` are those of the areas' first halves (V1v for V1), 0 where the area has none, and
    `val_cc` is NaN: a model does not hold them. `brain_nii_shape` and `voxel_mask` are present if the model
    knows the volume's shape. A model of one area has a `group_mask`, as GNet8r has.
    """
    state = {name: tensor.detach().cpu().clone() for name, tensor in model.network.state_dict().items()}
    keys = {subject: subject_key(subject) for subject in model.voxels}
    fwrfs = {key: to_published_readout(state, subject) for subject, key in keys.items()}
    return {
        **_training(model),
        "best_params": {"enc": to_published_encoder(state), "fwrfs": fwrfs},
        "final_params": {},
        "input_mean": state["input_mean"].reshape(1, 3, 1, 1).numpy(),
        **_voxels(model, keys),
        METADATA: {name: part for name, part in to_arrays(model).items() if name != "weights"},
    }


def _training(model: FittedModel) -> dict[str, Any]:
    """Settings and history of the fit, as far as the published format has keys for them."""
    history, configuration = model.history, model.configuration
    best = np.flatnonzero(history["best"]) if "best" in history else np.array([], int)
    correlation = float(history["holdout_median_r"].max()) if "holdout_median_r" in history else None
    return {
        "num_epochs": configuration.get("num_epochs", configuration.get("epochs", len(history))),
        "batch_size": configuration.get("batch_size"),
        "holdout_frac": configuration.get("holdout_frac"),
        "trn_loss_history": list(map(float, history.get("loss", ()))),
        "hold_loss_history": list(map(float, history.get("holdout_loss", ()))),
        "hold_cc_history": {},
        "best_epoch": int(best[0]) if len(best) else 0,
        "best_joint_cc_score": correlation,
    }


def _voxels(model: FittedModel, keys: Mapping[str, int | str]) -> dict[str, Any]:
    """Position and label of every row of every readout, and where known the volumes they lie in."""
    described = {key: model.voxels[subject] for subject, key in keys.items()}
    single = model.areas[0] if len(model.areas) == 1 else ""
    labels = {area: AREA_OF_LABEL.index(area) for area in AREA_OF_LABEL}
    exported: dict[str, Any] = {"val_cc": {}, "voxel_index": {}, "voxel_roi": {}}
    for key, voxels in described.items():
        areas = [single] * len(voxels) if voxels.area is None else voxels.area
        exported["val_cc"][key] = np.full(len(voxels), np.nan, np.float32)
        exported["voxel_index"][key] = np.asarray(voxels.index, np.int64)
        exported["voxel_roi"][key] = np.array([labels.get(area, 0) for area in areas])
    shapes = {key: voxels.shape for key, voxels in described.items() if voxels.shape is not None}
    if len(shapes) == len(keys):
        index = exported["voxel_index"]
        masks = {key: np.isin(np.arange(np.prod(shape)), index[key]) for key, shape in shapes.items()}
        exported |= {"brain_nii_shape": shapes, "voxel_mask": masks}
    if single:
        masks = {key: np.ones(len(voxels), bool) for key, voxels in described.items()}
        exported |= {"group_name": single, "group_mask": masks}
    return exported
