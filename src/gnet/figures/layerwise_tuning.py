"""How much each layer of the trunk contributes to an area's accuracy: specific and unique shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gnet.figures.axes import QUIET, legend, line_entry
from gnet.figures.colours import area_colours
from gnet.figures.tuning_shares import GROUP, share_panels

APART = 0.07
"""Distance between the points of neighbouring areas, in layers: lines that coincide can be told apart."""
MEAN = {"linewidth": 1.8, "marker": "o", "markersize": 4.5, "zorder": 3}
SUBJECT = {"linewidth": 0.7, "alpha": 0.55}


def layerwise_tuning_figure(
    average: pd.DataFrame, fair_share: Mapping[str, float], areas: Sequence[str]
) -> Figure:
    """One column a model, one row a kind of share, one line an area: its shares in percent of r^2.

    Thick lines are the mean over subjects, thin ones the subjects. The dashed line is the share that each
    layer would have if all features contributed equally: the first has more of them.
    `average` as for `share_panels`; `fair_share`: percent of the features in each layer.
    """
    colours = area_colours(areas)
    layers = list(fair_share)
    position = np.arange(len(layers))
    figure, panels = share_panels(average, "layerwise", "layer")
    for panel, share, of_model in panels:
        panel.plot(position, list(fair_share.values()), "--", color=QUIET, linewidth=1.3)
        for order, area in enumerate(areas):
            aside = (order - (len(areas) - 1) / 2) * APART
            for subject, table in of_model[of_model["area"] == area].groupby("subject"):
                values = table.set_index("part").reindex(layers)[share].to_numpy()
                style = MEAN if subject == GROUP else SUBJECT
                panel.plot(position + aside, values, color=colours[area], **style)
        if share == "unique":
            panel.set_xticks(position, layers)
            panel.set_xlabel("layer of the trunk, from low to high")
    entries = [line_entry(area, colour=colours[area], width=2.2) for area in areas]
    legend(figure, [*entries, line_entry("share of features", "--")])
    return figure
