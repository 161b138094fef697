"""Named brain volumes as a folder of NIfTI files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from gnet.io.base import LocalDataset, table_preview
from gnet.recording.volumes import Volume, open_image, read_volume, write_volume
from gnet.storage.atomic import atomic_folder

SUFFIX = ".nii.gz"
NAME = re.compile(r"[^/.][^/]*(/[^/.][^/]*)*")


class VolumesDataset(LocalDataset):
    """Named volumes in a folder, saved and replaced as a whole, loaded one at a time when asked for.

    Saving takes a mapping of names such as `subj01/early_visual` to a `Volume`, or to a callable without
    arguments that returns one when its turn comes. Loading gives the same mapping as `StoredVolumes`. A
    folder that holds anything but volumes is never replaced.
    """

    ACCEPTS = (Mapping,)
    EXPECTED = "a mapping of names to volumes"
    ADVICE = "return {'name': Volume(data, affine)} from the node"
    ATOMIC = staticmethod(atomic_folder)

    def _read(self, path: Path) -> StoredVolumes:
        volumes = StoredVolumes(path)
        if not len(volumes):
            raise DatasetError(
                f"{path}: expected {SUFFIX} files, found none; run the pipeline that makes them"
            )
        return volumes

    def _write(self, part: Path, data: Mapping) -> None:
        path = Path(self._get_save_path())
        if not data:
            raise self._refusal("an empty one")
        if others := {file for file in path.rglob("*") if file.is_file()} - {*path.rglob(f"?*{SUFFIX}")}:
            raise DatasetError(
                f"{path}: expected a folder of {SUFFIX} files only, as it is replaced as a whole, "
                f"found {min(others).relative_to(path)}; move it away or give another folder"
            )
        for name, value in data.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise DatasetError(
                    f"{path}: expected names such as 'subj01/V1', found {name!r}; "
                    "use words separated by single '/'"
                )
            volume = value() if isinstance(value, Callable) else value
            if not isinstance(volume, Volume):
                raise DatasetError(
                    f"{path}: '{name}': expected a gnet.recording.volumes.Volume, which has data and affine, "
                    f"found {type(volume).__name__}"
                )
            file = part / f"{name}{SUFFIX}"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_volume(file, volume.data, volume.affine)

    def preview(self, nrows: int = 100) -> TablePreview:
        """Name, shape and type of each volume, for Kedro-Viz; read from the headers."""
        volumes = self.load()
        headers = {name: open_image(volumes.path(name)) for name in list(volumes)[:nrows]}
        rows = [(name, str(header.shape), str(header.get_data_dtype())) for name, header in headers.items()]
        return table_preview(pd.DataFrame(rows, columns=["name", "shape", "dtype"]))

    def _exists(self) -> bool:
        return len(StoredVolumes(Path(self._get_load_path()))) > 0


@dataclass(frozen=True)
class StoredVolumes(Mapping):
    """Volumes of a folder by name, sorted; each is read from disk whenever it is looked up."""

    folder: Path

    def __getitem__(self, name: str) -> Volume:
        """Read one volume; KeyError tells which there are."""
        if name not in list(self):
            raise KeyError(f"{self.folder}: no '{name}', only {', '.join(self) or 'nothing'}")
        return read_volume(self.path(name))

    def __iter__(self) -> Iterator[str]:
        files = (file.relative_to(self.folder).as_posix() for file in self.folder.rglob(f"?*{SUFFIX}"))
        return iter(sorted(file.removesuffix(SUFFIX) for file in files))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"
