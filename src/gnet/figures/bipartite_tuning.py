"""The lower and the upper half of the trunk: how much of an area's accuracy is owed to either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gnet.figures.axes import QUIET, entitle, grid, label, legend, line_entry, subject_entries
from gnet.figures.colours import area_colours, subject_marker
from gnet.figures.layerwise_tuning import GROUP

SHARES = {"specific": "specific share (%)\nhalf alone", "unique": "unique share (%)\nlost without the half"}
WIDTH = 0.36


def bipartite_tuning_figure(
    average: pd.DataFrame, fair_share: Mapping[str, float], areas: Sequence[str]
) -> Figure:
    """One column a model, one row a kind of share; for each area the lower half (full) and the upper (pale).

    Bars are means over subjects, markers the subjects, in percent of r^2. The dashed and the dotted line are
    what the lower and the upper half would have if features counted alike.

    Parameters
    ----------
    average
        `average_table` of `gnet.analysis.tuning` with `model`: subject (or "group"), area, partition, part,
        specific, unique.
    fair_share
        Percent of the features in each half.
    areas
        Their names, in the order in which they are drawn.
    """
    average = average[average["partition"] == "bipartite"]
    models = list(dict.fromkeys(average["model"]))
    subjects = sorted(set(average["subject"]) - {GROUP})
    colours = area_colours(areas)
    figure, axes = grid(2, max(len(models), 1), panel=(4.3, 2.3), share=(True, "row"))
    offsets = {half: (order - 0.5) * (WIDTH + 0.04) for order, half in enumerate(fair_share)}
    for column, model in zip(axes.T, models, strict=False):
        entitle(column[0], model)
        of_model = average[average["model"] == model].set_index(["subject", "part", "area"])
        for panel, share in zip(column, SHARES, strict=True):
            for (half, offset), style in zip(offsets.items(), ("--", ":"), strict=True):
                panel.axhline(fair_share[half], linestyle=style, color=QUIET, linewidth=1.3, zorder=0)
                position = np.arange(len(areas)) + offset

                def heights(subject: str, half: str = half, of_model=of_model, share=share) -> np.ndarray:
                    wanted = pd.MultiIndex.from_product([[subject], [half], areas])
                    return of_model[share].reindex(wanted).to_numpy()

                panel.bar(
                    position,
                    heights(GROUP),
                    WIDTH,
                    color=[colours[area] for area in areas],
                    edgecolor=[colours[area] for area in areas],
                    alpha=0.9 if half == "lower" else 0.35,
                    linewidth=1,
                )
                for order, subject in enumerate(subjects):
                    aside = (order - (len(subjects) - 1) / 2) * 0.7 * WIDTH / max(len(subjects), 1)
                    panel.plot(
                        position + aside,
                        heights(subject),
                        subject_marker(subject),
                        color="white",
                        markeredgecolor="#333333",
                        markersize=4,
                        markeredgewidth=0.8,
                    )
            panel.axhline(0, color="#888888", linewidth=0.8)
        column[1].set_xticks(range(len(areas)), areas)
    for row, name in zip(axes, SHARES.values(), strict=True):
        label(row[0], y=name)
    halves = [Patch(facecolor="#555555", label="lower half"), Patch(facecolor="#CCCCCC", label="upper half")]
    fair = [
        line_entry(f"share of features, {half}", style)
        for half, style in zip(fair_share, ("--", ":"), strict=True)
    ]
    legend(figure, [*halves, *fair, *subject_entries(subjects)], columns=min(4 + len(subjects), 6))
    return figure
