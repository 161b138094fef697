"""The tables that a scientist reads first: which of their columns are shown, and under which headings."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd
import rich
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


@dataclass(frozen=True)
class Summary:
    """How one kind of table is shown, in the terminal and in the report."""

    title: str
    headings: dict[str, str]
    """The columns that are shown, and what stands above them."""

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The columns that are shown, under their headings."""
        return table[list(self.headings)].rename(columns=self.headings)


BY_AREA = {"area": "area", "subject": "subject", "voxels": "voxels"}
ACCURACY = Summary(
    "accuracy on single test trials; means over voxels, but for the two medians",
    BY_AREA
    | {"excluded": "excluded", "median_r": "median r", "r_over_ceiling": "median r/√ceiling"}
    | {"variance_explained": "explained %", "ceiling": "ceiling %", "fev": "FEV %", "without_fev": "no FEV"},
)
SUMMARIES = {
    "gnet8j_summary": ACCURACY,
    "gnet8r_summary": ACCURACY,
    "imported_summary": ACCURACY,
    "controls": Summary(
        "median r/√ceiling; gain: mean r less that of the untrained trunk, ± standard error over voxels",
        BY_AREA
        | {"gnet8j": "joint", "gnet8r": "area-wise", "untrained_gnet8j": "untrained trunk"}
        | {"prefilter": "no trunk", "planted": "planted maps", "gnet8j_gain": "gain, joint"}
        | {"gnet8j_gain_error": "± voxels", "gnet8r_gain": "gain, area-wise"}
        | {"gnet8r_gain_error": "± voxels, area-wise"},
    ),
    "joint_versus_areas": Summary(
        "accuracy of the joint model less that of the area-wise models",
        BY_AREA
        | {"shift": "shift of r", "shift_error": "± voxels (standard error)"}
        | {"share_better": "joint better, %", "q": "q"},
    ),
    "hierarchy_index": Summary(
        "hierarchy index: 1 if higher areas entail lower ones and trunks are perfect; see the report",
        {"subject": "subject", "index": "index"}
        | {"fit_error": "± fit", "voxel_sd": "± voxels (bootstrap)", "subject_sd": "± subjects"},
    ),
    "hierarchy_index_seeds": Summary(
        "mean index over the seeds that were run so far with the same data and settings",
        {"subject": "subject", "index": "index", "seed_sd": "± seeds", "seeds": "seeds", "which": "which"},
    ),
    "sweep_summary": Summary(
        "median r over the voxels of an area, averaged over subjects and seeds",
        {"brain": "brain", "protocol": "protocol", "model": "model", "area": "area", "median_r": "median r"}
        | {"seed_sd": "± seeds", "seeds": "seeds"},
    ),
    "sweep_seeds": Summary(
        "hierarchy index of each brain and protocol, mean over seeds",
        {"brain": "brain", "protocol": "protocol", "subject": "subject", "index": "index"}
        | {"seed_sd": "± seeds", "seeds": "seeds", "which": "which"},
    ),
    "size_eccentricity": Summary(
        "receptive field size, degrees of visual angle",
        {"model": "model"}
        | BY_AREA
        | {"size_at_centre": "at the centre", "slope": "per degree", "median_size": "median"},
    ),
}
"""By the name of the dataset, whatever namespace it is in."""


def summary_of(name: str) -> Summary | None:
    """How a dataset is shown, whatever its namespace; None if it is not among `SUMMARIES`."""
    return SUMMARIES.get(name.rpartition(".")[2])


def print_summary(name: str, table: pd.DataFrame) -> None:
    """Print a table that is among `SUMMARIES`."""
    summary = summary_of(name)
    if summary is None:
        return
    print_table(f"{name}: {summary.title}", summary.of(table))


def print_table(title: str, table: pd.DataFrame) -> None:
    """Print a table: percentages with one decimal, other numbers with three, NaN as a dash."""
    grid, columns = Table(), []
    for heading, values in table.items():
        text = pd.api.types.is_string_dtype(values)
        grid.add_column(str(heading), justify="left" if text else "right", no_wrap=True)
        columns.append([_cell(value, 1 if str(heading).endswith("%") else 3) for value in values])
    for cells in zip(*columns, strict=True):
        grid.add_row(*cells)
    console = rich.get_console()
    needed = Measurement.get(console, console.options.update(max_width=1000), grid).maximum
    console = Console(file=console.file, width=max(console.width, needed))
    console.print(title, style="italic", highlight=False)
    console.print(grid)


def _cell(value: Any, decimals: int) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if isnan(value) else f"{value:.{decimals}f}"


def print_place(name: str, dataset: Any) -> None:
    """Print where a stored dataset's file lies, on a line of its own that no width breaks."""
    path = Path(dataset._get_load_path())
    rich.get_console().print(f"{name}: {path}", soft_wrap=True, markup=False, highlight=False)
