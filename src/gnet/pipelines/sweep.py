"""Every model and the transfer analysis in each combination of seeds and protocols, in one run.

A combination is a cell: it has the parameters of `fitting` to itself (`gnet.hooks.configuration`), and a
namespace of its name. All fits are independent, so a cluster computes them at the same time.
"""

from __future__ import annotations

from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.analysis.seeds import sweep_tables
from gnet.evaluation.accuracy import summary_table
from gnet.pipelines.fit_and_score import pipeline as template
from gnet.pipelines.parameters import Fitting, Protocols
from gnet.pipelines.selecting import by_keyword

FOUND = ("gnet8j_accuracy", "gnet8r_accuracy", "hierarchy_index")
"""What is known of a cell in the end."""


def create_pipeline(areas: tuple[str, ...], cells: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines in every cell, and the tables of all."""
    found = [f"params:cells.{cell}" for cell in cells]
    found += [f"sweep.{cell}.{name}" for cell in cells for name in FOUND]
    tables = ["sweep_results", "sweep_index", "sweep_summary", "sweep_seeds"]
    gathering = Node(
        gather_cells, by_keyword("params:protocols", *found), tables, name="gather_cells", namespace="sweep"
    )
    return sum((in_cell(areas, cell) for cell in cells), Pipeline([gathering] if cells else []))


def in_cell(areas: tuple[str, ...], cell: str) -> Pipeline:
    """Joint, area-wise and transfer models with the parameters of a cell."""
    models = (template.joint_model, template.area_models, template.transfer_models)
    fits = sum((fit(areas) for fit in models), template.transfer_analysis(areas)).to_outputs(*FOUND)
    parameters = {name: name for name in template.parameters_of(fits)}
    parameters["params:fitting"] = f"params:cells.{cell}"
    return Pipeline(
        fits, namespace=f"sweep.{cell}", inputs=template.SHARED & fits.inputs(), parameters=parameters
    )


def gather_cells(protocols: Protocols, **found: Any) -> tuple[Any, ...]:
    """The tables of all cells: `gnet.analysis.seeds.sweep_tables`."""
    cells = {
        name.removeprefix("cells_"): value for name, value in found.items() if isinstance(value, Fitting)
    }
    settings = {
        cell: {**fitting.choices(protocols).model_dump(), **fitting.model_dump(exclude_none=True)}
        for cell, fitting in cells.items()
    }
    accuracies = {
        (cell, model): summary_table(found[f"sweep_{cell}_{model}_accuracy"])
        for cell in cells
        for model in ("gnet8j", "gnet8r")
    }
    indices = {cell: found[f"sweep_{cell}_hierarchy_index"] for cell in cells}
    return sweep_tables(settings, accuracies, indices)
