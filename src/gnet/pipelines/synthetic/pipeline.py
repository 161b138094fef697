"""Synthetic responses, then every model and the transfer analysis on them, in a namespace of their own."""

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score import (
    PARAMETERS,
    area_models,
    joint_model,
    transfer_analysis,
    transfer_models,
)

from .nodes import make_responses


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines on other responses."""
    responses = Pipeline(
        [
            Node(
                make_responses,
                inputs=[
                    "voxels",
                    "subject_images",
                    "params:synthetic",
                    "params:split",
                    "gnet8j_predictions",
                    "gnet8j_noise_model",
                    "gnet8r_predictions",
                    "gnet8r_noise_model",
                ],
                outputs=["synthetic.betas", "synthetic.voxels", "synthetic.trials"],
                name="make_synthetic_responses",
                namespace="synthetic",
            )
        ]
    )
    experiment = Pipeline(
        joint_model(areas) + area_models(areas) + transfer_models(areas) + transfer_analysis(areas),
        namespace="synthetic",
        inputs={"images", "prefilter"},
        parameters=PARAMETERS | {"transfer"},
    )
    return responses + experiment
