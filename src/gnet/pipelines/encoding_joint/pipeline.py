"""Fit and score the joint model."""

from kedro.pipeline import Node, Pipeline

from gnet.evaluation.accuracy import summary_table
from gnet.pipelines.fit_and_score import fit_and_score


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One model of all areas."""
    return fit_and_score("gnet8j", areas, "input_mean_joint") + Pipeline(
        [
            Node(
                summary_table,
                inputs="gnet8j_accuracy",
                outputs="gnet8j_summary",
                name="summarise_gnet8j",
            )
        ]
    )
