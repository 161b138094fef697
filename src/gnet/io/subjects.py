"""One object per subject in one HDF5 file, as a Kedro dataset."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any, ClassVar

import numpy as np
from kedro.io.core import DatasetError

from gnet.io.hdf5 import HDF5Dataset
from gnet.storage.hdf5 import Stored, StoredArray


class SubjectsDataset(HDF5Dataset):
    """By subject an object of one dataclass, whose fields are arrays; a group of the file for each subject.

    `load_args: {content: module.Class}` names the dataclass. Saving takes a mapping of subjects to objects,
    or to callables that return one when their turn comes, so that one subject is computed after the last one
    is written; fields that are None are left out. Loading reads arrays of one dimension; larger ones stay on
    disk and are read when they are indexed.

    ```yaml
    betas:
      type: gnet.io.subjects.SubjectsDataset
      filepath: ${globals:data_root}/03_primary/betas.h5
      load_args: {content: gnet.recording.responses.Responses}
    ```
    """

    ACCEPTED_LOAD_ARGS: ClassVar[frozenset[str]] = frozenset({"content"})

    def load(self) -> dict[str, Any]:
        """The objects by subject.

        Raises
        ------
        DatasetError
            if there is no such file, it cannot be read, or a subject lacks a field.
        """
        module, _, name = self._load_args["content"].rpartition(".")
        content = getattr(importlib.import_module(module), name)
        stored = super().load()
        return {subject: self._object(content, stored[subject]) for subject in stored}

    def save(self, data: Mapping[str, Any]) -> None:
        """Write subject by subject under a temporary name, then rename: after an error, nothing is left."""
        super().save({subject: partial(_arrays, value) for subject, value in data.items()})

    def _object(self, content: type, group: Stored) -> Any:
        found = {name: _read(group[name]) for name in group}
        known = {field.name for field in fields(content)}
        try:
            return content(**{name: value for name, value in found.items() if name in known})
        except TypeError as error:
            raise DatasetError(
                f"{self._filepath}: expected {content.__name__} in '{group.group}', found only "
                f"{', '.join(found)} ({error}). Delete the file and run the pipeline that makes it."
            ) from error


def _arrays(value: Any | Callable[[], Any]) -> dict[str, Any]:
    found = value() if callable(value) else value
    members = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: member for name, member in members.items() if member is not None}


def _read(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, StoredArray) and value.ndim <= 1 else value
