"""Inventory, trials, images, responses, prefilter."""

from kedro.pipeline import Node, Pipeline

from .nodes import (
    list_images,
    make_prefilter,
    prepare_images,
    prepare_responses,
    tabulate_trials,
    take_inventory,
)


def create_pipeline() -> Pipeline:
    """Nothing expensive before the inventory has been found complete."""
    return Pipeline(
        [
            Node(
                take_inventory,
                inputs=["recording", "params:release", "params:areas"],
                outputs="inventory",
                name="take_inventory",
            ),
            Node(
                list_images,
                inputs=["recording", "inventory", "params:release"],
                outputs=["image_ids", "subject_images"],
                name="list_images",
            ),
            Node(
                tabulate_trials,
                inputs=["recording", "inventory", "params:release", "params:split"],
                outputs="trials",
                name="tabulate_trials",
            ),
            Node(
                prepare_images,
                inputs=["recording", "image_ids", "params:images"],
                outputs="images",
                name="prepare_images",
            ),
            Node(
                prepare_responses,
                inputs=["recording", "inventory", "voxels", "params:release"],
                outputs="betas",
                name="prepare_responses",
            ),
            Node(
                make_prefilter,
                inputs=["recording", "inventory", "params:prefilter"],
                outputs="prefilter",
                name="make_prefilter",
            ),
        ]
    )
