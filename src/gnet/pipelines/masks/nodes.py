"""Nodes of masks."""

from __future__ import annotations

import pandas as pd

from gnet.pipelines.parameters import Areas, Masks, Release
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.reader import NSDReader
from gnet.recording.volumes import Volume


def draw_masks(
    nsd: Layout, inventory: pd.DataFrame, release: Release, areas: Areas, masks: Masks
) -> tuple[dict[str, Volume], pd.DataFrame]:
    """Every mask and area of every subject as a volume with the release's affine, and the voxel table."""
    reader = NSDReader(nsd)
    reader.check_inventory(inventory)
    labels = {name: (area.family, area.labels) for name, area in areas.root.items()}
    volumes, tables = {}, []
    for subject in release.used:
        of_subject, table = reader.units(subject, labels, masks.tabulated)
        volumes |= {f"{subject}/{name}": volume for name, volume in of_subject.items()}
        tables.append(table)
    return volumes, pd.concat(tables, ignore_index=True)
