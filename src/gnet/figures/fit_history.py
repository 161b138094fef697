"""How the fits went: loss and holdout accuracy, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnet.figures.axes import entitle, grid, label, legend, line_entry, marker_entry, nothing, ordered
from gnet.figures.colours import INK, area_colours


def fit_history_figure(history: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One column for each kind of fit; above, the training objective, below, median holdout accuracy.

    A line is a fit, in the colour of the area whose trunk it has; joint models are black. The dot marks the
    epoch whose state was kept.

    Parameters
    ----------
    history : table
        One row an epoch: `kind` of fit, `area` ("" for all), `epoch`, `loss` (the objective per trial),
        `holdout_median_r`, `best`.
    areas : sequence of str
        Their names, in the order in which they are drawn.
    """
    kinds = ordered(history["kind"])
    if not kinds:
        return nothing("no fit has a history")
    colours = area_colours(areas) | {"": INK}
    figure, axes = grid(2, len(kinds), panel=(2.25, 2.0), share=("col", "row"))
    for (above, below), kind in zip(axes.T, kinds, strict=True):
        fits = history[history["kind"] == kind]
        for area, fit in fits.groupby("area", sort=False):
            for panel, quantity in ((above, "loss"), (below, "holdout_median_r")):
                panel.plot(fit["epoch"], fit[quantity], color=colours[area], linewidth=1.3, alpha=0.9)
                kept = fit[fit["best"].astype(bool)]
                panel.plot(kept["epoch"], kept[quantity], "o", color=colours[area], markersize=4.5)
        entitle(above, kind)
        below.axhline(0, color="#CCCCCC", linewidth=0.8, zorder=0)
        below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        label(below, x="epoch")
    label(axes[0, 0], y="objective per trial\n(weighted squared error)")
    label(axes[1, 0], y="median holdout accuracy,\nr over voxels")
    entries = [line_entry("all areas", colour=INK)]
    entries += [line_entry(area, colour=colours[area]) for area in areas]
    legend(figure, [*entries, marker_entry("state kept", "o")])
    return figure
