"""The template that encoding_joint, encoding_roi, transfer and synthetic share: choose voxels, fit, score."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.analysis.comparison import compare_accuracies
from gnet.analysis.seeds import index_over_seeds
from gnet.evaluation.accuracy import summary_table
from gnet.figures.accuracy import accuracy_figure
from gnet.pipelines.selecting import by_keyword, given, named_node
from gnet.recording.measurements import Measurements, choose_voxels

from .nodes import fit_gnet, fit_transfer, gather, gather_by_trunk, measure_transfer, score_gnet

FIT_PARAMETERS = ("params:model", "params:fitting", "params:protocols")
SHARED = {"images", "betas", "voxels", "trials", "prefilter"}
"""Datasets that all instances of the template share."""


def fit_and_score(model: str, areas: tuple[str, ...], function: Callable[..., Any], *inputs: str) -> Pipeline:
    """Nodes that choose the voxels of some areas of all subjects, fit a model to them and score it.

    The function that fits takes the images, the measurements and `inputs`. `model` is the name of the
    model's dataset; its voxels are stored as `<model>_voxels`, its accuracy as `<model>_accuracy`.
    """
    chosen = f"{model}_voxels"
    measured = ["images", chosen, "trials", "betas"]
    scoring = [*measured, model, "params:scoring", "params:fitting"]
    choose = given(choose_voxels, areas=areas)
    fit, score = measuring(function, areas), measuring(score_gnet, areas)
    return Pipeline(
        [
            Node(choose, ["voxels", "betas", "trials"], chosen, name=f"choose_voxels_{model}"),
            Node(fit, [*measured, *inputs], model, name=f"fit_{model}", tags=["fit", "device"]),
            Node(score, scoring, f"{model}_accuracy", name=f"score_{model}", tags="device"),
        ]
    )


def measuring(function: Callable[..., Any], areas: tuple[str, ...]) -> Callable[..., Any]:
    """A function of images, measurements and more, as one of images, the parts of measurements, and more."""
    node_function = update_wrapper(partial(of_parts, function=function, areas=areas), function)
    # Kedro finds the classes of parameters by the signature
    signature, given_already = inspect.signature(function), getattr(function, "keywords", {})
    images, _, *others = (part for name, part in signature.parameters.items() if name not in given_already)
    measured = (images.replace(name=name) for name in ("voxels", "trials", "betas"))
    node_function.__signature__ = signature.replace(parameters=[images, *measured, *others])
    return node_function


def of_parts(
    images: Any,
    voxels: Any,
    trials: Any,
    betas: Any,
    *others: Any,
    function: Callable[..., Any],
    areas: tuple[str, ...],
) -> Any:
    """Call a function of images, measurements and more."""
    return function(images, Measurements(voxels, trials, betas, areas), *others)


def fit_of_kind(kind: str, model: str, areas: tuple[str, ...]) -> Pipeline:
    """The template for a GNet of this kind: see `fit_gnet`."""
    function = given(fit_gnet, kind=kind)
    recorded = ("params:images", "params:prefilter.source")
    return fit_and_score(model, areas, function, "prefilter", *FIT_PARAMETERS, *recorded)


def in_namespace(area: str, instance: Pipeline, model: str) -> Pipeline:
    """An instance of the template in the namespace of an area, its accuracy outside of it."""
    return Pipeline(
        instance,
        namespace=area,
        inputs=SHARED & instance.inputs(),
        outputs={f"{model}_accuracy": f"{area}_{model}_accuracy"},
        parameters=parameters_of(instance),
    )


def parameters_of(pipeline: Pipeline) -> set[str]:
    """The parameters of a pipeline."""
    return {name for name in pipeline.inputs() if name.startswith("params:")}


def joint_model(areas: tuple[str, ...]) -> Pipeline:
    """GNet8j: one model of all areas, its accuracy and its summary."""
    return fit_of_kind("joint", "gnet8j", areas) + Pipeline([summarising("gnet8j")])


def area_models(areas: tuple[str, ...]) -> Pipeline:
    """GNet8r: a model per area, their accuracies as one table, its summary."""
    models = [in_namespace(area, fit_of_kind("area-wise", "gnet8r", (area,)), "gnet8r") for area in areas]
    accuracies = {area: f"{area}_gnet8r_accuracy" for area in areas}
    gathering = Node(gather, accuracies, "gnet8r_accuracy", name="gather_gnet8r_accuracy")
    return sum(models, Pipeline([gathering, summarising("gnet8r")]))


def transfer_models(areas: tuple[str, ...]) -> Pipeline:
    """For each area's trunk, readouts of all areas, and their accuracies."""
    instance = fit_and_score("transfer", areas, fit_transfer, "gnet8r", *FIT_PARAMETERS)
    return sum((in_namespace(area, instance, "transfer") for area in areas), Pipeline([]))


def summarising(model: str) -> Node:
    """The node that summarises a model's accuracy."""
    return Node(summary_table, f"{model}_accuracy", f"{model}_summary", name=f"summarise_{model}")


def accuracy_drawn(model: str, areas: tuple[str, ...]) -> Pipeline:
    """The node that draws a model's accuracy, as a pipeline."""
    figure = given(accuracy_figure, areas=areas)
    return Pipeline([Node(figure, f"{model}_accuracy", f"{model}_figure", name=f"draw_{model}_accuracy")])


def transfer_analysis(areas: tuple[str, ...]) -> Pipeline:
    """Transfer matrix, hierarchy index (also over the seeds of all runs so far), joint against area-wise."""
    by_trunk = {area: f"{area}_transfer_accuracy" for area in areas}
    fits = by_keyword(*(f"{area}.{kind}" for kind in ("gnet8r", "transfer") for area in areas))
    accuracies = {"own": "gnet8r_accuracy", "transferred": "transfer_accuracy"}
    measured = {"transfer": "params:transfer", **accuracies, **fits}
    seeds = ["hierarchy_index", "hierarchy_index_versions"]
    both = ["gnet8j_accuracy", "gnet8r_accuracy"]
    return Pipeline(
        [
            Node(gather_by_trunk, by_trunk, "transfer_accuracy", name="gather_transfer_accuracy"),
            named_node(measure_transfer, measured, ["transfer_matrix", "hierarchy_index"]),
            Node(index_over_seeds, seeds, "hierarchy_index_seeds", name="compare_seeds"),
            Node(compare_accuracies, both, "joint_versus_areas", name="compare_joint_with_areas"),
        ]
    )
