"""What all figures share: quiet axes, dots, legends, readable sizes, a notice if there is nothing to draw."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnet.figures.colours import INK, subject_marker

QUIET = "#999999"
"""Lines that are there to compare with."""
DPI = 160
SMALL, MEDIUM, LARGE = 8, 9.5, 11.5
"""Font sizes in points: ticks and notes, labels, titles."""


def grid(
    rows: int, columns: int, *, panel: tuple[float, float], dpi: int = DPI, **share: bool | str
) -> tuple[Figure, np.ndarray]:
    """A figure without window or pyplot state, and its axes (row, column): two thin spines, small ticks.

    `panel` is the width and height of each panel in inches; `share` is Matplotlib's `sharex` and `sharey`.
    """
    width, height = panel
    figure = Figure(figsize=(0.9 + width * columns, 0.7 + height * rows), dpi=dpi, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **share)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
        one.spines[["left", "bottom"]].set_color(INK)
        one.tick_params(colors=INK, labelsize=SMALL, length=3, width=0.6)
        for axis in (one.xaxis, one.yaxis):
            axis.label.set(color=INK, fontsize=MEDIUM)
    return figure, axes


def entitle(axes: Axes, text: str, colour: str = INK) -> None:
    """A title above the left edge."""
    axes.set_title(text, loc="left", color=colour, fontsize=LARGE, fontweight="bold", pad=5)


def subtitle(axes: Axes, text: str) -> None:
    """A small title above the middle, for one of many panels."""
    axes.set_title(text, fontsize=SMALL, color=INK, pad=3)


def note(axes: Axes, text: str, *, y: float = 0.97) -> None:
    """A few words at the left edge, at a height in fractions of the panel."""
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1}
    style = {"fontsize": SMALL, "color": INK, "linespacing": 1.35, "zorder": 5, "bbox": box}
    axes.text(0.03, y, text, transform=axes.transAxes, va="top" if y > 0.5 else "bottom", **style)


def nothing(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = Figure(figsize=(6, 1.2), dpi=DPI)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=LARGE, color=INK)
    return figure


def legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """A legend above the panels, on the right: in one line if the figure is wide enough."""
    widths = [0.5 + 0.075 * len(entry.get_label()) for entry in entries]  # inches, about
    room = figure.get_figwidth()
    columns = len(entries) if sum(widths) < room else max(1, int(room / max(widths)))
    text = {"frameon": False, "fontsize": SMALL + 0.5, "labelcolor": INK}
    spaces = {"handletextpad": 0.4, "columnspacing": 1.2, "borderpad": 0.1}
    figure.legend(handles=entries, loc="outside upper right", ncols=columns, **text, **spaces)


def marker_entry(name: str, marker: str, *, colour: str = "#666666", hollow: bool = False) -> Line2D:
    """A legend's line for a marker."""
    style = {"marker": marker, "markersize": 5, "markerfacecolor": "white" if hollow else colour}
    return Line2D([], [], linestyle="", color=colour, label=name, **style)


def line_entry(name: str, style: str = "-", *, colour: str = QUIET, width: float = 1.2) -> Line2D:
    """A legend's line for a line."""
    return Line2D([], [], linestyle=style, color=colour, linewidth=width, label=name)


def subject_entries(subjects: Iterable[str]) -> list[Line2D]:
    """A legend's lines for the markers of the subjects, each named once or more often, sorted."""
    return [marker_entry(subject, subject_marker(subject)) for subject in sorted(set(subjects))]


def dots(
    axes: Axes, voxels: pd.DataFrame, x: str, y: str, colour: str, *, hollow: pd.Series | None = None
) -> None:
    """A dot for each voxel at two of its columns, in the marker of its subject: smaller, the more there are.

    Rows of `voxels` that are `hollow` have an outline only. Dots are drawn as pixels in vector files too.
    """
    hollow = pd.Series(False, voxels.index) if hollow is None else hollow
    size = dot_size(len(voxels))
    for subject, table in voxels.groupby("subject"):
        outlined = hollow[table.index].to_numpy()
        faces = [to_rgba(colour, 0.0 if alone else 0.8) for alone in outlined]
        edges = [to_rgba(colour if alone else "white", 0.8) for alone in outlined]
        marker = {"marker": subject_marker(subject), "linewidths": np.where(outlined, 0.6, 0.25)}
        style = {"facecolors": faces, "edgecolors": edges, "rasterized": True, "zorder": 2}
        axes.scatter(table[x], table[y], size, **marker, **style)


def dot_size(count: int) -> float:
    """Area of a dot in square points: smaller, the more there are."""
    return float(np.clip(2600 / max(count, 1), 1.5, 14))


def subject_ticks(axes: Axes, subjects: Sequence[str]) -> None:
    """Subjects side by side along the x axis; their names upright where there are many."""
    axes.set_xticks(range(len(subjects)), subjects, rotation=90 if len(subjects) > 3 else 0)
    axes.set_xlim(-0.7, len(subjects) - 0.3)


def colour_bar(figure: Figure, drawn: ScalarMappable, axes: Any, text: str, **shape: Any) -> None:
    """The colours of some axes and what they mean; `shape` as Matplotlib's `colorbar` takes it."""
    bar = figure.colorbar(drawn, ax=axes, **shape)
    bar.set_label(text, color=INK, fontsize=MEDIUM)
    bar.ax.tick_params(labelsize=SMALL, colors=INK)
    bar.outline.set_visible(False)


def minus(text: str) -> str:
    """The text of a number with a minus sign in the place of the hyphen, as on the axes."""
    return text.replace("-", "−")
