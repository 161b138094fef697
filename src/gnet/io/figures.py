"""Figures as pictures: saved from Matplotlib, loaded as the bytes of the file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, ClassVar

from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from gnet.io.base import LocalDataset


class FigureDataset(LocalDataset):
    """A Matplotlib figure as a `.png` file.

    Differs from kedro-datasets' MatplotlibDataset: the file appears under its name only when it is complete,
    it can be loaded (as bytes, for the report), and pyplot's figures are left
    alone. `save_args` go to `Figure.savefig`.

    Examples
    --------
    >>> dataset = FigureDataset(filepath=getfixture("tmp_path") / "empty.png")
    >>> dataset.save(Figure(figsize=(1, 1)))
    >>> dataset.load()[1:4]
    b'PNG'
    """

    SUFFIXES = (".png",)  # what Kedro-Viz and the report show
    ACCEPTS = (Figure,)
    EXPECTED = "a Matplotlib figure"
    ADVICE = "return a Figure from the node"
    ACCEPTED_SAVE_ARGS: ClassVar[None] = None
    SAVE_ARGS: ClassVar[dict[str, Any]] = {"dpi": "figure", "facecolor": "white"}

    def _read(self, path: Path) -> bytes:
        return path.read_bytes()

    def _write(self, part: Path, data: Figure) -> None:
        data.savefig(part, format="png", **{**self.SAVE_ARGS, **self._save_args})

    def preview(self) -> ImagePreview:
        """The picture, for Kedro-Viz."""
        return ImagePreview(base64.b64encode(self.load()).decode("ascii"))
