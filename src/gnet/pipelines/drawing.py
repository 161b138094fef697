"""Figures that several pipelines draw. Matplotlib is imported where it is used, as torch is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Each voxel's explained variance against its noise ceiling."""
    from gnet.figures.accuracy import accuracy_figure

    return accuracy_figure(accuracy)
