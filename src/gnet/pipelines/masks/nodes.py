"""Nodes of masks."""

from __future__ import annotations

import pandas as pd

from gnet.pipelines.parameters import Areas, Masks, Release
from gnet.readers.nsd.inventory import refuse_incomplete
from gnet.readers.nsd.layout import Layout
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
    voxel_table,
)
from gnet.recording.volumes import Volume, read_volume


def draw_masks(
    nsd: Layout, inventory: pd.DataFrame, release: Release, areas: Areas, masks: Masks
) -> tuple[dict[str, Volume], pd.DataFrame]:
    """Every mask and area of every subject as a volume with the release's affine, and the voxel table."""
    refuse_incomplete(inventory)
    volumes, tables = {}, []
    for subject in release.used:
        brain = read_volume(nsd.brainmask(subject))
        shape = brain.data.shape
        families = {area.family for area in areas.root.values()} | set(MASK_FAMILIES)
        atlases = {family: read_atlas(nsd, subject, family, shape) for family in sorted(families)}
        prf, kastner, general = (atlases[family].labels for family in MASK_FAMILIES)
        aseg = read_segmentation(nsd, subject, shape)
        drawn = {
            "early_visual": early_visual(prf),
            "visual": visual(kastner, prf),
            "nsdgeneral": nsdgeneral(general),
            "whole_brain": inflate(tight_whole_brain(aseg, general, kastner)),
        }
        members = {name: area_mask(atlases[area.family], area.labels) for name, area in areas.root.items()}
        volumes |= {
            f"{subject}/{name}": Volume(mask, brain.affine) for name, mask in (drawn | members).items()
        }
        tables.append(
            voxel_table(
                subject,
                {name: drawn[name] for name in masks.tabulated},
                members,
                {name: atlases[area.family] for name, area in areas.root.items()},
                read_ncsnr(nsd, subject, shape),
            )
        )
    return volumes, pd.concat(tables, ignore_index=True)
