"""The joint model against the area-wise ones, voxel by voxel, and how large its advantage is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnet.analysis.comparison import paired_accuracies
from gnet.figures.axes import QUIET, dots, entitle, grid, label, legend, minus, note, nothing, subject_entries
from gnet.figures.colours import area_colours

BINS = 31


def joint_versus_areas_figure(joint: pd.DataFrame, by_area: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One column an area: above, accuracy of the joint against the area-wise model; below, the differences.

    Above, a dot is a voxel; on the line both models are equally good, above it the joint one is better.
    Below, the distribution of joint minus area-wise accuracy over the voxels of all subjects; the outermost
    bars hold what lies beyond. Voxels without an accuracy in either model are not drawn.

    Parameters
    ----------
    joint, by_area : table
        Accuracy tables with subject, voxel_index, area and r.
    areas : sequence of str
        Their names, in the order in which they are drawn.
    """
    voxels = paired_accuracies(joint, by_area)
    if voxels.empty:
        return nothing("no voxel has an accuracy in both models")
    colours = area_colours(areas)
    figure, axes = grid(2, len(areas), panel=(2.35, 2.35), share=("row", "row"))
    accuracies = voxels[["r_first", "r_second"]].to_numpy()
    low, high = accuracies.min() - 0.03, accuracies.max() + 0.03
    widest = max(0.01, float(np.quantile(np.abs(voxels["difference"]), 0.99)))
    edges = np.linspace(-widest, widest, BINS + 1)
    for (above, below), area in zip(axes.T, areas, strict=True):
        of_area = voxels[voxels["area"] == area]
        entitle(above, area, colours[area])
        above.plot([low, high], [low, high], color=QUIET, linewidth=0.9, zorder=1)
        above.set(xlim=(low, high), ylim=(low, high), box_aspect=1)
        below.axvline(0, color=QUIET, linewidth=0.9)
        below.set(xlim=(-widest, widest), box_aspect=1)
        below.locator_params(axis="x", nbins=4)
        if len(of_area):
            dots(above, of_area, "r_second", "r_first", colours[area])
            won = 100 * (of_area["difference"] > 0).mean()
            note(above, f"joint better: {won:.0f} %\nof {len(of_area):,} voxels")
            _differences(below, of_area["difference"].to_numpy(float), edges, colours[area])
        label(above, x="area-wise model, r")
        label(below, x="joint minus area-wise, r")
    label(axes[0, 0], y="joint model, r")
    label(axes[1, 0], y="share of voxels (%)")
    legend(figure, subject_entries(sorted(set(voxels["subject"]))))
    return figure


def _differences(axes: Axes, difference: np.ndarray, edges: np.ndarray, colour: str) -> None:
    axes.hist(
        difference.clip(edges[0], edges[-1]),
        edges,
        weights=np.full(len(difference), 100 / len(difference)),
        color=colour,
        alpha=0.85,
    )
    axes.axvline(difference.mean(), color="black", linewidth=1.2, linestyle="--")
    note(axes, minus(f"mean\n{difference.mean():+.4f}"))
