"""From the release's files to images, responses and trials that a model can be fitted to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from kedro.pipeline import Pipeline

from gnet.models.prefilter import prefilter_weights
from gnet.pipelines.parameters import Areas, Images, Prefilter, Release, Split
from gnet.pipelines.selecting import named_node
from gnet.recording.reader import Blocks, Reader
from gnet.recording.responses import Responses


def create_pipeline() -> Pipeline:
    """Nothing expensive before the inventory has been found complete."""
    release, checked = "params:release", ["recording", "inventory"]
    return Pipeline(
        [
            named_node(take_inventory, ["recording", release, "params:areas"], "inventory"),
            named_node(list_images, [*checked, release], ["image_ids", "subject_images"]),
            named_node(tabulate_trials, [*checked, release, "params:split"], "trials"),
            named_node(prepare_images, ["recording", "image_ids", "params:images"], "images"),
            named_node(prepare_responses, [*checked, "voxels", release], "betas"),
            named_node(make_prefilter, [*checked, "params:prefilter"], "prefilter"),
        ]
    )


def take_inventory(recording: Reader, release: Release, areas: Areas) -> pd.DataFrame:
    """Every file that a run will need, and what is wrong with it; only headers are read."""
    return recording.in_format(release.betas_format).inventory(release.used, areas.labels)


def list_images(
    recording: Reader, inventory: pd.DataFrame, release: Release
) -> tuple[np.ndarray, pd.DataFrame]:
    """Identities, ascending, of the images to prepare, and which of them belong to which subject."""
    recording.check_inventory(inventory)
    return recording.images(tuple(release.used))


def tabulate_trials(
    recording: Reader, inventory: pd.DataFrame, release: Release, split: Split
) -> pd.DataFrame:
    """The trials of all subjects: the images they showed, and their part in fitting and testing."""
    recording.check_inventory(inventory)
    return recording.trials(release.used, release.sessions, **dict(split))


def prepare_images(recording: Reader, image_ids: np.ndarray, images: Images) -> Blocks:
    """All images at the network's size, made while they are stored."""
    return recording.pictures(np.asarray(image_ids), images.pixels, images.resampling)


def prepare_responses(
    recording: Reader, inventory: pd.DataFrame, voxels: pd.DataFrame, release: Release
) -> dict[str, Callable[[], Responses]]:
    """The z-scored responses of each subject, made when their turn to be stored comes."""
    recording.check_inventory(inventory)
    read = recording.in_format(release.betas_format).responses
    return {subject: partial(read, subject, count, voxels) for subject, count in release.used.items()}


def make_prefilter(recording: Reader, inventory: pd.DataFrame, prefilter: Prefilter) -> dict[str, np.ndarray]:
    """Weights of the two layers in front of every trunk; no download for an incomplete recording."""
    recording.check_inventory(inventory)
    return prefilter_weights(**dict(prefilter))
