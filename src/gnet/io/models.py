"""Fitted models as Kedro datasets: nodes are given and return `FittedModel`s."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kedro.io.core import DatasetError

from gnet.io.hdf5 import HDF5Dataset

if TYPE_CHECKING:  # imports torch
    from gnet.models.checkpoints import FittedModel


class ModelDataset(HDF5Dataset):
    """A fitted model in an HDF5 file, the same that `gnet.load_model` reads. Weights are read when needed.

    With `load_args: {several: true}` the file may hold several models, and loading gives a list. With
    `save_args: {keep: false}` the model is removed as soon as nothing in the run that made it needs it.
    """

    ACCEPTS = (object,)
    ACCEPTED_LOAD_ARGS = frozenset({"several"})
    ACCEPTED_SAVE_ARGS = frozenset({"keep"})

    def _read(self, path: Path) -> FittedModel | list[FittedModel]:
        from gnet.models.checkpoints import read_models

        models = read_models(path, lazy=True)
        if self._load_args.get("several"):
            return models
        if len(models) != 1:
            raise DatasetError(f"{path}: expected one model, found {len(models)} in the file")
        return models[0]

    def _write(self, part: Path, data: FittedModel | Sequence[FittedModel]) -> None:
        from gnet.models.checkpoints import FittedModel, save_models

        save_models([data] if isinstance(data, FittedModel) else data, part)

    def _release(self) -> None:
        super()._release()
        if self._version and self._version.save and not self._save_args.get("keep", True):
            shutil.rmtree(self.place / self._version.save, ignore_errors=True)
            with contextlib.suppress(OSError):  # other versions are there, or none was saved
                self.place.rmdir()
