"""Fitted models and the HDF5 files that store them.

A single model is the root of its file. Models that belong together, such as one per area, are groups `1`,
`2`, ... There is no pickle in them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped

import gnet
from gnet.errors import GNetError, ModelFileError, StorageError
from gnet.models.gnet import Architecture, GNet
from gnet.storage.hdf5 import open_tree, write_tree
from gnet.storage.versions import newest

FORMAT = "gnet-model"
COLLECTION = "gnet-models"
"""`format` of a file that holds several models."""
VERSION = 1
"""Raised whenever the meaning of a stored model changes, so that older versions of gnet refuse it."""
RENAMED = {"momentum": "batch_norm_momentum", "sparsity": "l1"}
RENAMED |= {"trunk_rate": "trunk_learning_rate", "readout_rate": "readout_learning_rate"}
"""Names of settings in version 0.1, and their current names."""


@dataclass(frozen=True)
class Voxels:
    """The voxels that the rows of one readout predict, in the order of the rows."""

    index: Int[np.ndarray, " voxel"]
    """Flat index of each voxel, C order over (x, y, z)."""
    area: Shaped[np.ndarray, " voxel"] | None = None
    """Area of each voxel, "" where it has none. None: unknown."""
    shape: tuple[int, int, int] | None = None
    """Shape (x, y, z) of the volume that `index` counts through. None: unknown."""
    affine: Float[np.ndarray, "4 4"] | None = None
    """Maps (x, y, z, 1) to millimetres. None: unknown."""

    def __len__(self) -> int:
        return len(self.index)


class StoredNetwork(NamedTuple):
    """A network still in its file: the architecture is known, the weights are loaded when needed."""

    architecture: Architecture
    load: Callable[[], GNet]


@dataclass(frozen=True)
class FittedModel:
    """A network with everything needed to use it and to know how it was fitted."""

    source: GNet | StoredNetwork
    voxels: Mapping[str, Voxels]
    """By subject, the voxels that its readout predicts."""
    areas: tuple[str, ...] = ()
    """The areas that the network was fitted to."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """Protocol, settings and seed of the fit."""
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per epoch."""
    gnet_version: str = gnet.__version__
    """The version of gnet that fitted the model."""

    @cached_property
    def network(self) -> GNet:
        """The network, read from its file on first access; ModelFileError if the weights do not fit it."""
        return self.source if isinstance(self.source, GNet) else self.source.load()

    @property
    def architecture(self) -> Architecture:
        """Shapes and forward arithmetic of the network."""
        return self.source.architecture

    @property
    def voxel_index(self) -> dict[str, Int[np.ndarray, " voxel"]]:
        """By subject, the flat index of each voxel, in the order of the readout."""
        return {subject: voxels.index for subject, voxels in self.voxels.items()}

    def save(self, path: Path | str) -> None:
        """Write the model to an HDF5 file for `gnet.load_model`; StorageError if it cannot be written."""
        save_models([self], path)


def to_arrays(model: FittedModel) -> dict[str, Any]:
    """The model as a nested mapping of arrays, numbers and text, for storage."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "gnet_version": model.gnet_version,
        "architecture": json.dumps(model.architecture.as_dict()),
        "configuration": json.dumps(dict(model.configuration)),
        "areas": json.dumps(list(model.areas)),
        "history": {str(name): column.to_numpy() for name, column in model.history.items()},
        "readouts": {subject: _voxel_arrays(voxels) for subject, voxels in model.voxels.items()},
        "weights": {name: t.detach().cpu().numpy() for name, t in model.network.state_dict().items()},
    }


def from_arrays(stored: Mapping[str, Any], origin: str = "model", *, lazy: bool = False) -> FittedModel:
    """The inverse of `to_arrays`: a model on the CPU, in evaluation mode.

    Errors call it `origin`. If `lazy`, weights are read only when `network` is first accessed. Raises
    ModelFileError for anything that is not a model, another format version, invalid voxel indices, and
    weights that do not fit the architecture or are not finite.
    """
    if stored.get("format") != FORMAT:
        raise ModelFileError(f"{origin}: expected a file of format {FORMAT!r}, got {stored.get('format')!r}.")
    if stored.get("version") != VERSION:
        raise ModelFileError(
            f"{origin}: expected model version {VERSION}, got {stored.get('version')!r}, written by gnet "
            f"{stored.get('gnet_version', 'unknown')}. Refit the model, or read it with that version of gnet."
        )
    try:
        voxels = {subject: _voxels(subject, readout) for subject, readout in stored["readouts"].items()}
        if not voxels:
            raise ModelFileError("no subject has a readout")
        weights = stored["weights"]
        if not isinstance(weights, Mapping):
            raise ModelFileError("weights are not a group of arrays")
        architecture = Architecture(**_renamed(json.loads(stored["architecture"])))
        model = FittedModel(
            StoredNetwork(architecture, lambda: _network(architecture, voxels, weights, origin)),
            voxels,
            tuple(json.loads(stored["areas"])),
            _renamed(json.loads(stored["configuration"])),
            pd.DataFrame({name: np.asarray(column) for name, column in stored["history"].items()}),
            str(stored.get("gnet_version", "unknown")),
        )
    except (GNetError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise _misfit(origin, error) from error
    if not lazy:
        _ = model.network
    return model


def read_models(path: Path | str, *, lazy: bool = False) -> list[FittedModel]:
    """The models of one file, or of the newest in a folder of versions, on the CPU and in evaluation mode.

    If `lazy`, weights are read only when they are needed. Raises ModelFileError if the file is missing,
    damaged or holds no model.
    """
    path = newest_version(Path(path))
    try:
        stored: Mapping[str, Any] = open_tree(path)
        if stored.get("format") != COLLECTION:
            return [from_arrays(stored, str(path), lazy=lazy)]
        parts = sorted((name for name in stored if name.isdecimal()), key=int)
        models = [from_arrays(stored[name], f"{path}, model {name}", lazy=lazy) for name in parts]
    except (StorageError, AttributeError, TypeError) as error:
        raise ModelFileError(
            f"{path}: expected a model in HDF5, found a file that cannot be read ({error}). "
            "If it is a checkpoint of the published code, import it: gnet import-checkpoint"
        ) from error
    if not models:
        raise ModelFileError(f"{path}: expected models, found an empty collection. Import them again.")
    return models


def save_models(models: Sequence[FittedModel], path: Path | str) -> None:
    """Write one model or several into one file, whole or not at all. A file that was there is replaced."""
    parts = {str(number): to_arrays(model) for number, model in enumerate(models, 1)}
    write_tree(path, parts["1"] if len(models) == 1 else {"format": COLLECTION, **parts})


def newest_version(path: Path) -> Path:
    """The path itself, or the newest file in a folder of versions; ModelFileError if neither exists."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelFileError(f"{path}: expected a model file or a folder of its versions, found neither.")
    if (found := newest(path)) is None:
        raise ModelFileError(
            f"{path}: expected versions of a model, <version>/{path.name}, found none in the folder. "
            "Run the pipeline that fits the model, or give the path of a model file."
        )
    return found


def _voxel_arrays(voxels: Voxels) -> dict[str, np.ndarray]:
    arrays: dict[str, tuple] = {"voxel_index": (voxels.index, np.int64), "area": (voxels.area, str)}
    arrays |= {"volume_shape": (voxels.shape, np.int64), "affine": (voxels.affine, np.float64)}
    return {name: np.asarray(array, dtype) for name, (array, dtype) in arrays.items() if array is not None}


def _voxels(subject: str, readout: Mapping[str, Any]) -> Voxels:
    """The stored voxels of a subject, checked."""
    index = np.asarray(readout["voxel_index"])
    if index.ndim != 1 or index.dtype.kind not in "iu" or (index < 0).any():
        raise ModelFileError(f"{subject}: voxel_index is not a list of integers from 0")
    if len(np.unique(index)) != len(index):
        raise ModelFileError(f"{subject}: voxel_index holds a voxel twice")
    area = np.asarray(readout["area"], str) if "area" in readout else None
    if area is not None and area.shape != index.shape:
        raise ModelFileError(f"{subject} has {len(index):,} voxels but areas for {area.size:,}")
    shape = None
    if "volume_shape" in readout:
        found = np.asarray(readout["volume_shape"])
        if found.shape != (3,) or found.dtype.kind not in "iu" or index.max(initial=0) >= found.prod():
            raise ModelFileError(f"{subject}: volume_shape must be (x, y, z) and contain all voxels")
        shape = tuple(found.tolist())
    affine = np.asarray(readout["affine"], np.float64) if "affine" in readout else None
    if affine is not None and affine.shape != (4, 4):
        raise ModelFileError(f"{subject}: the affine is not 4 x 4")
    return Voxels(index, area, shape, affine)


def _network(architecture: Architecture, voxels: Mapping[str, Voxels], weights: Any, origin: str) -> GNet:
    """The network with its stored weights."""
    try:
        with torch.device("meta"):  # shapes only: drawing weights would be wasted
            network = GNet(architecture, {subject: len(found) for subject, found in voxels.items()})
        expected = network.state_dict()
        tensors = {}
        for name, stored in weights.items():
            array = np.asarray(stored)
            if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
                raise ModelFileError(f"{name}: expected finite real numbers, found others ({array.dtype})")
            tensors[name] = torch.tensor(array, dtype=expected[name].dtype if name in expected else None)
        network.load_state_dict(tensors, assign=True)
        return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    except (GNetError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _misfit(origin, error) from error


def _renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under their current names."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}


def _misfit(origin: str, error: Exception) -> ModelFileError:
    reason = str(error).removesuffix(".")
    return ModelFileError(f"{origin}: its parts do not fit together: {reason}. Refit the model.")
