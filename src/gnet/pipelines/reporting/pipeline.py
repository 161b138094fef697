"""Figures and tables of everything that was fitted and measured, maps, and the report.

What the report shows is in `gnet.figures.report.SECTIONS`. A new figure is an entry there, a function, and
one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.figures.explained_variance import explained_variance_figure
from gnet.figures.fit_history import fit_history_figure
from gnet.figures.joint_versus_areas import joint_versus_areas_figure
from gnet.figures.output_correlation import output_correlation_figure
from gnet.figures.report import FIGURES, TABLES
from gnet.figures.size_eccentricity import size_eccentricity_figure
from gnet.figures.transfer_matrix import transfer_matrix_figure
from gnet.pipelines.selecting import by_keyword, given, model_files, named_node

from . import nodes

PUBLISHED = [f"{name}_against_published" for name in ("accuracy", "fev", "hierarchy_index")]


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One node a figure; one each for the tables beside the published ones, the maps and the report."""
    files = model_files(areas)
    models = [name for parts in files.values() for name in parts]
    fits = [*models, *(f"{area}.transfer" for area in areas)]
    fits += [f"synthetic.{name}" for name in fits]

    def figure(function: Callable[..., Any], inputs: Any, outputs: Any, name: str = "") -> Node:
        name = name or f"draw_{outputs.removesuffix('_figure')}"
        return Node(given(function, areas=areas), inputs, outputs, name=name)

    def pooling_fields(model: str) -> Node:
        inputs = {**of_voxels(model), **by_keyword(*files[model])}
        name = f"draw_pooling_fields_of_{model}"
        return figure(nodes.draw_pooling_fields, inputs, f"{model}_pooling_fields_figure", name)

    def of_voxels(model: str) -> dict[str, str]:
        return {name: f"{model}_{name}" for name in ("accuracy", "receptive_fields")}

    summaries, accuracies, predictions = (
        [f"{model}_{name}" for model in files] for name in ("summary", "accuracy", "predictions")
    )
    fields = {"lines": "size_eccentricity", **{model: f"{model}_receptive_fields" for model in files}}
    matrices = {"measured": "transfer_matrix", "synthetic": "synthetic.transfer_matrix"}
    indices = [f"{of}hierarchy_index" for of in ("", "synthetic.")]
    seeds = [f"{index}_seeds" for index in indices]
    index_drawn = ["recording", *indices, *seeds, "params:simulation"]
    tuning = ["layerwise_tuning_figure", "bipartite_tuning_figure"]
    mapped = [f"{model}_{table}" for model in files for table in nodes.MAPPED]
    of_data = by_keyword("recording", "params:release", "params:split", "trials")
    reported = {**of_data, **of_voxels("gnet8j"), **by_keyword(*models, *FIGURES, *TABLES)}
    compared = [*summaries, *indices, "params:synthetic"]
    return Pipeline(
        [
            figure(explained_variance_figure, summaries, "explained_variance_figure"),
            figure(joint_versus_areas_figure, accuracies, "joint_versus_areas_figure"),
            named_node(nodes.correlate_outputs, predictions, "output_correlation"),
            figure(output_correlation_figure, "output_correlation", "output_correlation_figure"),
            named_node(nodes.gather_histories, by_keyword(*fits), "fit_history"),
            figure(fit_history_figure, "fit_history", "fit_history_figure"),
            *map(pooling_fields, files),
            figure(size_eccentricity_figure, fields, "size_eccentricity_figure"),
            figure(nodes.draw_tuning, ["tuning_average", "gnet8j"], tuning, "draw_tuning"),
            figure(transfer_matrix_figure, matrices, "transfer_matrix_figure"),
            named_node(nodes.draw_hierarchy_index, index_drawn, "hierarchy_index_figure"),
            named_node(nodes.draw_maps, by_keyword("masks", *mapped), "maps"),
            figure(nodes.draw_volume_slices, ["recording", "masks", "maps"], "volume_slices_figure"),
            named_node(nodes.compare_with_published, compared, PUBLISHED),
            named_node(given(nodes.write_report, areas=areas), reported, "report"),
        ]
    )
