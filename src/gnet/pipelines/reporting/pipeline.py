"""Figures and tables of everything that was fitted and measured, maps, and the report."""

from __future__ import annotations

from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.selecting import by_keyword, model_files

from . import nodes

FIGURES = (
    "explained_variance_figure",
    "gnet8j_figure",
    "gnet8r_figure",
    "joint_versus_areas_figure",
    "output_correlation_figure",
    "gnet8j_pooling_fields_figure",
    "gnet8r_pooling_fields_figure",
    "size_eccentricity_figure",
    "layerwise_tuning_figure",
    "bipartite_tuning_figure",
    "transfer_matrix_figure",
    "hierarchy_index_figure",
    "fit_history_figure",
    "volume_slices_figure",
)
"""What the report shows."""
TABLES = (
    "gnet8j_summary",
    "gnet8r_summary",
    "joint_versus_areas",
    "size_eccentricity",
    "hierarchy_index",
    "hierarchy_index_seeds",
    "synthetic.gnet8j_summary",
    "synthetic.gnet8r_summary",
    "synthetic.hierarchy_index",
    "synthetic.hierarchy_index_seeds",
    "accuracy_against_published",
    "fev_against_published",
    "hierarchy_index_against_published",
)
MAPPED = ("accuracy", "receptive_fields", "tuning")
"""Tables of each model whose columns become maps."""


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One node a figure; one each for the tables beside the published ones, the maps and the report."""
    files = model_files(areas)
    models = [name for parts in files.values() for name in parts]
    transfers = [f"{area}.transfer" for area in areas]
    fits = [*models, *transfers]
    fits += [f"synthetic.{name}" for name in fits]

    def figure(function: Any, inputs: Any, outputs: str | list[str], name: str) -> Node:
        return Node(_given(function, areas=areas), inputs=inputs, outputs=outputs, name=name)

    return Pipeline(
        [
            figure(
                nodes.draw_explained_variance,
                ["gnet8j_summary", "gnet8r_summary"],
                "explained_variance_figure",
                "draw_explained_variance",
            ),
            figure(
                nodes.draw_joint_versus_areas,
                ["gnet8j_accuracy", "gnet8r_accuracy"],
                "joint_versus_areas_figure",
                "draw_joint_versus_areas",
            ),
            Node(
                nodes.correlate_outputs,
                inputs=["gnet8j_predictions", "gnet8r_predictions"],
                outputs="output_correlation",
                name="correlate_outputs",
            ),
            figure(
                nodes.draw_output_correlation,
                "output_correlation",
                "output_correlation_figure",
                "draw_output_correlation",
            ),
            Node(
                nodes.gather_histories,
                inputs=by_keyword(fits),
                outputs="fit_history",
                name="gather_histories",
            ),
            figure(nodes.draw_fit_history, "fit_history", "fit_history_figure", "draw_fit_history"),
            *(
                figure(
                    nodes.draw_pooling_fields,
                    {
                        "accuracy": f"{model}_accuracy",
                        "receptive_fields": f"{model}_receptive_fields",
                        **by_keyword(parts),
                    },
                    f"{model}_pooling_fields_figure",
                    f"draw_pooling_fields_of_{model}",
                )
                for model, parts in files.items()
            ),
            figure(
                nodes.draw_size_eccentricity,
                ["size_eccentricity", *(f"{model}_receptive_fields" for model in files)],
                "size_eccentricity_figure",
                "draw_size_eccentricity",
            ),
            figure(
                nodes.draw_tuning,
                ["tuning_average", "gnet8j"],
                ["layerwise_tuning_figure", "bipartite_tuning_figure"],
                "draw_tuning",
            ),
            figure(
                nodes.draw_transfer_matrix,
                ["transfer_matrix", "synthetic.transfer_matrix"],
                "transfer_matrix_figure",
                "draw_transfer_matrix",
            ),
            Node(
                nodes.draw_hierarchy_index,
                inputs=[
                    "nsd",
                    "hierarchy_index",
                    "synthetic.hierarchy_index",
                    "hierarchy_index_seeds",
                    "synthetic.hierarchy_index_seeds",
                ],
                outputs="hierarchy_index_figure",
                name="draw_hierarchy_index",
            ),
            Node(
                nodes.draw_maps,
                inputs={
                    "nsd": "nsd",
                    "voxels": "voxels",
                    **{f"{model}_{table}": f"{model}_{table}" for model in files for table in MAPPED},
                },
                outputs="maps",
                name="draw_maps",
            ),
            figure(
                nodes.draw_volume_slices,
                ["nsd", "masks", "maps"],
                "volume_slices_figure",
                "draw_volume_slices",
            ),
            Node(
                nodes.compare_with_published,
                inputs=[
                    "gnet8j_summary",
                    "gnet8r_summary",
                    "hierarchy_index",
                    "synthetic.hierarchy_index",
                    "params:synthetic",
                ],
                outputs=[
                    "accuracy_against_published",
                    "fev_against_published",
                    "hierarchy_index_against_published",
                ],
                name="compare_with_published",
            ),
            Node(
                nodes.write_report,
                inputs={
                    "nsd": "nsd",
                    "release": "params:release",
                    "split": "params:split",
                    "trials": "trials",
                    "accuracy": "gnet8j_accuracy",
                    "receptive_fields": "gnet8j_receptive_fields",
                    **by_keyword([*models, *FIGURES, *TABLES]),
                },
                outputs="report",
                name="write_report",
            ),
        ]
    )


def _given(function: Any, **arguments: Any) -> Any:
    """The function with some arguments set, under its own name."""
    return update_wrapper(partial(function, **arguments), function)
