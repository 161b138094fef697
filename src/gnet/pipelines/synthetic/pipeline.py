"""Synthetic responses, then every model and the transfer analysis on them, in a namespace of their own."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score import (
    PARAMETERS,
    area_models,
    joint_model,
    transfer_analysis,
    transfer_models,
)

from .nodes import make_chosen_responses, make_responses


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines on responses of a model that was fitted here."""
    return responses("make_synthetic_responses", make_chosen_responses, "gnet8j", "gnet8r") + experiment(
        areas
    )


def create_imported_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The same on responses of an imported model: not part of the default, because it needs one."""
    return responses("make_responses_of_imported", make_responses, "imported") + experiment(areas)


def responses(name: str, function: Callable[..., Any], *models: str) -> Pipeline:
    """The node that makes synthetic responses of what models predict and of the noise that they leave."""
    sources = [f"{model}_{part}" for model in models for part in ("predictions", "noise_model")]
    return Pipeline(
        [
            Node(
                function,
                inputs=["voxels", "subject_images", "params:synthetic", "params:split", *sources],
                outputs=["synthetic.betas", "synthetic.voxels", "synthetic.trials"],
                name=name,
                namespace="synthetic",
            )
        ]
    )


def experiment(areas: tuple[str, ...]) -> Pipeline:
    """Every model and the transfer analysis, in the namespace `synthetic`."""
    return Pipeline(
        joint_model(areas) + area_models(areas) + transfer_models(areas) + transfer_analysis(areas),
        namespace="synthetic",
        inputs={"images", "prefilter"},
        parameters=PARAMETERS | {"transfer"},
    )
