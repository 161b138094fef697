"""The template that encoding_joint, encoding_roi, transfer and synthetic share: choose voxels, fit, score."""

from __future__ import annotations

from typing import Any

from kedro.pipeline import Node, Pipeline

from gnet.analysis.comparison import compare_accuracies
from gnet.analysis.seeds import index_over_seeds
from gnet.evaluation.accuracy import summary_table
from gnet.pipelines.selecting import given
from gnet.recording.measurements import choose_voxels

from .nodes import fit_gnet, fit_transfer, gather, gather_by_trunk, measure_transfer, score_gnet

FIT_PARAMETERS = ("params:model", "params:fitting", "params:protocols")
PARAMETERS = {"model", "fitting", "protocols", "images", "scoring"}
"""Top-level parameters of the template: shared by all its instances."""
INPUTS = {"images", "betas", "voxels", "trials", "prefilter"}
"""Datasets of the template that all its instances share."""


def fit_and_score(model: str, areas: tuple[str, ...], kind: str) -> Pipeline:
    """Nodes that fit one GNet to the voxels of some areas of all subjects and score it.

    Parameters
    ----------
    model : str
        Name of the model's dataset; its accuracy is stored as `<model>_accuracy`.
    areas : tuple of str
        The areas whose voxels it predicts.
    kind : str
        `joint` or `area-wise`, which decides the input mean that the protocol gives it.
    """
    inputs = ["images", f"{model}_measurements", "prefilter", *FIT_PARAMETERS, "params:images"]
    fit = fitting(given(fit_gnet, kind=kind), inputs=inputs, model=model)
    return Pipeline([choosing(model, areas), fit, scoring(model)])


def transfer_and_score(model: str, areas: tuple[str, ...], source: str) -> Pipeline:
    """Nodes that fit fresh readouts of all areas to the fixed trunk of another model, and score them."""
    inputs = ["images", f"{model}_measurements", source, *FIT_PARAMETERS]
    return Pipeline(
        [choosing(model, areas), fitting(fit_transfer, inputs=inputs, model=model), scoring(model)]
    )


def fitting(function: Any, *, inputs: list[str], model: str) -> Node:
    """The node that fits a model."""
    return Node(function, inputs=inputs, outputs=model, name=f"fit_{model}", tags="fit")


def choosing(model: str, areas: tuple[str, ...]) -> Node:
    """The node that says which voxels a model is fitted to."""
    return Node(
        given(choose_voxels, areas=areas),
        inputs=["voxels", "betas", "trials"],
        outputs=f"{model}_measurements",
        name=f"choose_voxels_{model}",
    )


def scoring(model: str) -> Node:
    """The node that scores a model."""
    return Node(
        score_gnet,
        inputs=["images", f"{model}_measurements", model, "params:scoring", "params:fitting"],
        outputs=f"{model}_accuracy",
        name=f"score_{model}",
    )


def joint_model(areas: tuple[str, ...]) -> Pipeline:
    """GNet8j: one model of all areas, its accuracy and its summary."""
    return fit_and_score("gnet8j", areas, "joint") + Pipeline([summarising("gnet8j")])


def area_models(areas: tuple[str, ...]) -> Pipeline:
    """GNet8r: a model per area, their accuracies as one table, its summary."""
    instances = [
        Pipeline(
            fit_and_score("gnet8r", (area,), "area-wise"),
            namespace=area,
            inputs=INPUTS,
            outputs={"gnet8r_accuracy": f"{area}_gnet8r_accuracy"},
            parameters=PARAMETERS,
        )
        for area in areas
    ]
    gathering = Node(
        gather,
        inputs={area: f"{area}_gnet8r_accuracy" for area in areas},
        outputs="gnet8r_accuracy",
        name="gather_gnet8r_accuracy",
    )
    return sum(instances, Pipeline([])) + Pipeline([gathering, summarising("gnet8r")])


def transfer_models(areas: tuple[str, ...]) -> Pipeline:
    """For each area's trunk, readouts of all areas, and their accuracies."""
    instances = [
        Pipeline(
            transfer_and_score("transfer", areas, "gnet8r"),
            namespace=area,
            inputs=INPUTS - {"prefilter"},
            outputs={"transfer_accuracy": f"{area}_transfer_accuracy"},
            parameters=PARAMETERS - {"images"},
        )
        for area in areas
    ]
    return sum(instances, Pipeline([]))


def summarising(model: str) -> Node:
    """The node that summarises a model's accuracy."""
    return Node(
        summary_table, inputs=f"{model}_accuracy", outputs=f"{model}_summary", name=f"summarise_{model}"
    )


def transfer_analysis(areas: tuple[str, ...]) -> Pipeline:
    """Transfer matrix and hierarchy index from the accuracies of the transfer and of the area-wise models.

    And the index over the seeds of all runs so far.
    """
    models = {f"{area}_{kind}": f"{area}.{kind}" for kind in ("gnet8r", "transfer") for area in areas}
    return Pipeline(
        [
            Node(
                gather_by_trunk,
                inputs={area: f"{area}_transfer_accuracy" for area in areas},
                outputs="transfer_accuracy",
                name="gather_transfer_accuracy",
            ),
            Node(
                measure_transfer,
                inputs={
                    "transfer": "params:transfer",
                    "own": "gnet8r_accuracy",
                    "transferred": "transfer_accuracy",
                    **models,
                },
                outputs=["transfer_matrix", "hierarchy_index"],
                name="measure_transfer",
            ),
            Node(
                index_over_seeds,
                inputs=["hierarchy_index", "hierarchy_index_versions"],
                outputs="hierarchy_index_seeds",
                name="compare_seeds",
            ),
            Node(
                compare_accuracies,
                inputs=["gnet8j_accuracy", "gnet8r_accuracy"],
                outputs="joint_versus_areas",
                name="compare_joint_with_areas",
            ),
        ]
    )
