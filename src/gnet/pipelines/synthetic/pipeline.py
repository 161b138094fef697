"""Synthetic responses, then every model and the transfer analysis on them, in a namespace of their own."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.pipelines.fit_and_score import pipeline as template
from gnet.pipelines.selecting import by_keyword

from .nodes import make_chosen_responses, make_responses


def create_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines on responses of a model that was fitted here."""
    parts = [f"{model}_{part}" for model in ("gnet8j", "gnet8r") for part in ("predictions", "noise_model")]
    return experiment("synthetic", areas, make_chosen_responses, by_keyword(*parts))


def create_imported_pipeline(areas: tuple[str, ...]) -> Pipeline:
    """The same on responses of an imported model: not part of the default, because it needs one."""
    parts = {"predictions": "imported_predictions", "noise_models": "imported_noise_model"}
    return experiment("synthetic_imported", areas, make_responses, parts)


def experiment(
    name: str, areas: tuple[str, ...], function: Callable[..., Any], parts: dict[str, str]
) -> Pipeline:
    """In a namespace of its name: responses of what models predict, every model, the transfer analysis."""
    inputs = by_keyword("voxels", "subject_images", "params:synthetic", "params:split") | parts
    outputs = [f"{name}.betas", f"{name}.voxels", f"{name}.trials"]
    responses = Node(function, inputs, outputs, name=f"make_{name}_responses", namespace=name)
    models = (template.joint_model, template.area_models, template.transfer_models)
    fits = sum((fit(areas) for fit in models), template.transfer_analysis(areas))
    shared, parameters = {"images", "prefilter"}, template.parameters_of(fits)
    return Pipeline([responses]) + Pipeline(fits, namespace=name, inputs=shared, parameters=parameters)
