"""The report: everything that a run has to show, on one self-contained page of HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from gnet.analysis.receptive_fields import FEWEST, FIELD_OF_VIEW
from gnet.figures.axes import minus
from gnet.figures.printed import summary_of

PAPER = (
    "St-Yves, G., Allen, E. J., Wu, Y., Kay, K. & Naselaris, T. Brain-optimized deep neural network models "
    "of human visual areas learn non-hierarchical representations. Nature Communications 14, 3329 (2023).",
    "https://doi.org/10.1038/s41467-023-38674-4",
)
NSD = (
    "Allen, E. J. et al. A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial "
    "intelligence. Nature Neuroscience 25, 116-126 (2022).",
    "https://doi.org/10.1038/s41593-021-00962-x",
)
SEED_COMMANDS = {
    "hierarchy_index_seeds": "kedro run --pipelines encoding_roi,transfer --params seed=2",
    "synthetic.hierarchy_index_seeds": "kedro run --pipelines synthetic --params seed=2",
}
"""The command that adds a seed to a table over seeds."""


@dataclass(frozen=True)
class Section:
    """A heading, the text below it, and the datasets of its figures and tables with their captions."""

    title: str
    text: str
    figures: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)
    measured_only: bool = False
    """Whether it is left out of the report of simulated data."""

    @property
    def anchor(self) -> str:
        """The target of links to it."""
        return self.title.lower().replace(" ", "-").replace(",", "")


SECTIONS = (
    Section(
        "Accuracy",
        "Accuracy is the correlation r between measured and predicted responses over single test trials; "
        "variance explained is 100 r². The noise ceiling is what a perfect model would explain of single "
        "trials. FEV, the fraction of explainable variance, is the mean of their ratio over voxels with a "
        "ceiling of 5 % or more.",
        figures={
            "explained_variance_figure": "Means over voxels, by area and subject.",
            "gnet8j_figure": "The joint model, voxel by voxel: variance explained against the noise ceiling. "
            "On the line “all”, a voxel's model explains all that is not noise; on the dotted lines ½ and ¼, "
            "a half and a quarter of it. Both numbers are estimates, so a voxel can lie above the line. Not "
            "drawn: voxels without one of the two, which are listed under Excluded.",
            "gnet8r_figure": "The area-wise models, voxel by voxel.",
        },
        tables={"gnet8j_summary": "The joint model", "gnet8r_summary": "The area-wise models"},
    ),
    Section(
        "Controls",
        "What an accuracy says of a trunk: how much better a model predicts than the same readouts on a "
        "random trunk that was not trained. No trunk: ridge regression on the maps of the prefilter, under "
        "the receptive fields of the joint model. Planted maps, of simulated data: ridge regression on the "
        "maps that the brain reads, under its own receptive fields, which a trunk could reach that had "
        "learned everything.",
        tables={"controls": "Median r/√ceiling, and the gain of mean r over the untrained trunk"},
    ),
    Section(
        "Joint against area-wise",
        "One trunk for all areas, or one for each: which predicts better, where, and do their predictions "
        "agree?",
        figures={
            "joint_versus_areas_figure": "Above: accuracy of both models, one dot per voxel. Below: the "
            "distribution of joint minus area-wise accuracy; the outermost bars include everything beyond, "
            "and the dashed line is the mean.",
            "output_correlation_figure": "Correlation between the predictions of the two kinds of models, "
            "for each voxel, over the images that both predict. Box: quartiles and median.",
        },
        tables={
            "joint_versus_areas": "Difference of accuracy. ± is the standard error over voxels; p-values "
            "are from Wilcoxon tests over voxels, and q is p adjusted for the false discovery rate",
        },
    ),
    Section(
        "Receptive fields",
        "Each voxel has a pooling field on the network's feature maps. An elliptical Gaussian is fitted to "
        "it; its size is the side of a square with the area of the 1-sigma ellipse. Images span "
        f"{FIELD_OF_VIEW:g} degrees of visual angle.",
        figures={
            "gnet8j_pooling_fields_figure": "The joint model's fields on the finer grid: in each area, the "
            "best-predicted voxels among those whose ellipse (black and white outline: 1 sigma) is "
            "determined: its centre is on the grid and it is smaller than the image. Not a random sample. "
            "Each panel spans the image and has its own scale, from nothing (dark) to the field's maximum; "
            "the light border is not on the grid, and the cross is the centre of gaze.",
            "gnet8r_pooling_fields_figure": "The same for the area-wise models.",
            "size_eccentricity_figure": "Size against eccentricity, with a least squares line for each "
            f"subject with at least {FEWEST} voxels. Counts: voxels with a determined ellipse, of all.",
        },
        tables={
            "size_eccentricity": "The lines: size at the centre of gaze and growth per degree of "
            "eccentricity",
        },
    ),
    Section(
        "Tuning",
        "How much each layer contributes to a voxel's accuracy. The specific share is what a part of the "
        "features reaches alone, the unique share is what is lost without it; both are in percent of r². "
        "Averages are over voxels with r above 0.055, which chance exceeds with p < 0.01 (paper), weighted "
        "by r². The grey lines are the shares expected from the number of features alone: the first layer "
        "has more of them.",
        figures={
            "layerwise_tuning_figure": "By layer. Thick: mean over subjects; thin: subjects.",
            "bipartite_tuning_figure": "By half: the layers on the fine grid (lower, full bars) and on the "
            "coarse grid (upper, pale bars). Markers: subjects.",
        },
    ),
    Section(
        "Transfer and hierarchy",
        "Trunks trained on one area, with fresh readouts for all others. In a hierarchy of entailment, the "
        "trunk of a higher area would serve the lower areas, but not the reverse: the index is 1. Without "
        "any hierarchy it would be 0. What fitted trunks give depends on how well they are fitted, too: "
        "planted hierarchies of the demo's size have come out below 0. So an index alone does not tell an "
        "organisation; compare it with that of planted brains (pipeline sweep). Synthetic: the same "
        "experiment on the predictions of a fitted model.",
        figures={
            "transfer_matrix_figure": "Shift of mean accuracy relative to the area's own model; numbers are "
            "in units of 0.001. On the diagonal, new readouts are fitted to the area's own trunk: it shows "
            "what fitting the readouts again changes, and is no part of the index.",
            "hierarchy_index_figure": "The index. Thick bars: error of the fit; thin bars: standard "
            "deviation over bootstrap samples of the voxels. Bars that extend beyond the axis are labelled "
            "with the error of the fit: such an index is not determined. It compares two slopes, and is "
            "exactly 1 or −1 where these have opposite signs, however small they are: with few voxels, that "
            "is chance. The index also varies from fit to "
            "fit: where runs with several seeds are stored, the mean and standard deviation over seeds are "
            "drawn beside it.",
        },
        tables={
            "hierarchy_index": "Measured responses",
            "hierarchy_index_seeds": "Measured responses, over the seeds of all runs with the same settings",
            "synthetic.gnet8j_summary": "The joint model of synthetic responses",
            "synthetic.gnet8r_summary": "The area-wise models of synthetic responses",
            "synthetic.hierarchy_index": "Synthetic responses",
            "synthetic.hierarchy_index_seeds": "Synthetic responses, over the seeds of all runs with the "
            "same settings",
        },
    ),
    Section(
        "Fits",
        "Objective on training trials and median accuracy on held-out trials. The dot marks the epoch whose "
        "state was kept.",
        figures={"fit_history_figure": "All fits of the run."},
    ),
    Section(
        "In the brain",
        "The same results are stored as NIfTI volumes in the space of the release, in the folder maps "
        "beside the report.",
        figures={
            "volume_slices_figure": "Areas, and accuracy of the joint model, on the anatomy where there is "
            "one. Each slice is the one with the most voxels.",
        },
    ),
    Section(
        "Beside the published numbers",
        "Source data of the paper's figures, our numbers, and ours minus the published ones; only rows for "
        "which we have numbers. A dash marks a number that does not exist.",
        tables={
            "accuracy_against_published": "Mean variance explained and noise ceiling (%)",
            "fev_against_published": "FEV (%); the paper gives it for a fine-tuned model only, which has no "
            "counterpart here",
            "hierarchy_index_against_published": "Hierarchy index and its fit error; subject 9 is all pooled",
        },
        measured_only=True,
    ),
)
"""Everything that the report shows, in order. Its node takes the datasets that are named here."""
FIGURES = tuple(name for section in SECTIONS for name in section.figures)
TABLES = tuple(name for section in SECTIONS for name in section.tables)


def report_page(
    run: str,
    *,
    simulated: bool,
    facts: Mapping[str, Mapping[str, str]],
    excluded: pd.DataFrame,
    figures: Mapping[str, bytes],
    tables: Mapping[str, pd.DataFrame],
    areas: Sequence[str] = (),
) -> str:
    """The page. Pictures and styles are inside; it has no scripts and needs no network.

    Of `simulated` data, it says so first, and leaves out the sections that are about measured data only.
    `facts` are what the run was made with, groups of names and values; `excluded` is the table of
    `gnet.analysis.exclusions`. `figures` (PNG files) and `tables` are by the names in `SECTIONS`; those that
    are missing are left out, and so is a section without any. `areas` orders the rows of tables; areas that
    it does not name come last.
    """
    sections = []
    for section in SECTIONS:
        if simulated and section.measured_only:
            continue
        shown = [
            {"name": name, "caption": caption, **_picture(figures[name])}
            for name, caption in section.figures.items()
            if name in figures
        ]
        listed = [
            {"caption": caption, **_listing(name, tables[name], areas)}
            for name, caption in section.tables.items()
            if name in tables
        ]
        if shown or listed:
            sections.append({"section": section, "figures": shown, "tables": listed})
    layout = {"trim_blocks": True, "lstrip_blocks": True}
    templates = PackageLoader("gnet", "figures")
    environment = Environment(loader=templates, autoescape=True, undefined=StrictUndefined, **layout)
    return environment.get_template("report.html").render(
        run=run,
        simulated=simulated,
        omitted=[section.title for section in SECTIONS if section.measured_only],
        facts=facts,
        excluded=readable(excluded),
        sections=sections,
        citations=[PAPER] if simulated else [PAPER, NSD],
    )


def _picture(png: bytes) -> dict[str, str]:
    """A picture as a data URL, and the width at which it was drawn: there, text is equally large in all."""
    with Image.open(BytesIO(png)) as image:
        inches = image.width / image.info["dpi"][0]
    encoded = base64.b64encode(png).decode("ascii")
    return {"source": f"data:image/png;base64,{encoded}", "inches": f"{inches:.2f}"}


def _listing(name: str, table: pd.DataFrame, areas: Sequence[str]) -> dict[str, Any]:
    """A table as text; of a table over seeds with one seed each, the command that adds another."""
    if name in SEED_COMMANDS and not (table["seeds"] > 1).any():
        return {"command": SEED_COMMANDS[name]}
    return readable(shown_table(name, table, areas))


def shown_table(name: str, table: pd.DataFrame, areas: Sequence[str] = ()) -> pd.DataFrame:
    """The columns of a stored table that the report shows, under the headings of the printed summaries.

    Areas stand in the given order. Of a comparison with the published numbers, only the rows for which we
    have a number are shown, and of these only the ones with any number.
    """
    if name.endswith("_against_published"):
        keys = ["set", "subj"] if "set" in table else ["subj", "ROI"]
        ours = table[table["source"] == "ours"].drop(columns="source").set_index(keys).dropna(how="all")
        shown = table[table.set_index(keys).index.isin(ours.index)]
        shown = shown.dropna(how="all", subset=shown.columns.difference([*keys, "source"]))
        return shown.rename(columns={"subj": "subject", "ROI": "area", "mean": "index", "std": "± fit"})
    if "area" in table:
        rank = pd.Index(dict.fromkeys([*areas, *table["area"]])).get_indexer(table["area"])
        by = ["model", "rank"] if "model" in table else ["rank"]
        table = table.assign(rank=rank).sort_values(by, kind="stable")
    summary = summary_of(name)
    assert summary is not None, f"{name} is in SECTIONS, but has no summary"
    return summary.of(table)


def readable(table: pd.DataFrame) -> dict[str, list]:
    """A table as text: `columns`, `rows` of cells, and which columns are `numeric`. NaN is a dash.

    Percentages have one decimal. Other numbers have as many as the median size of their column asks for, at
    most three.

    >>> table = pd.DataFrame({"area": ["V1", "V2"], "r": [0.12345, float("nan")], "voxels": [1200, 7]})
    >>> readable(table)["rows"]
    [['V1', '0.123', '1,200'], ['V2', '–', '7']]
    """
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    columns = [_cells(table[column]) for column in table]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return {"columns": list(table.columns), "numeric": numeric, "rows": rows}


def _cells(values: pd.Series) -> Sequence[str]:
    if not pd.api.types.is_numeric_dtype(values):
        return list(map(str, values))
    if pd.api.types.is_integer_dtype(values):
        return [f"{number:,}" for number in values]
    middle = values.abs().median()
    decimals = 1 if middle >= 10 or str(values.name).endswith("%") else 2 if middle >= 2 else 3
    return ["–" if pd.isna(number) else minus(f"{number:.{decimals}f}") for number in values]
