"""Variance explained against the noise ceiling, voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnet.figures.colours import GUIDE, INK, area_colours, subject_marker

COLUMNS = 4
"""Panels in a row."""


def accuracy_figure(accuracy: pd.DataFrame) -> Figure:
    """One panel an area: each voxel's explained variance 100 r^2 against its noise ceiling, both in percent.

    Single trials (n = 1). On the line "all", the prediction explains all that is not noise; the dotted lines
    are a half and a quarter of that. A voxel above the line is no mistake: its ceiling is an estimate, and so
    is r. Squaring hides the sign of r, so voxels with r < 0 are drawn hollow. Voxels that were not fitted, or
    without r or ceiling, are not drawn; the panel says how many. Its FEV is the mean over voxels with a
    ceiling of 5 % or more.

    Parameters
    ----------
    accuracy
        As `gnet.evaluation.accuracy.accuracy_table` makes it, with `subject` and `area`.

    Returns
    -------
    A figure that belongs to no window and no pyplot state.
    """
    areas = sorted(accuracy["area"].unique())
    subjects = sorted(set(accuracy["subject"]))
    colours = area_colours(areas)
    columns = min(COLUMNS, max(len(areas), 1))
    rows = max(math.ceil(len(areas) / columns), 1)
    figure = Figure(figsize=(0.9 + 2.35 * columns, 0.85 + 2.6 * rows), dpi=200, layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    drawable = accuracy.dropna(subset=["variance_explained", "ceiling"])
    highest = float(np.nanmax([10.0, *drawable["variance_explained"], *drawable["ceiling"]]))
    limit = 10 * math.ceil(highest / 10)
    for axes, area in zip(grid.flat, areas, strict=False):
        frame(axes, limit)
        voxels = accuracy[accuracy["area"] == area]
        scatter(axes, voxels, subjects, colours[area])
        caption(axes, area, voxels, colours[area])
    for axes in grid.flat[len(areas) :]:
        axes.set_axis_off()
    figure.supxlabel("noise ceiling of single trials (%)", color=INK, fontsize=10)
    figure.supylabel("variance explained, $100\\,r^2$ (%)", color=INK, fontsize=10)
    figure.legend(
        handles=legend_entries(subjects, bool((accuracy["r"] < 0).any())),
        loc="outside upper right",
        ncols=8,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handletextpad=0.1,
        columnspacing=1.0,
        borderpad=0.1,
    )
    return figure


def frame(axes: Axes, limit: int) -> None:
    """Square axes in percent, with lines on which all, a half and a quarter of the ceiling is explained."""
    for fraction, name, style in ((1, "all", "-"), (0.5, "½", ":"), (0.25, "¼", ":")):
        axes.plot([0, limit], [0, fraction * limit], style, color=GUIDE, linewidth=0.8, zorder=1)
        end = (0.985 * limit, 0.985 * fraction * limit)
        axes.annotate(name, end, (-1, 3), textcoords="offset points", ha="right", color=GUIDE, fontsize=7.5)
    axes.set(xlim=(0, limit), ylim=(0, limit), aspect="equal", box_aspect=1)
    step = 20 if limit > 40 else 10
    axes.set_xticks(range(0, limit + 1, step))
    axes.set_yticks(range(0, limit + 1, step))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=8, length=3, width=0.6)


def scatter(axes: Axes, voxels: pd.DataFrame, subjects: list[str], colour: str) -> None:
    """The voxels of one area, smaller and fainter the more there are; drawn as pixels in vector files."""
    size = float(np.clip(2600 / max(len(voxels), 1), 1.5, 14))
    for subject in subjects:
        table = voxels[voxels["subject"] == subject].dropna(subset=["ceiling", "variance_explained"])
        negative = (table["r"] < 0).to_numpy()
        axes.scatter(
            table["ceiling"],
            table["variance_explained"],
            s=size,
            marker=subject_marker(subject),
            facecolors=[to_rgba(colour, 0.0 if hollow else 0.8) for hollow in negative],
            edgecolors=[to_rgba(colour if hollow else "white", 0.8) for hollow in negative],
            linewidths=np.where(negative, 0.6, 0.25),
            rasterized=True,
            zorder=2,
        )


def caption(axes: Axes, area: str, voxels: pd.DataFrame, colour: str) -> None:
    """The area's name, how many voxels are drawn and are not, and its mean FEV."""
    drawn = int(voxels[["ceiling", "variance_explained"]].notna().all(axis=1).sum())
    missing = len(voxels) - drawn
    lines = [f"{drawn:,} voxels" + (f", {missing:,} not drawn" if missing else "")]
    if voxels["fev"].notna().any():
        lines.append(f"FEV {voxels['fev'].mean():.0f} %")
    axes.set_title(area, loc="left", color=colour, fontsize=12, fontweight="bold", pad=5)
    axes.text(
        0.03,
        0.97,
        "\n".join(lines),
        transform=axes.transAxes,
        va="top",
        fontsize=8,
        color=INK,
        linespacing=1.35,
        zorder=3,
    )


def legend_entries(subjects: list[str], negative: bool) -> list[Line2D]:
    """Markers of the subjects, and the hollow one where it occurs."""

    def entry(label: str, marker: str, fill: str) -> Line2D:
        return Line2D(
            [],
            [],
            marker=marker,
            linestyle="",
            color="#666666",
            markerfacecolor=fill,
            markersize=5,
            label=label,
        )

    entries = [entry(subject, subject_marker(subject), "#666666") for subject in subjects]
    return entries + ([entry("r < 0", "o", "none")] if negative else [])
