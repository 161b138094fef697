"""Model files: HDF5, as the pipelines store them, read and written without any of Kedro.

One fitted model is the file's root. Several that belong together, such as one an area, are the groups `1`,
`2`, ... of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gnet.errors import ModelFileError
from gnet.models.checkpoints import FittedModel, from_arrays, to_arrays
from gnet.storage.atomic import atomic_path
from gnet.storage.steady_file import SteadyFile

COLLECTION = "gnet-models"
"""`format` of a file of several models."""


def read_models(path: Path | str) -> list[FittedModel]:
    """The models of one file, on the CPU and in evaluation mode.

    Parameters
    ----------
    path
        The file, or the folder in which a pipeline keeps its versions: the newest is read.

    Raises
    ------
    ModelFileError
        for a file that is missing, damaged or holds no model.
    """
    path = newest_version(Path(path))
    try:
        with h5py.File(path, "r") as file:
            stored = _read(file)
    except (OSError, RuntimeError, KeyError) as error:
        raise ModelFileError(
            f"{path}: expected a model in HDF5, found a file that cannot be read ({error}). "
            "If it is a checkpoint of the published code, import it: gnet import-checkpoint"
        ) from error
    return models_in(stored, str(path))


def models_in(stored: Mapping[str, Any], origin: str = "model") -> list[FittedModel]:
    """The model or models in a file's nested arrays; arguments and errors as `from_arrays`."""
    if stored.get("format") == COLLECTION:
        parts = sorted((name for name in stored if name.isdecimal()), key=int)
        return [from_arrays(stored[name], f"{origin}, model {name}") for name in parts]
    return [from_arrays(stored, origin)]


def save_models(models: FittedModel | Sequence[FittedModel], path: Path | str) -> None:
    """Write one model or several into one file, whole or not at all; a file that was there is replaced."""
    if isinstance(models, FittedModel):
        models = [models]
    if len(models) == 1:
        content = to_arrays(models[0])
    else:
        content = {"format": COLLECTION, **{str(n): to_arrays(model) for n, model in enumerate(models, 1)}}
    with (
        atomic_path(path) as part,
        SteadyFile(part) as steady,
        h5py.File(steady, "w", track_order=True) as file,
    ):
        _write(file, content)


def newest_version(path: Path) -> Path:
    """The file itself, or in a folder of versions (`<name>/<version>/<name>`) the newest.

    Raises
    ------
    ModelFileError
        where neither is there.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise ModelFileError(f"{path}: expected a model file or a folder of its versions, found neither.")
    versions = sorted(path.glob(f"*/{path.name}"))
    if not versions:
        raise ModelFileError(
            f"{path}: expected versions of a model, <version>/{path.name}, found none in the folder. "
            "Run the pipeline that fits it, or give the file itself."
        )
    return versions[-1]


def _write(group: h5py.Group, members: Mapping[str, Any]) -> None:
    for name, value in members.items():
        if isinstance(value, Mapping):
            _write(group.create_group(name, track_order=True), value)
        elif isinstance(value, np.ndarray):
            text = value.dtype.kind in "UTO"
            group.create_dataset(
                name,
                data=value.astype(object) if text else value,
                dtype=h5py.string_dtype() if text else None,
            )
        else:
            group.attrs[name] = value


def _read(group: h5py.Group) -> dict[str, Any]:
    members = {
        name: value.item() if isinstance(value, np.generic) else value for name, value in group.attrs.items()
    }
    for name, member in group.items():
        if isinstance(member, h5py.Group):
            members[name] = _read(member)
        elif h5py.check_string_dtype(member.dtype):
            members[name] = member.asstr()[()].astype(str)
        else:
            members[name] = member[()]
    return members
