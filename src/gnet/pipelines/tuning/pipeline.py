"""Tuning and receptive fields of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.selecting import by_keyword, model_files, named_node

from .nodes import average_tuning, fit_receptive_fields, fit_size_eccentricity, measure_tuning


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """For each kind of model its tuning and its fields; then the averages of both."""
    files = model_files(areas)
    data = ("images", "betas", "voxels", "trials", "params:tuning", "params:fitting")
    tuning, fields = ([f"{model}_{name}" for model in files] for name in ("tuning", "receptive_fields"))
    nodes = [
        named_node(average_tuning, by_keyword(*tuning), "tuning_average"),
        named_node(fit_size_eccentricity, by_keyword(*fields), "size_eccentricity"),
    ]
    for model, parts in files.items():
        nodes += [
            Node(
                measure_tuning,
                by_keyword(*data, *parts),
                f"{model}_tuning",
                name=f"measure_tuning_of_{model}",
                tags="device",
            ),
            Node(
                fit_receptive_fields,
                by_keyword("voxels", *parts),
                f"{model}_receptive_fields",
                name=f"fit_receptive_fields_of_{model}",
            ),
        ]
    return Pipeline(nodes)
