"""The transfer matrix: how well each area's trunk predicts every other area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gnet.figures.axes import SMALL, colour_bar, grid, label, minus, nothing, ordered, subtitle
from gnet.figures.colours import INK, area_colours

COLUMNS = 5
"""Matrices in a row."""
SHIFTS = "PuOr_r"
"""Purple below zero, white at zero, orange above: a pair that people with any colour vision tell apart."""


def transfer_matrix_figure(areas: Sequence[str], **matrices: pd.DataFrame) -> Figure:
    """A matrix for each subject and for the voxels of all: shift of accuracy r with another area's trunk.

    Rows: the area whose trunk it is; columns: the area whose voxels are predicted. Zero: as good as the
    area's own model. In an entailment hierarchy only what is above the diagonal is negative. Cells hold the
    shift in units of 0.001.

    Parameters
    ----------
    areas : sequence of str
        Their names, in the order of the hierarchy.
    **matrices : table
        As `gnet.analysis.transfer_matrix.transfer_matrix` makes them, by the name of what they were measured
        on, in the order in which they are drawn. Each begins a row.
    """
    panels = [
        [(f"{name}: {subject}", table[table["subject"] == subject]) for subject in ordered(table["subject"])]
        for name, table in matrices.items()
    ]
    if not any(panels):
        return nothing("no transfer matrix")
    columns = min(COLUMNS, max(len(of_name) for of_name in panels))
    rows = [
        of_name[start : start + columns] for of_name in panels for start in range(0, len(of_name), columns)
    ]
    side = 0.72 + 0.42 * len(areas)
    figure, axes = grid(len(rows), columns, panel=(side, side))
    shifts = pd.concat(matrices.values())["shift"].abs()
    limit = float(np.nanmax([0.001, *shifts]))
    scale = Normalize(-limit, limit)
    for row, of_row in zip(axes, rows, strict=True):
        for panel in row[len(of_row) :]:
            panel.set_axis_off()
        for panel, (title, table) in zip(row, of_row, strict=False):
            cells = table.pivot_table("shift", "trunk", "tested", dropna=False)
            _matrix(panel, cells.reindex(index=areas, columns=areas).to_numpy(float), areas, scale)
            subtitle(panel, title)
        label(row[0], y="trunk of")
    for column in range(columns):
        lowest = [row for row in range(len(rows)) if column < len(rows[row])][-1]
        label(axes[lowest, column], x="voxels of")
    colour_bar(
        figure,
        axes[0, 0].images[0],
        axes,
        "shift of accuracy, r (numbers: in thousandths)",
        shrink=min(1.0, 2.2 / (side * len(rows))),
        aspect=14,
        pad=0.02,
    )
    return figure


def spell_shift(shift: float) -> str:
    """Thousandths, a dash for NaN, and no sign before nothing.

    >>> spell_shift(-0.0123), spell_shift(-0.0004), spell_shift(float("nan"))
    ('−12', '0', '–')
    """
    return minus(f"{round(1000 * shift)}") if np.isfinite(shift) else "–"


def _matrix(
    panel: Axes, cells: Float[np.ndarray, "trunk tested"], areas: Sequence[str], scale: Normalize
) -> None:
    panel.imshow(cells, cmap=SHIFTS, norm=scale)
    for (trunk, tested), shift in np.ndenumerate(cells):
        dark = abs(shift) > 0.5 * scale.vmax
        panel.text(
            tested,
            trunk,
            spell_shift(shift),
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark else INK,
        )
    panel.spines[:].set_visible(False)
    panel.set_xticks(range(len(areas)), areas)
    panel.set_yticks(range(len(areas)), areas)
    panel.tick_params(length=0, labelsize=SMALL)
    colours = area_colours(areas)
    for ticks in (panel.get_xticklabels(), panel.get_yticklabels()):
        for tick, area in zip(ticks, areas, strict=True):
            tick.set(color=colours[area], fontweight="bold")
