"""The hierarchy index: one number that summarises a transfer matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import QUIET, SMALL, grid, label, legend, line_entry, marker_entry, nothing, ordered
from gnet.figures.colours import INK

STYLES = ((INK, "o", False), ("#0072B2", "s", True), ("#D55E00", "D", True), ("#009E73", "^", True))
"""Colour, marker, and whether it is hollow, in the order of what was measured."""
REACH = 1.6
"""Where the axis ends on either side; error bars beyond it are cut."""


def hierarchy_index_figure(
    indices: Mapping[str, pd.DataFrame], over_seeds: Mapping[str, pd.DataFrame] | None = None
) -> Figure:
    """The index of each subject and of the voxels of all, on a line from none (0) to entailment (1).

    Thick bars are the error of the fit, thin ones the standard deviation over bootstrap samples of the
    voxels, where it is known. The index of two slopes that are both nearly zero has an error larger than its
    range: such bars extend beyond the axis and are labelled with their length. The index varies between fits
    by more than its fit error, so the mean and the standard deviation over seeds are drawn beside it, where
    there are several.

    Parameters
    ----------
    indices : mapping of tables
        By what they were measured on: `subject`, `index`, `fit_error` and perhaps `voxel_sd`.
    over_seeds : mapping of tables, optional
        By the same names: `subject`, `index`, `seed_sd`, `seeds` (`gnet.analysis.seeds`).
    """
    subjects = ordered(subject for table in indices.values() for subject in table["subject"])
    if not subjects:
        return nothing("no hierarchy index")
    width = float(np.clip(0.5 + 0.32 * len(subjects) * len(indices), 4.5, 9.0))
    figure, axes = grid(1, 1, panel=(width, 2.8))
    panel = axes[0, 0]
    lowest = pd.concat([table["index"] - table["fit_error"] for table in indices.values()])
    deepest = float(lowest.fillna(0).min())
    low = max(-REACH, min(-0.25, deepest) - 0.1)
    for level, style in ((0, "-"), (1, "--")):
        panel.axhline(level, linestyle=style, color=QUIET, linewidth=0.9, zorder=0)
    over_seeds = {
        name: table[table["seeds"] > 1].set_index("subject").reindex(subjects)
        for name, table in (over_seeds or {}).items()
        if (table["seeds"] > 1).any()
    }
    entries = []
    for order, ((name, table), style) in enumerate(zip(indices.items(), STYLES, strict=False)):
        colour, marker, hollow = style
        aside = (order - (len(indices) - 1) / 2) * 0.6 / len(indices)
        table = table.set_index("subject").reindex(subjects)
        position = np.arange(len(subjects)) + aside
        for column, bar in (
            ("voxel_sd", {"elinewidth": 0.9, "capsize": 4}),
            ("fit_error", {"elinewidth": 2.8}),
        ):
            if column in table:
                panel.errorbar(position, table["index"], table[column], fmt="none", ecolor=colour, **bar)
        face = "white" if hollow else colour
        panel.plot(position, table["index"], marker, color=colour, markerfacecolor=face, markersize=5)
        if name in over_seeds:
            mean, spread = over_seeds[name]["index"], over_seeds[name]["seed_sd"]
            bar = {"fmt": "_", "markersize": 7, "markeredgewidth": 1.6, "elinewidth": 1.2}
            panel.errorbar(position + 0.24 / len(indices), mean, spread, color=colour, **bar)
        for x, error, index in zip(position, table["fit_error"], table["index"], strict=True):
            if index + error > REACH or index - error < low:
                text = {"ha": "center", "va": "bottom", "fontsize": SMALL, "color": colour}
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                panel.annotate(
                    f"±{error:.1f}", (x, low), (0, 4), textcoords="offset points", bbox=box, **text
                )
        entries.append(marker_entry(name, marker, colour=colour, hollow=hollow))
    panel.set(yticks=[tick for tick in (-1, -0.5, 0, 0.5, 1) if tick > low])
    panel.set(ylim=(low, REACH), xlim=(-0.6, len(subjects) - 0.4))
    panel.set_xticks(range(len(subjects)), subjects)
    if len(subjects) > 1:
        panel.axvline(len(subjects) - 1.5, color="#DDDDDD", linewidth=0.8, zorder=0)
    label(panel, y="hierarchy index")
    entries += [
        line_entry("± fit", colour=INK, width=2.6),
        line_entry("± voxels (bootstrap)", colour=INK, width=0.9),
    ]
    if over_seeds:
        entries.append(marker_entry("mean ± seeds", "+", colour=INK))
    legend(figure, entries)
    return figure
