"""What the datasets of this project have in common: one file or folder on this machine, perhaps versioned."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import pandas as pd
from kedro.io.core import AbstractVersionedDataset, DatasetError, Version, get_protocol_and_path
from kedro_datasets._typing import TablePreview

from gnet.errors import GNetError, StorageError
from gnet.storage.atomic import atomic_path, unreadable
from gnet.storage.versions import versions


class LocalDataset(AbstractVersionedDataset):
    """A file or folder on this machine. A subclass states what it accepts, and how that is read and written.

    Files are memory-mapped, read in part and renamed into place, which remote file systems do not offer: they
    are refused, and so are names in `load_args` and `save_args` that a class does not know. Files are written
    atomically. What cannot be loaded or saved raises Kedro's DatasetError, caused by a StorageError if it is
    the file's fault.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = ()
    """How the name may end; empty for any name."""
    ACCEPTS: ClassVar[tuple[type, ...]] = ()
    """What can be saved."""
    EXPECTED: ClassVar[str] = ""
    """The same, as an error message says it."""
    ADVICE: ClassVar[str] = ""
    """What to do if something else was given."""
    ATOMIC: ClassVar[Callable[[Any], AbstractContextManager[Path]]] = staticmethod(atomic_path)
    """Gives a temporary path to write to, and renames it when all is written."""
    ACCEPTED_LOAD_ARGS: ClassVar[frozenset[str] | None] = frozenset()
    ACCEPTED_SAVE_ARGS: ClassVar[frozenset[str] | None] = frozenset()
    """Names that the arguments may contain; None for any."""
    read_only: ClassVar[bool] = False

    def __init__(
        self,
        *,
        filepath: str | os.PathLike,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        protocol, path = get_protocol_and_path(filepath, version)
        if protocol != "file":
            raise DatasetError(
                f"{type(self).__name__}: expected a path on this machine, found '{filepath}'; "
                "fetch the file and give its local path"
            )
        self._load_args = self._known("load_args", load_args, self.ACCEPTED_LOAD_ARGS)
        self._save_args = self._known("save_args", save_args, self.ACCEPTED_SAVE_ARGS)
        self.metadata = metadata  # for Kedro-Viz
        super().__init__(filepath=PurePosixPath(path), version=version)
        self._check()

    # Kedro records each subclass's arguments by this signature; without it an inherited constructor would be
    # recorded as (args, kwargs), and the catalog could not be written out again.
    __init__.__signature__ = inspect.signature(__init__)  # type: ignore[attr-defined]

    def _known(self, kind: str, given: dict[str, Any] | None, accepted: frozenset[str] | None) -> dict:
        unknown = [] if accepted is None else sorted(set(given or {}) - accepted)
        if unknown:
            raise DatasetError(
                f"{type(self).__name__}: {kind} may contain {', '.join(sorted(accepted)) or 'nothing'}, "
                f"found {', '.join(unknown)}; remove or correct it"
            )
        return dict(given or {})

    def _check(self) -> None:
        """Raise DatasetError for a path or an argument that the class cannot serve."""
        if self.SUFFIXES and self.place.suffix not in self.SUFFIXES:
            raise DatasetError(
                f"{self.place}: expected a name that ends in {' or '.join(self.SUFFIXES)}, "
                f"found '{self.place.suffix}'; rename the file in the catalog"
            )

    def load(self) -> Any:
        path = Path(self._get_load_path())
        if not path.exists():
            raise StorageError(f"{path}: expected a file, found none; run the pipeline that makes it")
        try:
            return self._read(path)
        except GNetError:
            raise
        except (ValueError, EOFError, OSError) as error:
            raise unreadable(path, f"a complete {path.suffix} file", error) from error

    def save(self, data: object) -> None:
        if not isinstance(data, self.ACCEPTS):
            raise self._refusal(type(data).__name__)
        with self.ATOMIC(Path(self._get_save_path())) as part:
            self._write(part, data)

    def _read(self, path: Path) -> Any:
        raise NotImplementedError

    def _write(self, part: Path, data: Any) -> None:
        """Write `data` to `part`, whose name has no suffix."""
        raise NotImplementedError

    def _refusal(self, found: str) -> DatasetError:
        return DatasetError(f"{self.place}: expected {self.EXPECTED}, found {found}; {self.ADVICE}")

    @property
    def place(self) -> Path:
        """The file or folder; of a versioned dataset, the folder of its versions."""
        return Path(self._filepath)

    @property
    def is_versioned(self) -> bool:
        """Whether each run saves a version of its own. (Kedro takes `versioned` for its own flag.)"""
        return self._version is not None

    @property
    def version_asked_for(self) -> str | None:
        """The version that `--load-versions` names."""
        return self._version.load if self._version else None

    def version_in_use(self) -> str | None:
        """The version that a load would take: the newest if none was asked for. None where there is none."""
        if self._version is None:
            return None
        asked = self.version_asked_for or self._cached_load_version
        return asked or next((Path(path).parent.name for path in self._get_versions()), None)

    def _get_versions(self) -> list[str]:
        """Newest first: only versions named by Kedro, and before them one of any name that this saves."""
        found = [str(path) for path in reversed(versions(self.place))]
        own = self._version and self._version.save and str(self._get_versioned_path(self._version.save))
        return [own, *found] if own and own not in found and Path(own).exists() else found

    def _describe(self) -> dict[str, Any]:
        return {name: getattr(self, f"_{name}") for name in ("filepath", "load_args", "save_args", "version")}

    def _exists(self) -> bool:
        return Path(self._get_load_path()).is_file()


def table_preview(table: pd.DataFrame) -> TablePreview:
    """The table as Kedro-Viz shows it: index, columns and rows as plain JSON values, NaN as null."""
    return TablePreview(json.loads(table.to_json(orient="split")))
