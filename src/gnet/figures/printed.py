"""The tables that are printed when a run ends: which of their columns, under which headings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import rich
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Summary:
    """How one kind of table is printed."""

    title: str
    headings: dict[str, str]
    """The columns that are printed, and what stands above them."""


ACCURACY = Summary(
    "accuracy on single test trials; means over voxels, or medians where it says so",
    {
        "area": "area",
        "subject": "subject",
        "voxels": "voxels",
        "excluded": "excluded",
        "median_r": "median r",
        "r_over_ceiling": "r/√ceiling",
        "variance_explained": "explained %",
        "ceiling": "ceiling %",
        "fev": "FEV %",
        "without_fev": "no FEV",
    },
)
SUMMARIES = {
    "gnet8j_summary": ACCURACY,
    "gnet8r_summary": ACCURACY,
    "imported_summary": ACCURACY,
    "joint_versus_areas": Summary(
        "accuracy of the joint model less that of the area-wise models",
        {
            "area": "area",
            "subject": "subject",
            "voxels": "voxels",
            "shift": "shift of r",
            "shift_error": "± (voxels)",
            "share_better": "joint better, %",
            "q": "q",
        },
    ),
    "hierarchy_index": Summary(
        "hierarchy index: 1 for an entailment hierarchy, 0 for none",
        {
            "subject": "subject",
            "index": "index",
            "fit_error": "± (fit)",
            "voxel_sd": "± (voxels)",
            "subject_sd": "± (subjects)",
        },
    ),
    "hierarchy_index_seeds": Summary(
        "mean index over the seeds that were run so far with the same data and settings",
        {"subject": "subject", "index": "index", "seed_sd": "± (seeds)", "seeds": "seeds", "which": "which"},
    ),
    "size_eccentricity": Summary(
        "receptive field size, degrees of visual angle",
        {
            "model": "model",
            "area": "area",
            "subject": "subject",
            "voxels": "voxels",
            "size_at_centre": "at the centre",
            "slope": "per degree",
            "median_size": "median",
        },
    ),
}
"""By the name of the dataset, whatever namespace it is in."""


def print_summary(name: str, table: pd.DataFrame) -> None:
    """Print a dataset's table, its fractions with three decimals; nothing if it is none of `SUMMARIES`."""
    summary = SUMMARIES.get(name.rpartition(".")[2])
    if summary is None:
        return
    grid = Table()
    for column, heading in summary.headings.items():
        text = pd.api.types.is_string_dtype(table[column])
        grid.add_column(heading, justify="left" if text else "right", no_wrap=True)
    for row in table[list(summary.headings)].itertuples(index=False):
        grid.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    console = rich.get_console()
    console = Console(file=console.file, width=max(console.width, 120))
    console.print(f"{name}: {summary.title}", style="italic", highlight=False)
    console.print(grid)


def print_place(name: str, dataset: Any) -> None:
    """Print where a stored dataset's file lies, on a line of its own that no width breaks."""
    path = Path(dataset._get_load_path())
    rich.get_console().print(f"{name}: {path}", soft_wrap=True, markup=False, highlight=False)
