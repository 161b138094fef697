"""Where the voxels are, and how well they are predicted: slices through each subject's volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from gnet.figures.axes import (
    MEDIUM,
    SMALL,
    colour_bar,
    entitle,
    grid,
    legend,
    marker_entry,
    minus,
    nothing,
    subtitle,
)
from gnet.figures.colours import area_colours

PLANES = ("sagittal", "coronal", "axial")
"""Slices across x, y and z."""
BENEATH = "#BBBBBB"
"""Where there is no anatomy."""


@dataclass(frozen=True)
class SubjectVolumes:
    """What is drawn of a subject; all volumes on one grid."""

    anatomy: Shaped[np.ndarray, "x y z"] | None
    """None if the subject has none: then nothing but grey lies beneath."""
    areas: Mapping[str, Bool[np.ndarray, "x y z"]]
    accuracy: Float[np.ndarray, "x y z"]
    """NaN where there is none."""
    affine: Float[np.ndarray, "4 4"]
    """Diagonal and translation are used, in millimetres; the release has no more."""


def volume_slices_figure(subjects: Mapping[str, SubjectVolumes], areas: Sequence[str]) -> Figure:
    """One row a subject: three slices with its areas, the same three with the accuracy of each voxel.

    Each slice is the one with the most voxels of the areas across its axis; its position is above it. The
    anatomy lies beneath in grey, where there is one. Axes are millimetres of the scanner's space: x grows to
    the right of the subject, y to the front, z upwards.
    """
    if not subjects:
        return nothing("no subject")
    colours = area_colours(areas)
    figure, axes = grid(len(subjects), 6, panel=(1.85, 2.0))
    values = [volumes.accuracy[np.isfinite(volumes.accuracy)] for volumes in subjects.values()]
    known = np.concatenate(values)
    painted = {"cmap": ListedColormap(list(colours.values())), "vmin": -0.5, "vmax": len(areas) - 0.5}
    scored = {"cmap": "viridis", "vmin": 0, "vmax": float(known.max()) if len(known) else 1.0}
    for row, (subject, volumes) in zip(axes, subjects.items(), strict=True):
        labels = np.full(volumes.accuracy.shape, np.nan)
        for number, area in enumerate(areas):
            labels[np.isnan(labels) & volumes.areas[area]] = number
        for axis, plane in enumerate(PLANES):
            across, up = others = tuple(other for other in range(3) if other != axis)
            at = int(np.isfinite(labels).sum(axis=others).argmax())
            where = volumes.affine[axis, axis] * at + volumes.affine[axis, 3]
            overlays = ((row[axis], labels, painted), (row[axis + 3], volumes.accuracy, scored))
            for panel, overlay, style in overlays:
                panel.set_facecolor(BENEATH)
                if volumes.anatomy is not None:
                    _slice(panel, volumes.anatomy, volumes.affine, axis, at, cmap="gray")
                drawn = _slice(panel, overlay, volumes.affine, axis, at, **style)
                subtitle(panel, f"{plane}, {'xyz'[axis]} = {minus(f'{where:.0f}')} mm")
                panel.set_xlabel(f"{'xyz'[across]} (mm)", fontsize=SMALL)
                panel.set_ylabel(f"{'xyz'[up]} (mm)", fontsize=SMALL)
        row[0].set_ylabel(f"{subject}\nz (mm)", fontsize=MEDIUM)
    entitle(axes[0, 0], "areas\n\n")  # above the positions of the slices
    entitle(axes[0, 3], "accuracy of the joint model\n\n")
    shrink = min(1.0, 1.8 / len(subjects))
    colour_bar(figure, drawn, axes[:, 3:], "accuracy, r (dark: 0 and below)", shrink=shrink, aspect=12)
    legend(figure, [marker_entry(area, "s", colour=colours[area]) for area in areas])
    return figure


def _slice(panel: Axes, volume: np.ndarray, affine: np.ndarray, axis: int, at: int, **colours):
    """One slice of a volume, its axes in millimetres whichever way the voxels are counted."""
    plane = np.take(np.asarray(volume, float), at, axis=axis)
    others = [other for other in range(3) if other != axis]
    edges = [
        affine[other, other] * (np.arange(count + 1) - 0.5) + affine[other, 3]
        for other, count in zip(others, plane.shape, strict=True)
    ]
    panel.set_aspect("equal")
    return panel.pcolormesh(*edges, plane.T, rasterized=True, **colours)
