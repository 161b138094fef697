"""Fit and score the joint model, and draw how well it does."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.drawing import draw_accuracy
from gnet.pipelines.fit_and_score import joint_model


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One model of all areas."""
    figure = Node(
        draw_accuracy, inputs="gnet8j_accuracy", outputs="gnet8j_figure", name="draw_gnet8j_accuracy"
    )
    return joint_model(areas) + Pipeline([figure])
