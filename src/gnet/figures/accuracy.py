"""Variance explained against the noise ceiling, voxel by voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnet.figures.axes import (
    MEDIUM,
    dots,
    entitle,
    grid,
    legend,
    marker_entry,
    note,
    nothing,
    subject_entries,
)
from gnet.figures.colours import GUIDE, INK, area_colours

COLUMNS = 4
"""Panels in a row."""


def accuracy_figure(accuracy: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One panel an area: each voxel's explained variance 100 r^2 against its noise ceiling, both in percent.

    Both are of single trials (n = 1). On the line "all", the prediction explains everything that is not
    noise; the dotted lines are a half and a quarter of that. A voxel above the line is not an error: its
    ceiling is an estimate, and so is r. Squaring hides the sign of r, so voxels with r < 0 are drawn hollow.
    Voxels without r or ceiling are counted and not drawn. FEV is the mean over voxels with a ceiling of 5 %
    or more. `accuracy` is an `accuracy_table` of `gnet.evaluation.accuracy` with `subject` and `area`.
    """
    drawable = accuracy.dropna(subset=["variance_explained", "ceiling"])
    if drawable.empty:
        return nothing("no voxel has an accuracy and a noise ceiling")
    colours = area_colours(areas)
    columns = min(COLUMNS, len(areas))
    rows = math.ceil(len(areas) / columns)
    figure, axes = grid(rows, columns, panel=(2.35, 2.6), sharex=True, sharey=True, dpi=200)
    limit = 10 * math.ceil(max(10.0, *drawable["variance_explained"], *drawable["ceiling"]) / 10)
    for panel, area in zip(axes.flat, areas, strict=False):
        voxels, drawn = (table[table["area"] == area] for table in (accuracy, drawable))
        _guides(panel, limit)
        dots(panel, drawn, "ceiling", "variance_explained", colours[area], hollow=drawn["r"] < 0)
        for markers in panel.collections:
            markers.set_clip_on(False)  # many voxels lie on the edge: no ceiling, nothing explained
        entitle(panel, area, colours[area])
        missing = len(voxels) - len(drawn)
        lines = [f"{len(drawn):,} voxels" + (f", {missing:,} not drawn" if missing else "")]
        if voxels["fev"].notna().any():
            lines.append(f"FEV {voxels['fev'].mean():.0f} %")
        note(panel, "\n".join(lines))
    for panel in axes.flat[len(areas) :]:
        panel.set_axis_off()
    figure.supxlabel("noise ceiling of single trials (%)", color=INK, fontsize=MEDIUM)
    figure.supylabel("variance explained, $100\\,r^2$ (%)", color=INK, fontsize=MEDIUM)
    negative = [marker_entry("r < 0", "o", hollow=True)] if (drawable["r"] < 0).any() else []
    legend(figure, [*subject_entries(accuracy["subject"]), *negative])
    return figure


def _guides(axes: Axes, limit: int) -> None:
    """Square axes in percent, with lines on which all, a half and a quarter of the ceiling is explained."""
    for fraction, name, style in ((1, "all", "-"), (0.5, "½", ":"), (0.25, "¼", ":")):
        axes.plot([0, limit], [0, fraction * limit], style, color=GUIDE, linewidth=0.8, zorder=1)
        end = (0.985 * limit, 0.985 * fraction * limit)
        axes.annotate(name, end, (-1, 3), textcoords="offset points", ha="right", color=GUIDE, fontsize=7.5)
    ticks = np.arange(0, limit + 1, 20 if limit > 40 else 10)
    axes.set(xlim=(0, limit), ylim=(0, limit), box_aspect=1, xticks=ticks, yticks=ticks)
