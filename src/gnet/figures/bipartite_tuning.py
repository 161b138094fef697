"""The lower and the upper half of the trunk: how much each contributes to an area's accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gnet.figures.axes import QUIET, legend, line_entry, subject_entries
from gnet.figures.colours import area_colours, subject_marker
from gnet.figures.tuning_shares import GROUP, share_panels

WIDTH = 0.36


def bipartite_tuning_figure(
    average: pd.DataFrame, fair_share: Mapping[str, float], areas: Sequence[str]
) -> Figure:
    """One column a model, one row a kind of share; for each area the lower half (full) and the upper (pale).

    Bars are means over subjects, markers the subjects, in percent of r^2. The dashed and the dotted line are
    the shares that the lower and the upper half would have if all features contributed equally.
    `average` as for `share_panels`; `fair_share`: percent of the features in each half.
    """
    subjects = sorted(set(average["subject"]) - {GROUP})
    colours = [area_colours(areas)[area] for area in areas]
    styles = dict(zip(fair_share, ("--", ":"), strict=True))
    figure, panels = share_panels(average, "bipartite", "half")
    for panel, share, of_model in panels:
        shares = of_model.set_index(["part", "subject", "area"])[share]
        for order, half in enumerate(fair_share):
            means, *of_subjects = (
                shares.reindex(pd.MultiIndex.from_product([[half], [subject], areas])).to_numpy()
                for subject in (GROUP, *subjects)
            )
            position = np.arange(len(areas)) + (order - 0.5) * (WIDTH + 0.04)
            panel.axhline(fair_share[half], linestyle=styles[half], color=QUIET, linewidth=1.3, zorder=0)
            bar = {"color": colours, "edgecolor": colours, "linewidth": 1}
            panel.bar(position, means, WIDTH, alpha=0.9 if half == "lower" else 0.35, **bar)
            for number, (subject, values) in enumerate(zip(subjects, of_subjects, strict=True)):
                aside = (number - (len(subjects) - 1) / 2) * 0.7 * WIDTH / len(subjects)
                edge = {"markeredgecolor": "#333333", "markeredgewidth": 0.8}
                marker = subject_marker(subject)
                panel.plot(position + aside, values, marker, color="white", markersize=4, **edge)
        panel.set_xticks(range(len(areas)), areas)
    halves = [Patch(facecolor="#555555", label="lower half"), Patch(facecolor="#CCCCCC", label="upper half")]
    fair = [line_entry(f"share of features, {half}", style) for half, style in styles.items()]
    legend(figure, [*halves, *fair, *subject_entries(subjects)])
    return figure
