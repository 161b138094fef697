"""The hierarchy index: one number that summarises a transfer matrix."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import QUIET, SMALL, grid, legend, line_entry, marker_entry, nothing, subtitle
from gnet.figures.colours import INK

STYLES = ((INK, "o", False), ("#0072B2", "s", True), ("#D55E00", "D", True), ("#009E73", "^", True))
"""Colour, marker, and whether it is hollow, in the order of what was measured."""
BARS = {"voxel_sd": {"elinewidth": 0.9, "capsize": 4}, "fit_error": {"elinewidth": 2.8}}
REACH = 1.6
"""Where the axis ends on either side; error bars beyond it are cut."""


def hierarchy_index_figure(
    indices: Mapping[str, pd.DataFrame],
    over_seeds: Mapping[str, pd.DataFrame] | None = None,
    planted: str = "",
) -> Figure:
    """The index of each subject and of the voxels of all, on a line from none (0) to entailment (1).

    Thick bars are the error of the fit, thin ones the standard deviation over bootstrap samples of the
    voxels, where it is known. The index of two slopes that are both nearly zero has an error larger than its
    range: such bars extend beyond the axis and are labelled with their length. The index varies between fits
    by more than its fit error, so the mean and the standard deviation over seeds are drawn beside it, where
    there are several.

    `indices` are tables by what they were measured on: `subject`, `index`, `fit_error`, perhaps `voxel_sd`;
    `over_seeds`, by the same names: `subject`, `index`, `seed_sd`, `seeds` (`gnet.analysis.seeds`). `planted`
    is the organisation of a simulated brain.
    """
    subjects = list(dict.fromkeys(subject for table in indices.values() for subject in table["subject"]))
    if not subjects:
        return nothing("no hierarchy index")
    width = float(np.clip(0.5 + 0.32 * len(subjects) * len(indices), 4.5, 9.0))
    figure, ((panel,),) = grid(1, 1, panel=(width, 2.8))
    lowest = pd.concat([table["index"] - table["fit_error"] for table in indices.values()])
    low = max(-REACH, min(-0.25, float(lowest.fillna(0).min())) - 0.1)
    for level, line in ((0, "-"), (1, "--")):
        panel.axhline(level, linestyle=line, color=QUIET, linewidth=0.9, zorder=0)
    several = {name: table[table["seeds"] > 1] for name, table in (over_seeds or {}).items()}
    several = {name: table.set_index("subject") for name, table in several.items() if len(table)}
    entries = []
    for order, ((name, table), style) in enumerate(zip(indices.items(), STYLES, strict=False)):
        colour, marker, hollow = style
        table = table.set_index("subject").reindex(subjects)
        position = np.arange(len(subjects)) + (order - (len(indices) - 1) / 2) * 0.6 / len(indices)
        for column, bar in BARS.items():
            if column in table:
                panel.errorbar(position, table["index"], table[column], fmt="none", ecolor=colour, **bar)
        face = "white" if hollow else colour
        panel.plot(position, table["index"], marker, color=colour, markerfacecolor=face, markersize=5)
        if name in several:
            seeds = several[name].reindex(subjects)
            bar = {"fmt": "_", "markersize": 7, "markeredgewidth": 1.6, "elinewidth": 1.2, "color": colour}
            panel.errorbar(position + 0.24 / len(indices), seeds["index"], seeds["seed_sd"], **bar)
        for x, error, index in zip(position, table["fit_error"], table["index"], strict=True):
            if index + error > REACH or index - error < low:
                place = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
                box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                text = {"fontsize": SMALL, "color": colour, "bbox": box}
                panel.annotate(f"±{error:.1f}", (x, low), (0, 4), **place, **text)
        entries.append(marker_entry(name, marker, colour=colour, hollow=hollow))
    panel.set(yticks=[tick for tick in (-1, -0.5, 0, 0.5, 1) if tick > low], ylabel="hierarchy index")
    panel.set(ylim=(low, REACH), xlim=(-0.6, len(subjects) - 0.4))
    panel.set_xticks(range(len(subjects)), subjects)
    if len(subjects) > 1:
        panel.axvline(len(subjects) - 1.5, color="#DDDDDD", linewidth=0.8, zorder=0)
    entries.append(line_entry("± fit", colour=INK, width=2.6))
    entries.append(line_entry("± voxels (bootstrap)", colour=INK, width=0.9))
    if several:
        entries.append(marker_entry("mean ± seeds", "+", colour=INK))
    legend(figure, entries)
    if planted:
        subtitle(panel, f"planted organisation: {planted}")
    return figure
