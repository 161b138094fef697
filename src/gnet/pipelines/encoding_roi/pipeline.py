"""Fit and score one model per area."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score import area_models


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """An instance of the template for each area, and what they come to together."""
    return area_models(areas)
