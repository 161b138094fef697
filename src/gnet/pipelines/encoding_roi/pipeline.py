"""Fit and score one model per area, and draw how well they do."""

from kedro.pipeline import Node, Pipeline

from gnet.figures.accuracy import accuracy_figure
from gnet.pipelines.fit_and_score import area_models
from gnet.pipelines.selecting import given


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """An instance of the template for each area, and what they come to together."""
    figure = Node(
        given(accuracy_figure, areas=areas),
        inputs="gnet8r_accuracy",
        outputs="gnet8r_figure",
        name="draw_gnet8r_accuracy",
    )
    return area_models(areas) + Pipeline([figure])
