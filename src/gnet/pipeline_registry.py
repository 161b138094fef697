"""The pipelines that `kedro run --pipelines NAME` knows."""

from __future__ import annotations

import warnings

from kedro.pipeline import Node, Pipeline

from gnet.pipelines import (
    controls,
    data_engineering,
    encoding_joint,
    encoding_roi,
    masks,
    prediction,
    reporting,
    simulation,
    sweep,
    synthetic,
    transfer,
    tuning,
)

BOXES = {"data_engineering": "data", "masks": "data"}
"""Namespace of the nodes of a pipeline if it is not the pipeline's name. These two need each other: masks
are drawn from the inventory, responses prepared for the voxels in masks."""
OWN_BOXES = {"prepare_responses": "responses"}
"""Namespace of single nodes. In the box of data, responses would make a circle of layers for Kedro-Viz where
masks are not shown: from voxels, an input of the box then, back to the inventory, an output."""
_areas: tuple[str, ...] = ("V1", "V2", "V3", "hV4")
"""The paper's areas, until a session's configuration names others (`gnet.hooks.configuration`)."""
_sweep: tuple[tuple[str, ...], tuple[str, ...]] = (("published_1",), ("measured",))
"""The cells of a sweep, and its brains, likewise."""


def use(areas: tuple[str, ...], cells: tuple[str, ...], brains: tuple[str, ...]) -> bool:
    """Build one model per named area, and a sweep of cells and brains, from now on; whether that is a change.

    Kedro builds pipelines before it reads parameters, so the lists are handed over here.
    """
    global _areas, _sweep
    changed = (areas, (cells, brains)) != (_areas, _sweep)
    _areas, _sweep = areas, (cells, brains)
    return changed


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines by name.

    Not part of the default: `simulation`, which runs when there is no release, `pictures`, which needs a
    folder of them, `imported` and `synthetic_imported`, which need a model from elsewhere, and `sweep`, which
    fits everything several times.
    """
    with warnings.catch_warnings():
        # dots in names outside of their namespace are meant: a prediction reads models that areas made
        warnings.filterwarnings("ignore", "One or more dataset names contain", UserWarning)
        of_areas = (
            encoding_joint,
            encoding_roi,
            controls,
            prediction,
            transfer,
            tuning,
            synthetic,
            reporting,
        )
        imported = prediction.create_imported_pipeline()
        default = {
            "data_engineering": data_engineering.create_pipeline(),
            "masks": masks.create_pipeline(),
            **{module.__name__.rpartition(".")[2]: module.create_pipeline(_areas) for module in of_areas},
        }
        others = {
            "simulation": simulation.create_pipeline(),
            "pictures": prediction.create_pictures_pipeline(_areas),
            "imported": imported,
            # predictions are made anew each time: another model may have been imported meanwhile
            "synthetic_imported": imported + synthetic.create_imported_pipeline(_areas),
            "sweep": sweep.create_pipeline(_areas, *_sweep),
        }
        named = {name: boxed(nodes, BOXES.get(name, name)) for name, nodes in (default | others).items()}
        return {**named, "__default__": sum(named[name] for name in default)}


def boxed(pipeline: Pipeline, box: str) -> Pipeline:
    """The pipeline with every node in a namespace: its own, or `box` if it has none.

    Kedro-Viz draws a namespace as a box that opens. Names of datasets stay as they are.
    """
    boxes: dict[str | None, list[Node]] = {}
    for node in pipeline.nodes:
        boxes.setdefault(None if node.namespace else OWN_BOXES.get(node.name, box), []).append(node)
    parts = (
        Pipeline(nodes, namespace=name, prefix_datasets_with_namespace=False) for name, nodes in boxes.items()
    )
    return sum(parts, Pipeline([]))
