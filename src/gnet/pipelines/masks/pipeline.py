"""Masks and the voxel table."""

from kedro.pipeline import Node, Pipeline

from .nodes import draw_masks


def create_pipeline() -> Pipeline:
    """One node: every mask of every subject."""
    return Pipeline(
        [
            Node(
                draw_masks,
                inputs=["recording", "inventory", "params:release", "params:areas", "params:masks"],
                outputs=["masks", "voxels"],
                name="draw_masks",
            )
        ]
    )
