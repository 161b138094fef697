"""Fitted models as plain arrays: what is stored, and the names that the published code gave the same tensors.

No pickle anywhere: a model is a nested mapping of arrays, numbers and text that any HDF5 viewer can open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

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
        index = {
            subject: np.asarray(readout["voxel_index"]) for subject, readout in stored["readouts"].items()
        }
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
        )
    except (GNetError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelFileError(f"{origin}: its parts do not fit together: {error}. Fit it again.") from error


def from_published_encoder(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published class's encoder tensors under our names.

    `pre.conv1.0.weight` -> `prefilter.conv1.weight`, `enc.conv3.weight` -> `trunk.conv3.conv.weight`,
    `enc.bn1.*` -> `trunk.conv3.norm.*`, `enc.conv4a.conv1.*` -> `trunk.conv4a.conv.*`,
    `enc.conv4a.bn1.*` -> `trunk.conv4a.norm.*`, `mu` -> `input_mean`.

    Raises
    ------
    ModelFileError
        for a name that the published class does not have.
    """
    patterns = (
        (r"pre\.(conv[12])\.0\.(\w+)", r"prefilter.\1.\2"),
        (r"enc\.conv3\.(\w+)", r"trunk.conv3.conv.\1"),
        (r"enc\.bn1\.(\w+)", r"trunk.conv3.norm.\1"),
        (r"enc\.(conv\d[ab])\.conv1\.(\w+)", r"trunk.\1.conv.\2"),
        (r"enc\.(conv\d[ab])\.bn1\.(\w+)", r"trunk.\1.norm.\2"),
        (r"mu", r"input_mean"),
    )
    renamed = {}
    for name, tensor in state.items():
        for pattern, replacement in patterns:
            match = re.fullmatch(pattern, name)
            if match:
                renamed[match.expand(replacement)] = tensor.flatten() if name == "mu" else tensor
                break
        else:
            raise ModelFileError(f"encoder state: the published class has no tensor named {name!r}.")
    return renamed


def from_published_readout(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The published readout's `rf0, rf1, ..., w, b` as our `fields.0, fields.1, ..., weight, bias`."""
    names = {"w": "weight", "b": "bias"}
    return {names.get(name, re.sub(r"^rf(\d)$", r"fields.\1", name)): array for name, array in state.items()}
