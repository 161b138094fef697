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
    rows: int,
    columns: int,
    *,
    panel: tuple[float, float],
    share: tuple[bool | str, bool | str] = (False, False),
    dpi: int = DPI,
) -> tuple[Figure, np.ndarray]:
    """A figure without window or pyplot state, and its axes (row, column).

    Parameters
    ----------
    rows, columns : int
        How many panels there are.
    panel : (float, float)
        Width and height of one panel in inches.
    share : (bool or str, bool or str)
        Whether the panels share their x and their y axes, as Matplotlib's `sharex` and `sharey`.
    dpi : int
        Pixels per inch.
    """
    width, height = panel
    figure = Figure(figsize=(0.9 + width * columns, 0.7 + height * rows), dpi=dpi, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share[0], sharey=share[1])
    for one in axes.flat:
        quieten(one)
    return figure, axes


def quieten(axes: Axes) -> None:
    """Two thin spines, small ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=SMALL, length=3, width=0.6)


def entitle(axes: Axes, text: str, colour: str = INK) -> None:
    """A title above the left edge."""
    axes.set_title(text, loc="left", color=colour, fontsize=LARGE, fontweight="bold", pad=5)


def subtitle(axes: Axes, text: str) -> None:
    """A small title above the middle, for one of many panels."""
    axes.set_title(text, fontsize=SMALL, color=INK, pad=3)


def label(axes: Axes, x: str = "", y: str = "") -> None:
    """What the axes show, with units."""
    if x:
        axes.set_xlabel(x, color=INK, fontsize=MEDIUM)
    if y:
        axes.set_ylabel(y, color=INK, fontsize=MEDIUM)


def note(axes: Axes, text: str, *, x: float = 0.03, y: float = 0.97) -> None:
    """A few words in a corner, at a position in fractions of the panel."""
    axes.text(
        x,
        y,
        text,
        transform=axes.transAxes,
        va="top" if y > 0.5 else "bottom",
        ha="left" if x < 0.5 else "right",
        fontsize=SMALL,
        color=INK,
        linespacing=1.35,
        zorder=5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
    )


def nothing(text: str) -> Figure:
    """A figure that says why there is nothing to see."""
    figure = Figure(figsize=(6, 1.2), dpi=DPI)
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=LARGE, color=INK)
    return figure


def legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """A legend above the panels, on the right: in one line if the figure is wide enough."""
    widths = [0.5 + 0.075 * len(entry.get_label()) for entry in entries]  # inches, about
    room = figure.get_figwidth()
    figure.legend(
        handles=entries,
        loc="outside upper right",
        ncols=len(entries) if sum(widths) < room else max(1, int(room / max(widths))),
        frameon=False,
        fontsize=SMALL + 0.5,
        labelcolor=INK,
        handletextpad=0.4,
        columnspacing=1.2,
        borderpad=0.1,
    )


def marker_entry(name: str, marker: str, *, colour: str = "#666666", hollow: bool = False) -> Line2D:
    """A legend's line for a marker."""
    style = {"marker": marker, "markersize": 5, "markerfacecolor": "white" if hollow else colour}
    return Line2D([], [], linestyle="", color=colour, label=name, **style)


def line_entry(name: str, style: str = "-", *, colour: str = QUIET, width: float = 1.2) -> Line2D:
    """A legend's line for a line."""
    return Line2D([], [], linestyle=style, color=colour, linewidth=width, label=name)


def subject_entries(subjects: Iterable[str]) -> list[Line2D]:
    """A legend's lines for the subjects' markers."""
    return [marker_entry(subject, subject_marker(subject)) for subject in subjects]


def ordered(values: Iterable[str]) -> list[str]:
    """Each value once, in the order in which it comes.

    >>> ordered(["V1", "V2", "V1"])
    ['V1', 'V2']
    """
    return list(dict.fromkeys(values))


def dots(
    axes: Axes, voxels: pd.DataFrame, x: str, y: str, colour: str, *, hollow: pd.Series | None = None
) -> None:
    """A dot for each voxel, in the marker of its subject: smaller, the more there are.

    Dots are drawn as pixels in vector files too.

    Parameters
    ----------
    axes : Axes
        Where they are drawn.
    voxels : table
        `subject` and the two columns.
    x, y : str
        The columns that are drawn.
    colour : str
        Of all dots.
    hollow : series of bool, optional
        Rows of `voxels` whose dots have an outline only.
    """
    hollow = pd.Series(False, voxels.index) if hollow is None else hollow
    for subject, table in voxels.groupby("subject"):
        outlined = hollow[table.index].to_numpy()
        axes.scatter(
            table[x],
            table[y],
            s=dot_size(len(voxels)),
            marker=subject_marker(subject),
            facecolors=[to_rgba(colour, 0.0 if alone else 0.8) for alone in outlined],
            edgecolors=[to_rgba(colour if alone else "white", 0.8) for alone in outlined],
            linewidths=np.where(outlined, 0.6, 0.25),
            rasterized=True,
            zorder=2,
        )


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
    """The text of a number with a minus sign in the place of the hyphen, as on the axes.

    >>> minus("-0.05")
    '−0.05'
    """
    return text.replace("-", "−")


def dot_size(count: int) -> float:
    """Area of a dot in square points: smaller, the more there are.

    >>> dot_size(10), dot_size(100_000)
    (14.0, 1.5)
    """
    return float(np.clip(2600 / max(count, 1), 1.5, 14))
