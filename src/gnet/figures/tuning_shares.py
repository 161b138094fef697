"""What the figures of tuning share: one column a model, one row a kind of share."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnet.figures.axes import entitle, grid, label, ordered
from gnet.figures.colours import model_name

GROUP = "group"
"""In place of a subject: the mean over subjects."""


def share_panels(
    average: pd.DataFrame, partition: str, part: str
) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """A figure, and for each of its panels: the axes, the share that it shows, the rows of its model.

    Parameters
    ----------
    average : table
        `average_table` of `gnet.analysis.tuning` with `model`: subject (or "group"), area, partition, part,
        specific, unique.
    partition : str
        Which of the partitions.
    part : str
        What one of its parts is called on the axes.
    """
    average = average[average["partition"] == partition]
    models = ordered(average["model"])
    figure, axes = grid(2, max(len(models), 1), panel=(4.3, 2.3), share=(True, "row"))
    panels = []
    for row, share, meaning in zip(
        axes, ("specific", "unique"), (f"{part} alone", f"lost without the {part}"), strict=True
    ):
        label(row[0], y=f"{share} share (%)\n{meaning}")
        for panel, model in zip(row, models, strict=False):
            panel.axhline(0, color="#888888", linewidth=0.8, zorder=0)
            panels.append((panel, share, average[average["model"] == model]))
    for panel, model in zip(axes[0], models, strict=False):
        entitle(panel, model_name(model))
    return figure, panels
