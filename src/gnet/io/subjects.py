"""One object per subject in one HDF5 file, as a Kedro dataset."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from kedro.io.core import DatasetError

from gnet.io.hdf5 import HDF5Dataset
from gnet.storage.hdf5 import Stored, StoredArray, open_tree, write_tree


class SubjectsDataset(HDF5Dataset):
    """By subject an object of one dataclass, whose fields are arrays; a group of the file for each subject.

    `load_args: {content: gnet.recording.responses.Responses}` names the dataclass. Saving takes a mapping of
    subjects to objects, or to callables that return one when their turn comes, so that one subject is
    computed after the last one is written; fields that are None are left out. Loading reads all fields but
    those annotated `Any`, which stay on disk as `StoredArray` and are read when they are indexed.
    """

    ADVICE = "return {'subj01': object} from the node"
    EXPECTED = "a mapping of subjects to objects"
    ACCEPTED_LOAD_ARGS = frozenset({"content"})

    def _read(self, path: Path) -> dict[str, Any]:
        content = pkgutil.resolve_name(":".join(self._load_args["content"].rsplit(".", 1)))
        stored = open_tree(path)
        return {subject: self._object(content, group) for subject, group in stored.items()}

    def _write(self, part: Path, data: Mapping[str, Any]) -> None:
        arrays = {subject: partial(_arrays, value) for subject, value in data.items()}
        write_tree(part, arrays, **self._save_args)

    def _object(self, content: type, group: Stored) -> Any:
        found = {field.name: group[field.name] for field in fields(content) if field.name in group}
        for field in fields(content):
            if isinstance(found.get(field.name), StoredArray) and field.type not in ("Any", Any):
                found[field.name] = found[field.name].read()
        try:
            return content(**found)
        except TypeError as error:
            raise DatasetError(
                f"{self.place}: expected {content.__name__} in '{group.group}', found only "
                f"{', '.join(found)} ({error}). Delete the file and run the pipeline that makes it."
            ) from error


def _arrays(value: Any | Callable[[], Any]) -> dict[str, Any]:
    found = value() if callable(value) else value
    members = {field.name: getattr(found, field.name) for field in fields(found)}
    return {name: member for name, member in members.items() if member is not None}
