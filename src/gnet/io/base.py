"""What the datasets of this project have in common: one file or folder on this machine, perhaps versioned."""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pandas as pd
from kedro.io.core import AbstractVersionedDataset, DatasetError, Version, get_protocol_and_path
from kedro_datasets._typing import TablePreview

from gnet.errors import StorageError


class LocalDataset(AbstractVersionedDataset):
    """A file on this machine. Subclasses say how it is loaded and saved, and which arguments that takes.

    Files are memory-mapped, read in part and renamed into place, which remote file systems do not offer:
    anything but a plain path is refused, and so are credentials and file-system arguments.
    """

    ACCEPTED_LOAD_ARGS: ClassVar[frozenset[str] | None] = frozenset()
    """Names that `load_args` may contain; None for any."""
    ACCEPTED_SAVE_ARGS: ClassVar[frozenset[str] | None] = frozenset()
    """Names that `save_args` may contain; None for any."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        version: Version | None = None,
        credentials: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember where the file is; nothing is opened.

        Parameters
        ----------
        filepath
            Path on this machine. A versioned dataset is stored as `filepath/<version>/<name>`.
        load_args, save_args
            What the class documents; other names are refused, so that a typo does not pass unseen.
        version
            Given by Kedro for `versioned: true`.
        credentials, fs_args
            Part of the signature that Kedro's tools expect; must be empty.
        metadata
            Ignored here; read by Kedro-Viz and other plugins.

        Raises
        ------
        DatasetError
            if the path is remote or an argument is not known.
        """
        name = type(self).__name__
        protocol, path = get_protocol_and_path(filepath, version)
        if protocol != "file":
            raise DatasetError(
                f"{name}: expected a path on this machine, found '{filepath}'; "
                "fetch the file and give its local path"
            )
        if credentials or fs_args:
            raise DatasetError(
                f"{name}: {path} is a local file, which takes no credentials and no fs_args; remove them"
            )
        _refuse_unknown(name, "load_args", load_args, self.ACCEPTED_LOAD_ARGS)
        _refuse_unknown(name, "save_args", save_args, self.ACCEPTED_SAVE_ARGS)
        self._load_args = dict(load_args or {})
        self._save_args = dict(save_args or {})
        self.metadata = metadata
        super().__init__(filepath=PurePosixPath(path), version=version)
        self._check()

    # Kedro records each subclass's arguments by this signature; without it an inherited constructor would be
    # recorded as (args, kwargs), and the catalog could not be written out again.
    __init__.__signature__ = inspect.signature(__init__)  # type: ignore[attr-defined]

    def _check(self) -> None:
        """Raise DatasetError for a path or an argument that the class cannot serve."""

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": self._filepath,
            "load_args": self._load_args,
            "save_args": self._save_args,
            "version": self._version,
        }

    def _exists(self) -> bool:
        return Path(self._get_load_path()).is_file()

    def _readable(self) -> Path:
        """Path to load from; StorageError if nothing is there."""
        path = Path(self._get_load_path())
        if not path.exists():
            raise StorageError(f"{path}: expected a file, found none; run the pipeline that makes it")
        return path


def table_preview(table: pd.DataFrame) -> TablePreview:
    """The table as Kedro-Viz shows it: index, columns and rows as plain JSON values, NaN as null.

    >>> table_preview(pd.DataFrame({"r": [0.5, float("nan")]}))["data"]
    [[0.5], [None]]
    """
    return TablePreview(json.loads(table.to_json(orient="split")))


def _refuse_unknown(
    name: str, kind: str, given: dict[str, Any] | None, accepted: frozenset[str] | None
) -> None:
    unknown = [] if accepted is None else sorted(set(given or {}) - accepted)
    if unknown:
        known = ", ".join(sorted(accepted or ())) or "nothing"
        raise DatasetError(
            f"{name}: {kind} may contain {known}, found {', '.join(unknown)}; remove or correct it"
        )
