"""Fitted models as Kedro datasets: nodes are given and return `FittedModel`s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kedro.io.core import DatasetError

from gnet.io.hdf5 import HDF5Dataset

if TYPE_CHECKING:  # imports torch
    from gnet.models.checkpoints import FittedModel


class ModelDataset(HDF5Dataset):
    """A fitted model in an HDF5 file, the same that `gnet.load_model` reads. Weights are read when needed.

    With `load_args: {several: true}` the file may hold several models, and loading gives a list.

    ```yaml
    gnet8j:
      type: gnet.io.models.ModelDataset
      filepath: ${globals:data_root}/06_models/gnet8j.h5
      versioned: true
    ```
    """

    ACCEPTED_LOAD_ARGS: ClassVar[frozenset[str]] = frozenset({"several"})

    def load(self) -> FittedModel | list[FittedModel]:
        """Read everything but the weights.

        Raises
        ------
        DatasetError
            caused by a ModelFileError or a StorageError, if there is no such file or it holds no model.
        """
        from gnet.models.checkpoints import read_models

        models = read_models(self._readable(), lazy=True)
        if self._load_args.get("several"):
            return models
        if len(models) != 1:
            raise DatasetError(f"{self._filepath}: expected one model, found {len(models)} in the file")
        return models[0]

    def save(self, data: FittedModel | Sequence[FittedModel]) -> None:
        """Write under a temporary name, then rename: after an error, nothing is left."""
        from gnet.models.checkpoints import FittedModel, save_models

        save_models([data] if isinstance(data, FittedModel) else data, Path(self._get_save_path()))
