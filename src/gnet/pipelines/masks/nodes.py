"""Nodes of masks."""

from __future__ import annotations

import pandas as pd

from gnet.pipelines.parameters import Areas, Masks, Release
from gnet.recording.reader import Reader
from gnet.recording.volumes import Volume


def draw_masks(
    recording: Reader, inventory: pd.DataFrame, release: Release, areas: Areas, masks: Masks
) -> tuple[dict[str, Volume], pd.DataFrame]:
    """Every mask and area of every subject as a volume, and the table of all voxels."""
    recording.check_inventory(inventory)
    volumes, tables = {}, []
    for subject in release.used:
        of_subject, table = recording.units(subject, areas.labels, masks.tabulated)
        volumes |= {f"{subject}/{name}": volume for name, volume in of_subject.items()}
        tables.append(table)
    return volumes, pd.concat(tables, ignore_index=True)
