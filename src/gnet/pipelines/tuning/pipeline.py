"""Tuning and receptive fields of the joint and of the area-wise models."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.selecting import by_keyword, model_files

from .nodes import average_tuning, fit_receptive_fields, fit_size_eccentricity, measure_tuning


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """For each kind of model its tuning and its fields; then the averages of both."""
    files = model_files(areas)
    nodes = []
    for model, parts in files.items():
        nodes += [
            Node(
                measure_tuning,
                inputs={
                    **by_keyword(["images", "betas", "voxels", "trials"]),
                    "tuning": "params:tuning",
                    "fitting": "params:fitting",
                    **by_keyword(parts),
                },
                outputs=f"{model}_tuning",
                name=f"measure_tuning_of_{model}",
            ),
            Node(
                fit_receptive_fields,
                inputs=by_keyword(["voxels", *parts]),
                outputs=f"{model}_receptive_fields",
                name=f"fit_receptive_fields_of_{model}",
            ),
        ]
    return Pipeline(
        [
            *nodes,
            Node(
                average_tuning,
                inputs={f"{model}_tuning": f"{model}_tuning" for model in files},
                outputs="tuning_average",
                name="average_tuning",
            ),
            Node(
                fit_size_eccentricity,
                inputs={f"{model}_receptive_fields": f"{model}_receptive_fields" for model in files},
                outputs="size_eccentricity",
                name="fit_size_eccentricity",
            ),
        ]
    )
