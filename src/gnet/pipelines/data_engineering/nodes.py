"""Nodes of data_engineering. Torch is imported where it is used: listing pipelines must not cost seconds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from gnet.pipelines.parameters import Areas, Images, Prefilter, Release, Split
from gnet.readers.nsd.betas import prepare_betas
from gnet.readers.nsd.consistency import check_repetitions
from gnet.readers.nsd.design import image_table, planned_images, read_design, special_positions, trial_table
from gnet.readers.nsd.inventory import inventory, refuse_incomplete
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.rois import MASK_FAMILIES
from gnet.readers.nsd.stimuli import prepared_images, stimulus_count
from gnet.recording.split import split_trials
from gnet.recording.volumes import read_volume
from gnet.storage.blocks import Blocks


def take_inventory(nsd: Layout, release: Release, areas: Areas) -> pd.DataFrame:
    """Every file that a run will need, and what is wrong with it; headers only."""
    families = sorted({area.family for area in areas.root.values()} | set(MASK_FAMILIES))
    return inventory(nsd, release.used, families, release.betas_format)


def list_images(nsd: Layout, inventory: pd.DataFrame, release: Release) -> tuple[np.ndarray, pd.DataFrame]:
    """73k-IDs, ascending, of the images to prepare, and which of them are whose.

    They are all that the design plans for a subject, also those it never saw: models predict them.
    """
    refuse_incomplete(inventory)
    design = read_design(nsd, stimulus_count(nsd))
    subjects = tuple(release.used)
    return planned_images(design, subjects), image_table(design, subjects)


def tabulate_trials(nsd: Layout, inventory: pd.DataFrame, release: Release, split: Split) -> pd.DataFrame:
    """The trials of all subjects with their images, the rows of these among the prepared ones, and parts."""
    refuse_incomplete(inventory)
    design = read_design(nsd, stimulus_count(nsd))
    special = special_positions(design, release.sessions) if split.test == "special" else None
    tables = [
        split_trials(
            trial_table(design, subject, sessions), split.test, split.holdout_fraction, split.seed, special
        )
        for subject, sessions in release.used.items()
    ]
    trials = pd.concat(tables, ignore_index=True)
    image_ids = planned_images(design, tuple(release.used))
    trials.insert(4, "image_row", np.searchsorted(image_ids, trials["image_id"]))
    return trials


def prepare_images(nsd: Layout, image_ids: np.ndarray, images: Images) -> Blocks:
    """All images at the network's size, made while they are stored."""
    return prepared_images(nsd, np.asarray(image_ids) - 1, images.pixels, images.resampling)


def prepare_responses(
    nsd: Layout, inventory: pd.DataFrame, voxels: pd.DataFrame, release: Release
) -> dict[str, Callable[[], dict[str, Any]]]:
    """For each subject, made when its turn to be stored comes: betas, their validity, and whose they are."""
    refuse_incomplete(inventory)
    design = read_design(nsd)

    def one_subject(subject: str, sessions: int) -> dict[str, Any]:
        of_subject = voxels[voxels["subject"] == subject]
        voxel_index, ncsnr = (of_subject[name].to_numpy() for name in ("voxel_index", "ncsnr"))
        shape = read_volume(nsd.brainmask(subject)).data.shape
        betas, valid = prepare_betas(
            nsd, subject, sessions, design.trials_per_session, voxel_index, shape, release.betas_format
        )
        check_repetitions(nsd, subject, betas, design, ncsnr, release.betas_format)
        return {"betas": betas, "valid": valid, "voxel_index": voxel_index}

    return {subject: partial(one_subject, subject, sessions) for subject, sessions in release.used.items()}


def make_prefilter(inventory: pd.DataFrame, prefilter: Prefilter) -> dict[str, np.ndarray]:
    """Weights of the two layers in front of every trunk; nothing is downloaded for an incomplete release."""
    from gnet.models.prefilter import prefilter_weights

    refuse_incomplete(inventory)
    return prefilter_weights(**dict(prefilter))
