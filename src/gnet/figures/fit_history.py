"""How the fits went: loss and holdout accuracy, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnet.figures.axes import entitle, grid, legend, line_entry, marker_entry, nothing
from gnet.figures.colours import INK, area_colours


def fit_history_figure(history: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One column for each kind of fit; above, the training objective, below, median holdout accuracy.

    A line is a fit, in the colour of the area whose trunk it has; joint models are black. The dot marks the
    epoch whose state was kept. `history` has one row an epoch: `kind` of fit, `area` ("" for all), `epoch`,
    `loss` (the objective per trial), `holdout_median_r`, `best`.
    """
    if history.empty:
        return nothing("no fit has a history")
    kinds = history["kind"].unique()
    colours = area_colours(areas) | {"": INK}
    figure, axes = grid(2, len(kinds), panel=(2.25, 2.0), sharex="col", sharey="row")
    for (above, below), kind in zip(axes.T, kinds, strict=True):
        for area, fit in history[history["kind"] == kind].groupby("area", sort=False):
            kept = fit[fit["best"].astype(bool)]
            for panel, quantity in ((above, "loss"), (below, "holdout_median_r")):
                panel.plot(fit["epoch"], fit[quantity], color=colours[area], linewidth=1.3, alpha=0.9)
                panel.plot(kept["epoch"], kept[quantity], "o", color=colours[area], markersize=4.5)
        entitle(above, kind)
        below.axhline(0, color="#CCCCCC", linewidth=0.8, zorder=0)
        below.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        below.set_xlabel("epoch")
    axes[0, 0].set_ylabel("objective per trial\n(weighted squared error)")
    axes[1, 0].set_ylabel("median holdout accuracy,\nr over voxels")
    trunks = [line_entry(area, colour=colours[area]) for area in areas]
    legend(figure, [line_entry("all areas", colour=INK), *trunks, marker_entry("state kept", "o")])
    return figure
