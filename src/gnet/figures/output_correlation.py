"""Do two kinds of models predict the same? Correlation of their predictions, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import dot_size, entitle, grid, note, nothing, subject_ticks
from gnet.figures.colours import INK, area_colours

BOX = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.9, "zorder": 3}


def output_correlation_figure(correlation: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One panel an area, subjects side by side: each voxel's correlation between the two models' predictions.

    The bar is the median, the box goes from the lower to the upper quartile; dots are voxels, spread sideways
    at random. Voxels for which a model predicts the same response to all images have no correlation and are
    not drawn. `correlation` has one row a voxel: `subject`, `area`, `correlation`.
    """
    known = correlation.dropna(subset=["correlation"])
    subjects = sorted(set(correlation["subject"]))
    if known.empty:
        return nothing("no voxel has predictions that vary in both models")
    colours = area_colours(areas)
    width = float(np.clip(0.5 * len(subjects), 1.7, 3.4))
    figure, axes = grid(1, len(areas), panel=(width, 2.9), sharex=True, sharey=True)
    random = np.random.default_rng(1)
    for panel, area in zip(axes[0], areas, strict=True):
        entitle(panel, area, colours[area])
        of_area = known[known["area"] == area]
        for position, subject in enumerate(subjects):
            voxels = of_area.loc[of_area["subject"] == subject, "correlation"].to_numpy()
            if not len(voxels):
                continue
            x = position + random.uniform(-0.28, 0.28, len(voxels))
            style = {"color": colours[area], "alpha": 0.45, "linewidths": 0, "rasterized": True}
            panel.scatter(x, voxels, dot_size(len(voxels)) / 2, **style)
            low, middle, high = np.quantile(voxels, [0.25, 0.5, 0.75])
            panel.bar(position, high - low, 0.62, low, **BOX)
            panel.hlines(middle, position - 0.31, position + 0.31, color=INK, linewidth=2, zorder=4)
        note(panel, f"median {of_area['correlation'].median():.3f}\n{len(of_area):,} voxels", y=0.03)
        subject_ticks(panel, subjects)
    span = max(1 - float(known["correlation"].min()), 0.02)
    axes[0, 0].set_ylim(1 - 1.25 * span, 1 + 0.05 * span)
    axes[0, 0].set_ylabel("correlation of the predictions of\nthe joint and the area-wise model")
    return figure
