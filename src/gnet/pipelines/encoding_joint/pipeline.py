"""Fit and score the joint model."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score import joint_model


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """One model of all areas."""
    return joint_model(areas)
