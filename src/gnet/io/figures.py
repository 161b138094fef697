"""Figures as pictures: saved from Matplotlib, loaded as the bytes of the file."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from kedro.io.core import DatasetError
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure

from gnet.io.base import LocalDataset
from gnet.storage.atomic import atomic_path


class FigureDataset(LocalDataset):
    """A Matplotlib figure as a `.png` file.

    Differs from kedro-datasets' MatplotlibDataset: the file appears under its name only when it is complete,
    it can be loaded (as bytes, for the report), and pyplot's figures, of which there are none here, are left
    alone. `save_args` go to `Figure.savefig`.

    ```yaml
    fit_history_figure:
      type: gnet.io.figures.FigureDataset
      filepath: ${globals:data_root}/08_reporting/fit_history.png
      versioned: true
    ```

    Examples
    --------
    >>> dataset = FigureDataset(filepath=getfixture("tmp_path") / "empty.png")
    >>> dataset.save(Figure(figsize=(1, 1)))
    >>> dataset.load()[1:4]
    b'PNG'
    """

    ACCEPTED_SAVE_ARGS: ClassVar[None] = None
    SAVE_ARGS: ClassVar[dict[str, Any]] = {"dpi": "figure", "facecolor": "white"}

    def _check(self) -> None:
        if self._filepath.suffix != ".png":
            raise DatasetError(
                f"{self._filepath}: expected a name that ends in .png, which Kedro-Viz and the report show; "
                "rename the file in the catalog"
            )

    def load(self) -> bytes:
        """The file's bytes.

        Raises
        ------
        DatasetError
            if there is no such file.
        """
        return self._readable().read_bytes()

    def save(self, data: object) -> None:
        """Draw under a temporary name, then rename: after an error, nothing is left.

        Raises
        ------
        DatasetError
            if `data` is no Matplotlib figure.
        """
        if not isinstance(data, Figure):
            raise DatasetError(
                f"{self._filepath}: expected a Matplotlib figure, found {type(data).__name__}; "
                "return a Figure from the node"
            )
        with atomic_path(self._get_save_path()) as part:
            data.savefig(part, format="png", **{**self.SAVE_ARGS, **self._save_args})

    def preview(self) -> ImagePreview:
        """The picture, for Kedro-Viz."""
        return ImagePreview(base64.b64encode(self.load()).decode("ascii"))
