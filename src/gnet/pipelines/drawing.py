"""Figures that several pipelines draw. Matplotlib is imported where it is used, as torch is."""

from __future__ import annotations

from typing import Any

import pandas as pd

Figure = Any
"""Of Matplotlib, not imported here. Kedro reads the annotations of nodes: there must be such a name."""


def draw_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Each voxel's explained variance against its noise ceiling."""
    from gnet.figures.accuracy import accuracy_figure

    return accuracy_figure(accuracy)
