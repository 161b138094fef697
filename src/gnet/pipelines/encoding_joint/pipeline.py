"""Fit and score the joint model, and draw how well it does."""

from kedro.pipeline import Node, Pipeline

from gnet.figures.accuracy import accuracy_figure
from gnet.pipelines.fit_and_score import joint_model
from gnet.pipelines.selecting import given


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One model of all areas."""
    figure = Node(
        given(accuracy_figure, areas=areas),
        inputs="gnet8j_accuracy",
        outputs="gnet8j_figure",
        name="draw_gnet8j_accuracy",
    )
    return joint_model(areas) + Pipeline([figure])
