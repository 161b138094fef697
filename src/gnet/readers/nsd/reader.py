"""The Natural Scenes Dataset as a recording: the release's files behind the interface of all readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int

from gnet.readers.nsd.betas import prepare_betas
from gnet.readers.nsd.consistency import check_repetitions
from gnet.readers.nsd.design import image_table, planned_images, read_design, special_positions, trial_table
from gnet.readers.nsd.inventory import inventory, refuse_incomplete
from gnet.readers.nsd.layout import Layout, check_file_format, open_release
from gnet.readers.nsd.rois import (
    MASK_FAMILIES,
    area_mask,
    early_visual,
    inflate,
    nsdgeneral,
    read_atlas,
    read_ncsnr,
    read_segmentation,
    tight_whole_brain,
    visual,
)
from gnet.readers.nsd.stimuli import prepared_images, stimulus_shape
from gnet.recording.reader import Areas
from gnet.recording.responses import Responses
from gnet.recording.split import split_trials
from gnet.recording.units import unit_table
from gnet.recording.volumes import Volume, read_volume
from gnet.storage.blocks import Blocks


@dataclass(frozen=True)
class NSDReader:
    """A release in NSD's layout, measured or simulated; implements `gnet.recording.reader.Reader`.

    Images are identified by NSD's 1-based 73k-IDs, areas are defined in NSD's families of regions.
    """

    layout: Layout
    betas_format: str = "hdf5"
    """Which of the two published formats of the betas to read, "hdf5" or "nifti"."""

    @property
    def name(self) -> str:
        return "a simulated release" if self.simulated else "Natural Scenes Dataset"

    @property
    def simulated(self) -> bool:
        return self.layout.simulated

    def in_format(self, file_format: str) -> NSDReader:
        check_file_format(file_format)
        return replace(self, betas_format=file_format)

    def inventory(self, sessions: Mapping[str, int], areas: Areas) -> pd.DataFrame:
        return inventory(self.layout, sessions, self._families(areas), self.betas_format)

    def check_inventory(self, inventory: pd.DataFrame) -> None:
        refuse_incomplete(inventory)

    def images(self, subjects: Sequence[str]) -> tuple[Int[np.ndarray, " image"], pd.DataFrame]:
        """73k-IDs, ascending, of all images planned for these subjects, and which of them belong to whom.

        They include images that a subject never saw because it stopped early: models predict them.
        """
        design = read_design(self.layout, stimulus_shape(self.layout)[0])
        return planned_images(design, subjects), image_table(design, subjects)

    def trials(
        self,
        sessions: Mapping[str, int],
        completed: Mapping[str, int],
        *,
        test: str,
        holdout_fraction: float,
        seed: int,
    ) -> pd.DataFrame:
        """As of `Reader`; "special" images are those that all subjects in `completed` saw three times."""
        design = read_design(self.layout, stimulus_shape(self.layout)[0])
        special = special_positions(design, completed) if test == "special" else None
        tables = [
            split_trials(trial_table(design, subject, count), test, holdout_fraction, seed, special)
            for subject, count in sessions.items()
        ]
        trials = pd.concat(tables, ignore_index=True)
        image_ids = planned_images(design, tuple(sessions))
        trials.insert(4, "image_row", np.searchsorted(image_ids, trials["image_id"]))
        return trials

    def pictures(self, image_ids: Int[np.ndarray, " image"], pixels: int, resampling: str) -> Blocks:
        return prepared_images(self.layout, image_ids - 1, pixels, resampling)

    def units(
        self, subject: str, areas: Areas, masks: Sequence[str]
    ) -> tuple[dict[str, Volume], pd.DataFrame]:
        """As of `Reader`; the masks are early_visual, visual, nsdgeneral and whole_brain."""
        brain = read_volume(self.layout.brainmask(subject))
        shape = brain.data.shape
        atlases = {name: read_atlas(self.layout, subject, name, shape) for name in self._families(areas)}
        prf, kastner, general = (atlases[family].labels for family in MASK_FAMILIES)
        aseg = read_segmentation(self.layout, subject, shape)
        drawn = {
            "early_visual": early_visual(prf),
            "visual": visual(kastner, prf),
            "nsdgeneral": nsdgeneral(general),
            "whole_brain": inflate(tight_whole_brain(aseg, general, kastner)),
        }
        members = {name: area_mask(atlases[family], labels) for name, (family, labels) in areas.items()}
        table = unit_table(
            subject,
            {name: drawn[name] for name in masks},
            members,
            {name: atlases[family] for name, (family, _) in areas.items()},
            read_ncsnr(self.layout, subject, shape),
            self.layout.ncsnr(subject).name,
        )
        volumes = {name: Volume(mask, brain.affine) for name, mask in (drawn | members).items()}
        return volumes, table

    def responses(self, subject: str, sessions: int, units: pd.DataFrame) -> Responses:
        design = read_design(self.layout)
        of_subject = units[units["subject"] == subject]
        voxel_index, ncsnr = (of_subject[name].to_numpy() for name in ("voxel_index", "ncsnr"))
        brain = read_volume(self.layout.brainmask(subject))
        shape = brain.data.shape
        betas, valid = prepare_betas(
            self.layout, subject, sessions, design.trials_per_session, voxel_index, shape, self.betas_format
        )
        check_repetitions(self.layout, subject, betas, design, ncsnr, self.betas_format)
        return Responses(betas, valid, voxel_index, np.array(shape), brain.affine)

    def anatomy(self, subject: str) -> Volume | None:
        """As of `Reader`: the T1-weighted volume in the functional space."""
        path = self.layout.anatomy(subject)
        return read_volume(path) if path.is_file() else None

    def _families(self, areas: Areas) -> list[str]:
        return sorted({family for family, _ in areas.values()} | set(MASK_FAMILIES))


def open_reader(root: Path | str | None) -> NSDReader:
    """The reader of a release; ReleaseError as of `gnet.readers.nsd.layout.open_release`."""
    return NSDReader(open_release(root))
