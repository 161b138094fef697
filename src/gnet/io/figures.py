"""Figures as pictures: saved from Matplotlib, loaded as the bytes of the file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import ClassVar

from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from gnet.io.base import LocalDataset


class FigureDataset(LocalDataset):
    """A Matplotlib figure as a `.png` file, loaded as bytes; `save_args` go to `Figure.savefig`.

    Differs from kedro-datasets' MatplotlibDataset in that a file is written atomically, can be loaded (for
    the report), and that pyplot's figures are left alone.
    """

    SUFFIXES = (".png",)  # what Kedro-Viz and the report show
    ACCEPTS = (Figure,)
    EXPECTED = "a Matplotlib figure"
    ADVICE = "return a Figure from the node"
    ACCEPTED_SAVE_ARGS: ClassVar[None] = None

    def _read(self, path: Path) -> bytes:
        return path.read_bytes()

    def _write(self, part: Path, data: Figure) -> None:
        data.savefig(part, format="png", **{"dpi": "figure", "facecolor": "white", **self._save_args})

    def preview(self) -> ImagePreview:
        return ImagePreview(base64.b64encode(self.load()).decode("ascii"))
