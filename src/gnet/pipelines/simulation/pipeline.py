"""The simulated release."""

from kedro.pipeline import Node, Pipeline

from .nodes import simulate_release


def create_pipeline() -> Pipeline:
    """One node: images, brain, volumes."""
    return Pipeline(
        [
            Node(
                simulate_release,
                inputs=["params:simulation", "params:release.sessions"],
                outputs=["recording", "planted_brain"],
                name="simulate_release",
            )
        ]
    )
