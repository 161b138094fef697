"""The Natural Scenes Dataset on disk: read where it is, or written by a simulation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from kedro.io.core import AbstractDataset, DatasetError

from gnet.io.tables import TableDataset
from gnet.readers.nsd.layout import MARKER, open_release
from gnet.readers.nsd.reader import NSDReader
from gnet.storage.atomic import atomic_folder


@runtime_checkable
class Release(Protocol):
    """Anything that can write itself in NSD's layout."""

    def write(self, root: Path) -> object:
        """Write every file below `root`, an empty folder."""


class RecordingDataset(AbstractDataset):
    """A folder in the layout of the Natural Scenes Dataset.

    Loading checks that the folder is a release and gives its `Layout`, the paths of all files; no data are
    read. Saving takes a simulated release and writes it as a whole, with a file `.simulated` inside. Only a
    folder with that file, or an empty one, is ever replaced: measured data are not overwritten. With
    `read_only: true` nothing is written at all, and asking whether the dataset exists raises what is wrong
    with it, so that a run with a wrong path stops at once instead of simulating a release there.

    ```yaml
    recording:
      type: gnet.io.recording.RecordingDataset
      filepath: ${globals:data_root}/01_raw/nsd
    ```
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike | None = None,
        variable: str | None = None,
        read_only: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Remember where the release is; nothing is opened.

        Parameters
        ----------
        filepath : str or path
            Root of the release, the folder with `nsddata`.
        variable : str
            Instead of `filepath`, the environment variable that holds it. If it is not set, loading raises an
            error that says so, and other pipelines still run.
        read_only : bool
            True for a release that was downloaded.
        metadata : dict
            Ignored here; read by Kedro-Viz and other plugins.

        Raises
        ------
        DatasetError
            if the path is remote.
        """
        root = os.environ.get(variable) if variable else filepath
        if "://" in str(root):
            raise DatasetError(
                f"RecordingDataset: expected a folder of this machine, found '{root}'; "
                "download the release and give its folder"
            )
        self._filepath = Path(root).expanduser() if root else None
        self._read_only = read_only
        self.metadata = metadata

    @property
    def place(self) -> Path | None:
        """Root of the release; None if it is not set."""
        return self._filepath

    is_versioned = False

    def version_in_use(self) -> None:
        """None: a release has no versions."""

    def record_of(self, version: None) -> Path | None:
        """As of `gnet.io.base.LocalDataset`."""
        return None if self._read_only or self._filepath is None else Path(f"{self._filepath}.record.json")

    def load(self) -> NSDReader:
        """The reader of the release.

        Raises
        ------
        DatasetError
            with the text of the `gnet.errors.ReleaseError` that says why the folder is no release.
        """
        return NSDReader(open_release(self._filepath))

    def save(self, data: object) -> None:
        """Write a simulated release beside its final place, then rename it: all of it or nothing.

        Raises
        ------
        DatasetError
            if the dataset is read-only, the folder holds anything this did not write, or `data` cannot write
            itself.
        """
        if self._read_only or self._filepath is None:
            raise DatasetError(
                f"{self._filepath or 'NSD_ROOT, not set'}: this release is read-only, nothing was written; "
                "to simulate one, use an environment whose catalog does not say read_only"
            )
        if not isinstance(data, Release):
            raise DatasetError(
                f"{self._filepath}: expected a simulated release, found {type(data).__name__}; "
                "return what gnet.simulation.release.simulate gives"
            )
        if self._holds_data_of_others():
            raise DatasetError(
                f"{self._filepath}: expected nothing, or a simulated release (with a file {MARKER}), found a "
                "folder of other files, and nothing was written; to use a downloaded release set NSD_ROOT "
                "and run with --env nsd, to simulate one give another folder"
            )
        with atomic_folder(self._filepath) as part:
            data.write(part)
            (part / MARKER).write_text("Simulated, not measured. The next simulation replaces this folder.\n")

    def _exists(self) -> bool:
        if self._read_only:
            open_release(self._filepath)
            return True
        return self._filepath is not None and (self._filepath / MARKER).is_file()

    def _holds_data_of_others(self) -> bool:
        root = self._filepath
        if root is None or not root.exists() or (root / MARKER).is_file():
            return False
        return not root.is_dir() or any(member.name != ".gitkeep" for member in root.iterdir())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "read_only": self._read_only}


class InventoryDataset(TableDataset):
    """A table of the release's files that exists only while none of them has a `problem`.

    In this way the next run takes the inventory again, when missing files may have arrived.
    """

    def _exists(self) -> bool:
        return super()._exists() and bool((self.load()["problem"] == "").all())
