"""Variance explained beside the noise ceiling, and the fraction of explainable variance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import entitle, grid, legend, line_entry, marker_entry, nothing, subject_ticks
from gnet.figures.colours import area_colours

LEVEL = "#555555"


def explained_variance_figure(joint: pd.DataFrame, by_area: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One column an area, subjects side by side; above, mean variance explained, below, mean FEV, in percent.

    Filled: the joint model, hollow: the area-wise one. The bar above a subject is the mean noise ceiling of
    single trials. FEV is a mean over the voxels with a ceiling of 5 % or more, of which there may be fewer.
    `joint` and `by_area` are the summaries (`gnet.evaluation.accuracy.summary_table`) of both.
    """
    subjects = sorted({*joint["subject"], *by_area["subject"]})
    if not subjects:
        return nothing("no area has been scored")
    colours = area_colours(areas)
    width = float(np.clip(0.42 * len(subjects), 1.7, 3.2))
    figure, axes = grid(2, len(areas), panel=(width, 2.2), sharex=True, sharey="row")
    position = np.arange(len(subjects))
    for (above, below), area in zip(axes.T, areas, strict=True):
        first, second = (
            table[table["area"] == area].set_index("subject").reindex(subjects) for table in (joint, by_area)
        )
        entitle(above, area, colours[area])
        above.hlines(first["ceiling"], position - 0.33, position + 0.33, color=LEVEL, linewidth=2)
        style = {"linestyle": "", "color": colours[area], "markersize": 6.5}
        for panel, quantity in ((above, "variance_explained"), (below, "fev")):
            panel.plot(position - 0.13, first[quantity], "o", **style)
            panel.plot(position + 0.13, second[quantity], "o", markerfacecolor="white", **style)
            panel.grid(axis="y", color="#E4E4E4", linewidth=0.6)
            panel.set_axisbelow(True)
            subject_ticks(panel, subjects)
    axes[0, 0].set_ylabel("variance explained,\n$100\\,r^2$ (%)")
    axes[1, 0].set_ylabel("fraction of explainable\nvariance, FEV (%)")
    for row, columns in zip(axes, (["variance_explained", "ceiling"], ["fev"]), strict=True):
        highest = np.nanmax([10.0, *joint[columns].to_numpy().flat, *by_area[columns].to_numpy().flat])
        row[0].set_ylim(0, 1.08 * highest)
    models = [marker_entry("joint model", "o"), marker_entry("area-wise models", "o", hollow=True)]
    legend(figure, [line_entry("noise ceiling", colour=LEVEL, width=2.0), *models])
    return figure
