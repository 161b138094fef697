"""The joint model against the area-wise ones, voxel by voxel, and how large its advantage is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.analysis.comparison import paired_accuracies
from gnet.figures.axes import QUIET, dots, entitle, grid, legend, minus, note, nothing, subject_entries
from gnet.figures.colours import area_colours

BINS = 31


def joint_versus_areas_figure(joint: pd.DataFrame, by_area: pd.DataFrame, areas: Sequence[str]) -> Figure:
    """One column an area: above, accuracy of the joint against the area-wise model; below, the differences.

    Above, a dot is a voxel; on the line both models are equally good, above it the joint one is better.
    Below, the distribution of joint minus area-wise accuracy over the voxels of all subjects; the outermost
    bars hold what lies beyond. Voxels without an accuracy in either model are not drawn. `joint` and
    `by_area` are accuracy tables with subject, voxel_index, area and r.
    """
    voxels = paired_accuracies(joint, by_area)
    if voxels.empty:
        return nothing("no voxel has an accuracy in both models")
    colours = area_colours(areas)
    figure, axes = grid(2, len(areas), panel=(2.35, 2.35), sharex="row", sharey="row")
    accuracies = voxels[["r_first", "r_second"]].to_numpy()
    low, high = accuracies.min() - 0.03, accuracies.max() + 0.03
    widest = max(0.01, float(np.quantile(np.abs(voxels["difference"]), 0.99)))
    edges = np.linspace(-widest, widest, BINS + 1)
    for (above, below), area in zip(axes.T, areas, strict=True):
        of_area = voxels[voxels["area"] == area]
        entitle(above, area, colours[area])
        above.plot([low, high], [low, high], color=QUIET, linewidth=0.9, zorder=1)
        above.set(xlim=(low, high), ylim=(low, high), box_aspect=1, xlabel="area-wise model, r")
        below.axvline(0, color=QUIET, linewidth=0.9)
        below.set(xlim=(-widest, widest), box_aspect=1, xlabel="joint minus area-wise, r")
        below.locator_params(axis="x", nbins=4)
        if len(of_area):
            dots(above, of_area, "r_second", "r_first", colours[area])
            difference = of_area["difference"].to_numpy(float)
            won = 100 * (difference > 0).mean()
            note(above, f"joint better: {won:.0f} %\nof {len(of_area):,} voxels")
            percent = np.full(len(difference), 100 / len(difference))
            within = difference.clip(-widest, widest)
            below.hist(within, edges, weights=percent, color=colours[area], alpha=0.85)
            below.axvline(difference.mean(), color="black", linewidth=1.2, linestyle="--")
            note(below, minus(f"mean\n{difference.mean():+.4f}"))
    axes[0, 0].set_ylabel("joint model, r")
    axes[1, 0].set_ylabel("share of voxels (%)")
    legend(figure, subject_entries(voxels["subject"]))
    return figure
