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
    return experiment("synthetic", areas, make_chosen_responses, "gnet8j", "gnet8r")


def create_imported_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The same on responses of an imported model: not part of the default, because it needs one."""
    return experiment("synthetic_imported", areas, make_responses, "imported")


def experiment(name: str, areas: tuple[str, ...], function: Callable[..., Any], *models: str) -> Pipeline:
    """In a namespace of its name: responses of what models predict, every model, the transfer analysis."""
    sources = [f"{model}_{part}" for model in models for part in ("predictions", "noise_model")]
    responses = Node(
        function,
        inputs=["voxels", "subject_images", "params:synthetic", "params:split", *sources],
        outputs=[f"{name}.betas", f"{name}.voxels", f"{name}.trials"],
        name=f"make_{name}_responses",
        namespace=name,
    )
    fits = Pipeline(
        joint_model(areas) + area_models(areas) + transfer_models(areas) + transfer_analysis(areas),
        namespace=name,
        inputs={"images", "prefilter"},
        parameters=PARAMETERS | {"transfer"},
    )
    return Pipeline([responses]) + fits
