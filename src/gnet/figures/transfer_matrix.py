"""The transfer matrix: what each area's trunk is worth to every other area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from gnet.figures.axes import SMALL, grid, label, nothing, ordered
from gnet.figures.colours import INK, area_colours

COLUMNS = 5
"""Matrices in a row."""


def even_colormap(colours: Sequence[str]) -> Colormap:
    """A colour map through these colours, in steps of even perceived size (straight lines in Oklab).

    Oklab: B. Ottosson 2020, https://bottosson.github.io/posts/oklab/

    >>> even_colormap(["#000000", "#FFFFFF"])(0.5)[0].round(2)  # perceived as half as light
    np.float64(0.39)
    """
    to_cone = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    given = np.array([[int(code[start : start + 2], 16) / 255 for start in (1, 3, 5)] for code in colours])
    linear = np.where(given > 0.04045, ((given + 0.055) / 1.055) ** 2.4, given / 12.92)
    lab = np.cbrt(linear @ to_cone.T) @ to_lab.T
    between = np.linspace(0, len(colours) - 1, 257)
    lab = np.stack([np.interp(between, range(len(colours)), channel) for channel in lab.T], axis=1)
    linear = ((lab @ np.linalg.inv(to_lab).T) ** 3 @ np.linalg.inv(to_cone).T).clip(0, 1)
    encoded = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return LinearSegmentedColormap.from_list("even", encoded.clip(0, 1), N=257)


SHIFTS = even_colormap(["#0B3C6F", "#4F93C8", "#FAFAFA", "#E08A3C", "#7A3100"])
"""Blue below zero, white at zero, brown above: a pair that people with any colour vision tell apart."""


def transfer_matrix_figure(matrices: Mapping[str, pd.DataFrame], areas: Sequence[str]) -> Figure:
    """A matrix for each subject and for the voxels of all: shift of accuracy r with another area's trunk.

    Rows: the area whose trunk it is; columns: the area whose voxels are predicted. Zero: as good as the
    area's own model. In an entailment hierarchy only what is above the diagonal is negative. Cells hold the
    shift in units of 0.001.

    Parameters
    ----------
    matrices
        Tables of `gnet.analysis.transfer_matrix.transfer_matrix` by what they were measured on, in the order
        in which they are drawn. Each begins a row.
    areas
        Their names, in the order of the hierarchy.
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
            panel.set_title(title, fontsize=9, color=INK, pad=4)
        label(row[0], y="trunk of")
    for column in range(columns):
        lowest = [row for row in range(len(rows)) if column < len(rows[row])][-1]
        label(axes[lowest, column], x="voxels of")
    bar = figure.colorbar(
        axes[0, 0].images[0], ax=axes, shrink=min(1.0, 2.2 / (side * len(rows))), aspect=14, pad=0.02
    )
    bar.set_label("shift of accuracy, r (numbers: in thousandths)", color=INK, fontsize=9.5)
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.outline.set_visible(False)
    return figure


def spell_shift(shift: float) -> str:
    """Thousandths, a dash for NaN, and no sign before nothing.

    >>> spell_shift(-0.0123), spell_shift(-0.0004), spell_shift(float("nan"))
    ('−12', '0', '–')
    """
    return f"{round(1000 * shift)}".replace("-", "−") if np.isfinite(shift) else "–"


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
