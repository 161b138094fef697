"""GNet8j: one trunk for all areas and all subjects."""

from kedro.pipeline import Pipeline

from gnet.pipelines.fit_and_score.pipeline import accuracy_drawn, joint_model


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """Fit and score the joint model, and draw how well it does."""
    return joint_model(areas) + accuracy_drawn("gnet8j", areas)
