"""Does a trunk trained on one area serve another? Transfer matrix and hierarchy index."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score.pipeline import transfer_analysis, transfer_models


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Readouts of all areas on each area's trunk, and what they come to together."""
    return transfer_models(areas) + transfer_analysis(areas)
