"""Nodes of data_engineering. Torch is imported where it is used: listing pipelines must not cost seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from gnet.pipelines.parameters import Areas, Images, Prefilter, Release, Split
from gnet.readers.nsd.inventory import refuse_incomplete
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.reader import NSDReader
from gnet.recording.responses import Responses
from gnet.storage.blocks import Blocks


def take_inventory(nsd: Layout, release: Release, areas: Areas) -> pd.DataFrame:
    """Every file that a run will need, and what is wrong with it; headers only."""
    labels = {name: (area.family, area.labels) for name, area in areas.root.items()}
    return NSDReader(nsd, release.betas_format).inventory(release.used, labels)


def list_images(nsd: Layout, inventory: pd.DataFrame, release: Release) -> tuple[np.ndarray, pd.DataFrame]:
    """Identities, ascending, of the images to prepare, and which of them belong to whom."""
    reader = NSDReader(nsd)
    reader.check_inventory(inventory)
    return reader.images(tuple(release.used))


def tabulate_trials(nsd: Layout, inventory: pd.DataFrame, release: Release, split: Split) -> pd.DataFrame:
    """The trials of all subjects with their images, the rows of these among the prepared ones, and parts."""
    reader = NSDReader(nsd)
    reader.check_inventory(inventory)
    return reader.trials(release.used, release.sessions, **dict(split))


def prepare_images(nsd: Layout, image_ids: np.ndarray, images: Images) -> Blocks:
    """All images at the network's size, made while they are stored."""
    return NSDReader(nsd).pictures(np.asarray(image_ids), images.pixels, images.resampling)


def prepare_responses(
    nsd: Layout, inventory: pd.DataFrame, voxels: pd.DataFrame, release: Release
) -> dict[str, Callable[[], Responses]]:
    """For each subject, made when its turn to be stored comes: betas, their validity, and whose they are."""
    reader = NSDReader(nsd, release.betas_format)
    reader.check_inventory(inventory)

    return {
        subject: partial(reader.responses, subject, sessions, voxels)
        for subject, sessions in release.used.items()
    }


def make_prefilter(inventory: pd.DataFrame, prefilter: Prefilter) -> dict[str, np.ndarray]:
    """Weights of the two layers in front of every trunk; nothing is downloaded for an incomplete release."""
    from gnet.models.prefilter import prefilter_weights

    refuse_incomplete(inventory)
    return prefilter_weights(**dict(prefilter))
