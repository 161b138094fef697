"""Tuning and receptive fields of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.selecting import by_keyword, model_files, named_node

from .nodes import average_tuning, fit_receptive_fields, fit_size_eccentricity, measure_tuning


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """For each kind of model its tuning and its fields; then the averages of both."""
    files = model_files(areas)
    data = ("images", "betas", "voxels", "trials", "params:tuning", "params:fitting")
    tunings, all_fields = ([f"{model}_{name}" for model in files] for name in ("tuning", "receptive_fields"))
    nodes = [
        named_node(average_tuning, by_keyword(*tunings), "tuning_average"),
        named_node(fit_size_eccentricity, by_keyword(*all_fields), "size_eccentricity"),
    ]
    for model, parts in files.items():
        tuning, fields = f"{model}_tuning", f"{model}_receptive_fields"
        measured, fitted = by_keyword(*data, *parts), by_keyword("voxels", *parts)
        measure, fit = f"measure_tuning_of_{model}", f"fit_receptive_fields_of_{model}"
        nodes.append(Node(measure_tuning, measured, tuning, name=measure, tags="device"))
        nodes.append(Node(fit_receptive_fields, fitted, fields, name=fit))
    return Pipeline(nodes)
