"""Fitted models as plain arrays: what is stored.

No pickle anywhere: a model is a nested mapping of arrays, numbers and text that any HDF5 viewer can open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int, Shaped

import gnet
from gnet.errors import GNetError, ModelFileError
from gnet.models.gnet import Architecture, GNet

FORMAT = "gnet-model"
VERSION = 1
"""Goes up whenever a stored model's meaning changes, so that older programs refuse it and do not guess."""


@dataclass(frozen=True)
class FittedModel:
    """A network with what is needed to use it and to know how it came about."""

    network: GNet
    voxel_index: Mapping[str, Int[np.ndarray, " voxel"]]
    """Per subject, the flat index (C order over x, y, z) of each of the readout's voxels, in its order."""
    areas: tuple[str, ...] = ()
    """The areas it was fitted to."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """Protocol, settings and seed of the fit, as given."""
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row an epoch."""
    area: Mapping[str, Shaped[np.ndarray, " voxel"]] = field(default_factory=dict)
    """Per subject, the area of each voxel, "" where it has none; without subjects of whom it is unknown."""
    volume_shape: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Per subject, the shape (x, y, z) of the volume that `voxel_index` counts through, where it is known."""


def to_arrays(model: FittedModel) -> dict[str, Any]:
    """The model as a nested mapping of arrays, numbers and text, for storage.

    >>> network = GNet(Architecture(75, trunk_width=4), {"subj01": 2})
    >>> stored = to_arrays(FittedModel(network, {"subj01": np.array([7, 9])}))
    >>> stored["format"], stored["readouts"]["subj01"]["voxel_index"]
    ('gnet-model', array([7, 9]))
    """
    weights = {name: tensor.detach().cpu().numpy() for name, tensor in model.network.state_dict().items()}
    return {
        "format": FORMAT,
        "version": VERSION,
        "gnet_version": gnet.__version__,
        "architecture": json.dumps(model.network.architecture.as_dict()),
        "configuration": json.dumps(dict(model.configuration)),
        "areas": json.dumps(list(model.areas)),
        "history": {str(name): column.to_numpy() for name, column in model.history.items()},
        "readouts": {
            subject: {"voxel_index": np.asarray(index, np.int64)}
            | ({"area": np.asarray(model.area[subject], str)} if subject in model.area else {})
            | (
                {"volume_shape": np.asarray(model.volume_shape[subject], np.int64)}
                if subject in model.volume_shape
                else {}
            )
            for subject, index in model.voxel_index.items()
        },
        "weights": weights,
    }


def from_arrays(stored: Mapping[str, Any], origin: str = "model") -> FittedModel:
    """The inverse of `to_arrays`: a model on the CPU, in evaluation mode.

    Parameters
    ----------
    stored
        What `to_arrays` made; array-likes that are read when converted will do.
    origin
        What to call it in an error.

    Raises
    ------
    ModelFileError
        when it is no model, of another format version, or its tensors do not fit its architecture.
    """
    if stored.get("format") != FORMAT:
        raise ModelFileError(f"{origin}: expected a file of format {FORMAT!r}, got {stored.get('format')!r}.")
    if stored.get("version") != VERSION:
        raise ModelFileError(
            f"{origin}: expected model version {VERSION}, got {stored.get('version')!r}, written by gnet "
            f"{stored.get('gnet_version', 'unknown')}. Fit it again, or read it with that version of gnet."
        )
    try:
        readouts = dict(stored["readouts"].items())
        index = {subject: np.asarray(readout["voxel_index"]) for subject, readout in readouts.items()}
        area = {s: np.asarray(readout["area"], str) for s, readout in readouts.items() if "area" in readout}
        for subject, areas in area.items():
            if len(areas) != len(index[subject]):
                raise ModelFileError(
                    f"{subject} has {len(index[subject]):,} voxels and areas of {len(areas):,}"
                )
        architecture = Architecture(**json.loads(stored["architecture"]))
        network = GNet(architecture, {subject: len(voxels) for subject, voxels in index.items()})
        state = {name: torch.from_numpy(np.array(array)) for name, array in stored["weights"].items()}
        network.load_state_dict(state)
        return FittedModel(
            network.eval(),
            index,
            tuple(json.loads(stored["areas"])),
            json.loads(stored["configuration"]),
            pd.DataFrame({name: np.asarray(column) for name, column in stored["history"].items()}),
            area,
            {
                subject: tuple(np.asarray(readout["volume_shape"]).tolist())
                for subject, readout in readouts.items()
                if "volume_shape" in readout
            },
        )
    except (GNetError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{origin}: its parts do not fit together: {error}. Fit it again.") from error
