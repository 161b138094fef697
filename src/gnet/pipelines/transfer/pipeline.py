"""Readouts of all areas on each area's trunk, the transfer matrix and the hierarchy index."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score import transfer_analysis, transfer_models


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """A transfer model per area, and what they come to together."""
    return transfer_models(areas) + transfer_analysis(areas)
