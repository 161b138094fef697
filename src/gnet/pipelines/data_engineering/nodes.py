"""Nodes of data_engineering."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from gnet.models.prefilter import prefilter_weights
from gnet.pipelines.parameters import Areas, Images, Prefilter, Release, Split
from gnet.recording.reader import Blocks, Reader
from gnet.recording.responses import Responses


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
