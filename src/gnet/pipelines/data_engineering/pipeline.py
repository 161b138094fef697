"""Inventory, trials, images, responses, prefilter."""

from kedro.pipeline import Pipeline

from gnet.pipelines.selecting import named_node

from . import nodes


def create_pipeline() -> Pipeline:
    """Nothing expensive before the inventory has been found complete."""
    release, checked = "params:release", ["recording", "inventory"]
    return Pipeline(
        [
            named_node(nodes.take_inventory, ["recording", release, "params:areas"], "inventory"),
            named_node(nodes.list_images, [*checked, release], ["image_ids", "subject_images"]),
            named_node(nodes.tabulate_trials, [*checked, release, "params:split"], "trials"),
            named_node(nodes.prepare_images, ["recording", "image_ids", "params:images"], "images"),
            named_node(nodes.prepare_responses, [*checked, "voxels", release], "betas"),
            named_node(nodes.make_prefilter, [*checked, "params:prefilter"], "prefilter"),
        ]
    )
