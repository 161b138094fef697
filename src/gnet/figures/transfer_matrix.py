"""The transfer matrix: how well each area's trunk predicts every other area."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from gnet.figures.axes import SMALL, colour_bar, grid, minus, nothing, subtitle
from gnet.figures.colours import INK, area_colours

COLUMNS = 5
"""Matrices in a row."""
SHIFTS = "PuOr_r"
"""Purple below zero, white at zero, orange above: a pair that people with any colour vision tell apart."""


def transfer_matrix_figure(areas: Sequence[str], **matrices: pd.DataFrame) -> Figure:
    """A matrix for each subject and for the voxels of all: shift of accuracy r with another area's trunk.

    Rows: the area whose trunk it is; columns: the area whose voxels are predicted. Zero: as good as the
    area's own model; on the diagonal, what new readouts alone change. In an entailment hierarchy only what is
    above the diagonal is negative. Cells hold the shift in units of 0.001. `matrices` are those of
    `gnet.analysis.transfer_matrix.transfer_matrix`, by the name of what they were measured on; each begins a
    row.
    """
    rows = []
    for name, table in matrices.items():
        panels = [
            (f"{name}: {subject}", of_subject) for subject, of_subject in table.groupby("subject", sort=False)
        ]
        rows += [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]
    if not rows:
        return nothing("no transfer matrix")
    side = 0.72 + 0.42 * len(areas)
    figure, axes = grid(len(rows), max(map(len, rows)), panel=(side, side))
    shifts = pd.concat(matrices.values())["shift"].abs()
    limit = float(np.nanmax([0.001, *shifts]))
    scale = Normalize(-limit, limit)
    for row, panels in zip(axes, rows, strict=True):
        for panel in row[len(panels) :]:
            panel.set_axis_off()
        for panel, (title, table) in zip(row, panels, strict=False):
            cells = table.pivot_table("shift", "trunk", "tested", dropna=False)
            _matrix(panel, cells.reindex(index=areas, columns=areas).to_numpy(float), areas, scale)
            subtitle(panel, title)
            panel.set_xlabel("voxels of")
        row[0].set_ylabel("trunk of")
    shape = {"shrink": min(1.0, 2.2 / (side * len(rows))), "aspect": 14, "pad": 0.02}
    text = "shift of accuracy, r (numbers: in thousandths)"
    colour_bar(figure, axes[0, 0].images[0], axes, text, **shape)
    return figure


def _matrix(
    panel: Axes, cells: Float[np.ndarray, "trunk tested"], areas: Sequence[str], scale: Normalize
) -> None:
    panel.imshow(cells, cmap=SHIFTS, norm=scale)
    for (trunk, tested), shift in np.ndenumerate(cells):
        # an integer: it has no sign before zero
        text = minus(f"{round(1000 * shift)}") if np.isfinite(shift) else "–"
        colour = "white" if abs(shift) > 0.5 * scale.vmax else INK
        panel.text(tested, trunk, text, ha="center", va="center", fontsize=SMALL, color=colour)
    panel.spines[:].set_visible(False)
    panel.set_xticks(range(len(areas)), areas)
    panel.set_yticks(range(len(areas)), areas)
    panel.tick_params(length=0, labelsize=SMALL)
    colours = area_colours(areas)
    for ticks in (panel.get_xticklabels(), panel.get_yticklabels()):
        for tick, area in zip(ticks, areas, strict=True):
            tick.set(color=colours[area], fontweight="bold")
