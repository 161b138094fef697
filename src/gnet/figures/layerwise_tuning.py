"""Which layers of the trunk an area listens to: specific and unique shares, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import QUIET, entitle, grid, label, legend, line_entry
from gnet.figures.colours import area_colours

GROUP = "group"
"""In place of a subject: the mean over subjects."""
SHARES = {
    "specific": "specific share (%)\nlayer alone",
    "unique": "unique share (%)\nlost without the layer",
}


def layerwise_tuning_figure(
    average: pd.DataFrame, fair_share: Mapping[str, float], areas: Sequence[str]
) -> Figure:
    """One column a model, one row a kind of share, one line an area: its shares in percent of r^2.

    Thick lines are the mean over subjects, thin ones the subjects. The dashed line is what each layer would
    have if features counted alike: the first has more of them than the others.

    Parameters
    ----------
    average
        `average_table` of `gnet.analysis.tuning` with `model`: subject (or "group"), area, partition, part,
        specific, unique.
    fair_share
        Percent of the features in each layer.
    areas
        Their names, in the order of the legend.
    """
    average = average[average["partition"] == "layerwise"]
    models = list(dict.fromkeys(average["model"]))
    colours = area_colours(areas)
    layers = list(fair_share)
    figure, axes = grid(2, max(len(models), 1), panel=(4.3, 2.3), share=(True, "row"))
    for column, model in zip(axes.T, models, strict=False):
        entitle(column[0], model)
        for panel, share in zip(column, SHARES, strict=True):
            panel.plot(range(len(layers)), list(fair_share.values()), "--", color=QUIET, linewidth=1.3)
            panel.axhline(0, color="#CCCCCC", linewidth=0.8, zorder=0)
            for area in areas:
                of_area = average[(average["model"] == model) & (average["area"] == area)]
                for subject, table in of_area.groupby("subject"):
                    line = table.set_index("part").reindex(layers)[share].to_numpy()
                    thick = {"linewidth": 2.2, "marker": "o", "markersize": 4.5, "zorder": 3}
                    thin = {"linewidth": 0.7, "alpha": 0.55}
                    panel.plot(
                        range(len(layers)), line, color=colours[area], **(thick if subject == GROUP else thin)
                    )
        column[1].set_xticks(range(len(layers)), layers)
        label(column[1], x="layer of the trunk, from low to high")
    for row, name in zip(axes, SHARES.values(), strict=True):
        label(row[0], y=name)
    entries = [line_entry(area, colour=colours[area], width=2.2) for area in areas]
    legend(figure, [*entries, line_entry("share of features", "--")])
    return figure
