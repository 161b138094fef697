"""What the figures of tuning share: one column a model, one row a kind of share."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnet.figures.axes import entitle, grid
from gnet.figures.colours import MODELS

GROUP = "group"
"""In place of a subject: the mean over subjects."""


def share_panels(
    average: pd.DataFrame, partition: str, part: str
) -> tuple[Figure, list[tuple[Axes, str, pd.DataFrame]]]:
    """A figure, and for each of its panels: the axes, the share that it shows, the rows of its model.

    `average` is the `average_table` of `gnet.analysis.tuning` of each `model`, `partition` the one that is
    drawn; `part` is what one of its parts is called on the axes.
    """
    average = average[average["partition"] == partition]
    models = dict(list(average.groupby("model", sort=False)))
    figure, axes = grid(2, max(len(models), 1), panel=(4.3, 2.3), sharex=True, sharey="row")
    meanings = {"specific": f"{part} alone", "unique": f"lost without the {part}"}
    panels = []
    for row, (share, meaning) in zip(axes, meanings.items(), strict=True):
        row[0].set_ylabel(f"{share} share (%)\n{meaning}")
        for panel, of_model in zip(row, models.values(), strict=False):
            panel.axhline(0, color="#888888", linewidth=0.8, zorder=0)
            panels.append((panel, share, of_model))
    for panel, model in zip(axes[0], models, strict=False):
        entitle(panel, MODELS.get(model, model))
    return figure, panels
