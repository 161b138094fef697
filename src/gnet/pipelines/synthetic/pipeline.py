"""Synthetic responses, then every model and the transfer analysis on them, in a namespace of their own."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score.pipeline import (
    area_models,
    joint_model,
    parameters,
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
    inputs = ["voxels", "subject_images", "params:synthetic", "params:split", *sources]
    outputs = [f"{name}.betas", f"{name}.voxels", f"{name}.trials"]
    responses = Node(function, inputs, outputs, name=f"make_{name}_responses", namespace=name)
    fits = joint_model(areas) + area_models(areas) + transfer_models(areas) + transfer_analysis(areas)
    shared = {"images", "prefilter"}
    return Pipeline([responses]) + Pipeline(fits, namespace=name, inputs=shared, parameters=parameters(fits))
