"""Everything that a run has to show on one page of HTML that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from io import BytesIO

import pandas as pd
from jinja2 import Environment, StrictUndefined
from PIL import Image

PAPER = (
    "St-Yves, G., Allen, E. J., Wu, Y., Kay, K. & Naselaris, T. Brain-optimized deep neural network "
    "models of human visual areas learn non-hierarchical representations. Nature Communications 14, "
    "3329 (2023).",
    "https://doi.org/10.1038/s41467-023-38674-4",
)
NSD = (
    "Allen, E. J. et al. A massive 7T fMRI dataset to bridge cognitive neuroscience and artificial "
    "intelligence. Nature Neuroscience 25, 116-126 (2022).",
    "https://doi.org/10.1038/s41593-021-00962-x",
)


@dataclass(frozen=True)
class Section:
    """A heading, what is to be seen below it, and the names of its figures and tables with their captions."""

    title: str
    text: str
    figures: Mapping[str, str]
    tables: Mapping[str, str]

    @property
    def anchor(self) -> str:
        """What links to it."""
        return self.title.lower().replace(" ", "-").replace(",", "")


SECTIONS = (
    Section(
        "Accuracy",
        "Accuracy is the correlation r between measured and predicted responses over single test "
        "trials; variance explained is 100 r². The noise ceiling is what a perfect model would "
        "explain of single trials. FEV, the fraction of explainable variance, is the mean over voxels "
        "of their ratio, over voxels with a ceiling of 5 % or more.",
        {
            "explained_variance_figure": "Means over voxels, by area and subject.",
            "gnet8j_figure": "The joint model, voxel by voxel: variance explained against the noise ceiling.",
            "gnet8r_figure": "The area-wise models, voxel by voxel.",
        },
        {"gnet8j_summary": "The joint model", "gnet8r_summary": "The area-wise models"},
    ),
    Section(
        "Joint against area-wise",
        "One trunk for all areas, or one for each: which predicts better, where, and do they say the same?",
        {
            "joint_versus_areas_figure": "Above: accuracy of both, a dot a voxel. Below: the "
            "distribution of joint less area-wise accuracy, the outermost bars with all that lies "
            "beyond; the dashed line is the mean.",
            "output_correlation_figure": "Correlation between the predictions of the two kinds of "
            "models over the images that both predict, for each voxel; box: quartiles and median.",
        },
        {
            "joint_versus_areas": "Difference of accuracy; p-values from Wilcoxon tests over voxels, "
            "q is p adjusted for the false discovery rate"
        },
    ),
    Section(
        "Receptive fields",
        "Each voxel has a pooling field on the network's maps. An elliptical Gaussian is fitted to "
        "it; its size is the side of a square as large as the 1-sigma ellipse. Images span 8.4 "
        "degrees.",
        {
            "gnet8j_pooling_fields_figure": "The joint model's fields on the finer grid for the "
            "best-predicted voxels of each area among those with a determined ellipse (black and "
            "white outline: 1 sigma). Not a random sample.",
            "gnet8r_pooling_fields_figure": "The same for the area-wise models.",
            "size_eccentricity_figure": "Size against eccentricity, with a least squares line for "
            "each subject. Counts: voxels with a determined ellipse, of all.",
        },
        {"size_eccentricity": "The lines"},
    ),
    Section(
        "Tuning",
        "How much of a voxel's accuracy is owed to which layers. Specific share: what a part of the "
        "features reaches alone; unique share: what is lost without it; both in percent of r². "
        "Averages over voxels with r above 0.055, weighted by r². The grey lines are the shares that "
        "follow from the number of features alone: the first layer has more of them.",
        {
            "layerwise_tuning_figure": "By layer. Thick: mean over subjects, thin: subjects.",
            "bipartite_tuning_figure": "By half: the layers on the fine grid (lower, full bars) and "
            "on the coarse one (upper, pale bars). Markers: subjects.",
        },
        {},
    ),
    Section(
        "Transfer and hierarchy",
        "Trunks trained on one area, with fresh readouts for all others. If areas were a hierarchy of "
        "entailment, a trunk of a higher area would serve the lower ones, and not the reverse: index "
        "1. Without any, 0. Synthetic: the same experiment on a fitted model's own predictions.",
        {
            "transfer_matrix_figure": "Shift of mean accuracy against the area's own model; numbers "
            "in units of 0.001.",
            "hierarchy_index_figure": "The index. Bars that leave the picture are as long as is "
            "written below them: such an index is not determined. It also varies from fit to fit: where "
            "runs with several seeds are stored, their mean and standard deviation stand beside it.",
        },
        {
            "hierarchy_index": "Measured responses",
            "hierarchy_index_seeds": "Measured responses, over the seeds of all runs with the same settings",
            "synthetic_gnet8j_summary": "The joint model of synthetic responses",
            "synthetic_gnet8r_summary": "The area-wise models of synthetic responses",
            "synthetic_hierarchy_index": "Synthetic responses",
            "synthetic_hierarchy_index_seeds": "Synthetic responses, over seeds",
        },
    ),
    Section(
        "Fits",
        "Objective on training trials and median accuracy on held-out ones. The dot marks the epoch "
        "whose state was kept.",
        {"fit_history_figure": "All fits of the run."},
        {},
    ),
    Section(
        "In the brain",
        "The same results are stored as NIfTI volumes in the space of the release, in the folder maps "
        "beside this report's.",
        {
            "volume_slices_figure": "Areas and accuracy of the joint model on the anatomy, where most "
            "voxels are."
        },
        {},
    ),
    Section(
        "Beside the published numbers",
        "Source data of the paper's figures, ours, and ours less published; only rows that we have. A "
        "dash is a number that does not exist.",
        {},
        {
            "accuracy_against_published": "Mean variance explained and noise ceiling (%)",
            "fev_against_published": "FEV (%); the paper gives it for a fine-tuned model only, which "
            "has no counterpart here",
            "hierarchy_index_against_published": "Hierarchy index and its fit error; subject 9 is all pooled",
        },
    ),
)


def report_page(
    run: str,
    *,
    simulated: bool,
    facts: Mapping[str, Mapping[str, str]],
    excluded: pd.DataFrame,
    figures: Mapping[str, bytes],
    tables: Mapping[str, pd.DataFrame],
) -> str:
    """The page. Pictures and styles are inside; it has no scripts and asks nothing of the network.

    Parameters
    ----------
    run
        The name of the run.
    simulated
        Whether the data are a stand-in, which is said first of all.
    facts
        What the run was made with: groups of names and values.
    excluded
        `gnet.analysis.exclusions.exclusions`.
    figures, tables
        By the names in `SECTIONS`: PNG files and tables with the headings that are to be read. Those that are
        missing are left out, with their section where nothing is left of it.
    """
    sections = []
    for section in SECTIONS:
        shown = [
            {
                "name": name,
                "caption": caption,
                "source": "data:image/png;base64," + base64.b64encode(figures[name]).decode("ascii"),
                "inches": f"{width_in_inches(figures[name]):.2f}",
            }
            for name, caption in section.figures.items()
            if name in figures
        ]
        listed = [
            {"name": name, "caption": caption, **readable(tables[name])}
            for name, caption in section.tables.items()
            if name in tables
        ]
        if shown or listed:
            sections.append({"section": section, "figures": shown, "tables": listed})
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files("gnet.figures") / "report.html").read_text(encoding="utf-8"))
    return template.render(
        run=run,
        simulated=simulated,
        facts=facts,
        excluded=readable(excluded),
        sections=sections,
        citations=[PAPER] if simulated else [PAPER, NSD],
    )


def width_in_inches(picture: bytes) -> float:
    """How wide a PNG file was drawn. Shown at that width, the text of all figures is equally large."""
    with Image.open(BytesIO(picture)) as image:
        return image.width / image.info["dpi"][0]


def readable(table: pd.DataFrame) -> dict[str, list]:
    """A table as text: `columns`, `rows` of cells, and which columns are `numeric`. NaN is a dash.

    Numbers of a column have as many decimals as its median size asks for, at most three.

    >>> table = pd.DataFrame({"area": ["V1", "V2"], "r": [0.12345, float("nan")], "voxels": [1200, 7]})
    >>> readable(table)["rows"]
    [['V1', '0.123', '1,200'], ['V2', '–', '7']]
    """
    numeric = [pd.api.types.is_numeric_dtype(table[column]) for column in table]
    columns = [
        _cells(table[column]) if is_number else list(map(str, table[column]))
        for column, is_number in zip(table, numeric, strict=True)
    ]
    return {
        "columns": list(table.columns),
        "numeric": numeric,
        "rows": [list(row) for row in zip(*columns, strict=True)],
    }


def _cells(numbers: pd.Series) -> Sequence[str]:
    if pd.api.types.is_integer_dtype(numbers):
        return [f"{number:,}" for number in numbers]
    middle = numbers.abs().median()
    decimals = 1 if middle >= 10 else 2 if middle >= 2 else 3
    return ["–" if pd.isna(number) else f"{number:.{decimals}f}".replace("-", "−") for number in numbers]
