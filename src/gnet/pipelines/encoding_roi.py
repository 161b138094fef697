"""GNet8r: one independent trunk per area, all subjects."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score.pipeline import accuracy_drawn, area_models


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Fit and score one model per area, and draw how well they do."""
    return area_models(areas) + accuracy_drawn("gnet8r", areas)
