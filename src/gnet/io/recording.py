"""A recording on disk: read by its reader, or written by a simulation."""

from __future__ import annotations

import os
import pkgutil
from pathlib import Path
from typing import Any

from kedro.io.core import AbstractDataset, DatasetError

from gnet.io.tables import TableDataset
from gnet.readers.nsd.layout import MARKER
from gnet.recording.reader import Reader
from gnet.storage.atomic import atomic_folder

READERS = {"nsd": "gnet.readers.nsd.reader:open_reader"}
"""By name, what opens the root of a recording; imported when it is used. It raises ReleaseError."""


class RecordingDataset(AbstractDataset):
    """A folder with a recording, loaded as its `gnet.recording.reader.Reader`; no data are read.

    Saving takes a simulated release, which has a method `write(folder)`, and writes it as a whole, with a
    file `.simulated` inside. Only a folder with that file, or an empty one, is ever replaced: measured data
    are not overwritten.

    Parameters
    ----------
    reader : str
        Whose files they are: "nsd", the Natural Scenes Dataset.
    filepath : str or path
        Root of the recording; of NSD, the folder with `nsddata`.
    variable : str
        Instead of `filepath`, the environment variable that holds it. If it is not set, loading raises an
        error that says so, and other pipelines still run.
    read_only : bool
        True for what was downloaded. Nothing is written then, and asking whether the dataset exists raises
        what is wrong with it, so that a run with a wrong path stops at once instead of simulating there.
    """

    def __init__(
        self,
        *,
        reader: str = "nsd",
        filepath: str | os.PathLike | None = None,
        variable: str | None = None,
        read_only: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        if reader not in READERS:
            raise DatasetError(
                f"RecordingDataset: expected reader {' or '.join(READERS)}, found '{reader}'; correct it"
            )
        root = os.environ.get(variable) if variable else filepath
        if "://" in str(root):
            raise DatasetError(
                f"RecordingDataset: expected a folder of this machine, found '{root}'; "
                "download the release and give its folder"
            )
        self._reader, self.read_only = reader, read_only
        self._filepath = Path(root).expanduser() if root else None
        self.metadata = metadata  # for Kedro-Viz

    @property
    def place(self) -> Path | None:
        """Root of the recording; None if it is not set."""
        return self._filepath

    def load(self) -> Reader:
        """Open the recording; DatasetError, with the ReleaseError's text, if the folder holds none."""
        return self._open()

    def save(self, data: object) -> None:
        """Write a simulated release beside its final place, then rename it: all of it or nothing."""
        root = self._filepath
        if self.read_only or root is None:
            raise DatasetError(
                f"{root or 'NSD_ROOT, not set'}: this release is read-only, nothing was written; "
                "to simulate one, use an environment whose catalog does not say read_only"
            )
        if not callable(getattr(data, "write", None)):
            raise DatasetError(
                f"{root}: expected a simulated release, found {type(data).__name__}; "
                "return what gnet.simulation.release.simulate gives"
            )
        if root.is_dir():
            free = (root / MARKER).is_file() or all(member.name == ".gitkeep" for member in root.iterdir())
        else:
            free = not root.exists()
        if not free:
            raise DatasetError(
                f"{root}: expected nothing, or a simulated release (with a file {MARKER}), found a folder of "
                "other files, and nothing was written; to use a downloaded release set NSD_ROOT and run with "
                "--env nsd, to simulate one give another folder"
            )
        with atomic_folder(root) as part:
            data.write(part)
            (part / MARKER).write_text("Simulated, not measured. The next simulation replaces this folder.\n")

    def _open(self) -> Reader:
        return pkgutil.resolve_name(READERS[self._reader])(self._filepath)

    def _exists(self) -> bool:
        if self.read_only:
            return self._open() is not None
        return self._filepath is not None and (self._filepath / MARKER).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"reader": self._reader, "filepath": self._filepath, "read_only": self.read_only}


class InventoryDataset(TableDataset):
    """A table of the recording's files that exists only while none of them has a `problem`.

    In this way the next run takes the inventory again, when missing files may have arrived.
    """

    is_check = True  # it lets a run go on; nothing of it goes into what is made from the files

    def _exists(self) -> bool:
        return super()._exists() and bool((self.load()["problem"] == "").all())
