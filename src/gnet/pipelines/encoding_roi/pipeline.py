"""Fit and score one model per area."""

from kedro.pipeline import Node, Pipeline

from gnet.evaluation.accuracy import summary_table
from gnet.pipelines.fit_and_score import fit_and_score

from .nodes import gather


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """An instance of the template for each area, and what they come to together."""
    instances = [
        Pipeline(
            fit_and_score("gnet8r", (area,), "input_mean_area"),
            namespace=area,
            inputs={"images", "betas", "voxels", "trials", "prefilter"},
            outputs={"gnet8r_accuracy": f"{area}_gnet8r_accuracy"},
            parameters={"model", "fitting", "protocols", "scoring"},
        )
        for area in areas
    ]
    return sum(instances, Pipeline([])) + Pipeline(
        [
            Node(
                gather,
                inputs=[f"{area}_gnet8r_accuracy" for area in areas],
                outputs="gnet8r_accuracy",
                name="gather_gnet8r_accuracy",
            ),
            Node(
                summary_table,
                inputs="gnet8r_accuracy",
                outputs="gnet8r_summary",
                name="summarise_gnet8r",
            ),
        ]
    )
