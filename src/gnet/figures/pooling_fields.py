"""Pooling fields as they were fitted, and the ellipses that describe them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from gnet.analysis.receptive_fields import FIELD_OF_VIEW
from gnet.figures.axes import LARGE, MEDIUM, SMALL, grid, minus, nothing, subtitle
from gnet.figures.colours import INK, area_colours

EXAMPLES = 6
"""Fields drawn for each area."""
HALF = FIELD_OF_VIEW / 2


def example_voxels(
    receptive_fields: pd.DataFrame, accuracy: pd.DataFrame, count: int = EXAMPLES
) -> pd.DataFrame:
    """The best-predicted voxels of each area among those whose ellipse is determined, the best first.

    Rows of `receptive_fields`, with `r`; at most `count` an area.
    """
    keys = ["subject", "voxel_index", "area"]
    known = receptive_fields[receptive_fields["determined"]].merge(accuracy[[*keys, "r"]], on=keys)
    best = known.dropna(subset=["r"]).sort_values("r", ascending=False, kind="stable")
    return best.groupby("area", sort=False).head(count).reset_index(drop=True)


def pooling_fields_figure(
    fields: Float[np.ndarray, "voxel y x"],
    positions: Float[np.ndarray, " x"],
    examples: pd.DataFrame,
    areas: Sequence[str],
) -> Figure:
    """One row an area, one panel a voxel: its field on the fine grid and the 1-sigma ellipse fitted to it.

    Each panel has a scale of its own, from nothing (dark) to the field's maximum (light). Axes span the image
    in degrees of visual angle; the light border is not on the grid. The cross is the centre of gaze.

    There is a field for each row of `examples` (`example_voxels`); its row 0 is the top of the image.
    `positions` are those of its columns, in degrees from the centre; of its rows too, with the opposite sign.
    """
    if examples.empty:
        return nothing("no pooling field has an ellipse that is determined")
    colours = area_colours(areas)
    columns = int(examples.groupby("area").size().max())
    figure, axes = grid(len(areas), columns, panel=(1.55, 1.75), sharex=True, sharey=True)
    step = (positions[-1] - positions[0]) / max(len(positions) - 1, 1) or FIELD_OF_VIEW
    left, right = positions[0] - step / 2, positions[-1] + step / 2
    # the first row's position is -positions[0]: the grid is not quite centred in the image
    style = {"cmap": "cividis", "extent": (left, right, -right, -left), "interpolation": "nearest"}
    for panel in axes.flat:
        panel.set_facecolor("#E3E3E3")
    for row, area in zip(axes, areas, strict=True):
        chosen = examples[examples["area"] == area]
        for panel in row[len(chosen) :]:
            panel.set_axis_off()
        for panel, (number, voxel) in zip(row, chosen.iterrows(), strict=False):
            panel.tick_params(labelbottom=True)  # the panel below it may be empty
            panel.imshow(fields[number], **style)
            _ellipse(panel, voxel)
            subtitle(panel, minus(f"{voxel['subject']}  r = {voxel['r']:.2f}"))
        row[0].set_ylabel(area, color=colours[area], fontsize=LARGE, fontweight="bold")
        if chosen.empty:
            row[0].set_axis_on()
            row[0].set(xticks=[], yticks=[])
            row[0].text(0, 0, "none\ndetermined", ha="center", va="center", fontsize=SMALL, color=INK)
    axes[0, 0].set(xlim=(-HALF, HALF), ylim=(-HALF, HALF), xticks=(-4, 0, 4), yticks=(-4, 0, 4))
    figure.supxlabel("degrees of visual angle from the centre of gaze", color=INK, fontsize=MEDIUM)
    return figure


def _ellipse(panel: Axes, voxel: pd.Series) -> None:
    """The ellipse, dark on light and light on dark; its long axis turns by `radial_angle` from the radius."""
    centre = (voxel["x"], voxel["y"])
    turn = np.degrees(voxel["radial_angle"] + np.arctan2(voxel["y"], voxel["x"]))
    axes = (2 * voxel["sigma_long"], 2 * voxel["sigma_short"])
    for colour, width in (("black", 2.6), ("white", 1.3)):
        panel.add_patch(Ellipse(centre, *axes, angle=turn, fill=False, edgecolor=colour, linewidth=width))
    panel.plot(0, 0, "+", color="white", markersize=5, markeredgewidth=0.9)
