"""Receptive fields grow with their distance from the centre of gaze, and from area to area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gnet.analysis.receptive_fields import FEWEST, FIELD_OF_VIEW
from gnet.figures.axes import dots, entitle, grid, legend, line_entry, note, subject_entries
from gnet.figures.colours import INK, MODELS, area_colours, subject_marker


def size_eccentricity_figure(
    lines: pd.DataFrame, areas: Sequence[str], **receptive_fields: pd.DataFrame
) -> Figure:
    """One row a model, one column an area: size of each field against its eccentricity, in degrees.

    Only fields whose ellipse is determined are drawn; each panel says how many of how many. Lines are least
    squares fits for each subject of enough voxels, as far as these reach. Fields larger than the axis are cut
    off.

    Columns of `lines`: model, area, subject, slope, size_at_centre; of `receptive_fields`, a table for each
    model, by its name in `lines`: subject, area, eccentricity, size, determined.
    """
    colours = area_colours(areas)
    figure, axes = grid(len(receptive_fields), len(areas), panel=(2.35, 2.2), sharex=True, sharey=True)
    known = pd.concat(receptive_fields.values()).query("determined")
    largest = float(np.quantile(known["size"], 0.995)) if len(known) else FIELD_OF_VIEW / 2
    for row, (model, table) in zip(axes, receptive_fields.items(), strict=True):
        of_model = lines[lines["model"] == model]
        for panel, area in zip(row, areas, strict=True):
            voxels = table[table["area"] == area]
            determined = voxels[voxels["determined"]]
            dots(panel, determined, "eccentricity", "size", colours[area])
            _lines(panel, determined, of_model[of_model["area"] == area].set_index("subject"))
            note(panel, f"{len(determined):,} of {len(voxels):,}")
        row[0].set_ylabel(f"{MODELS.get(model, model)}\nsize, $\\sqrt{{\\pi a b}}$ (°)")
    for above, below, area in zip(axes[0], axes[-1], areas, strict=True):
        entitle(above, area, colours[area])
        below.set_xlabel("eccentricity (°)")
    axes[0, 0].set(xlim=(0, FIELD_OF_VIEW * 0.6), ylim=(0, 1.2 * largest))
    if len(known):
        fitted = line_entry(f"least squares ({FEWEST} voxels or more)", colour=INK)
        legend(figure, [*subject_entries(known["subject"]), fitted])
    return figure


def _lines(panel: Axes, known: pd.DataFrame, fits: pd.DataFrame) -> None:
    """The least squares line of each subject, as far as its voxels reach, with the subject's marker."""
    for subject, table in known.groupby("subject"):
        if subject in fits.index and np.isfinite(fits.loc[subject, "slope"]):
            reach = np.array([table["eccentricity"].min(), table["eccentricity"].max()])
            line = fits.loc[subject, "size_at_centre"] + fits.loc[subject, "slope"] * reach
            panel.plot(reach, line, color=INK, linewidth=1.3)
            marker = subject_marker(subject)
            panel.plot(reach[-1], line[-1], marker, color=INK, markersize=5.5, markerfacecolor="white")
