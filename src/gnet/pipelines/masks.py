"""Masks as volumes, and one table of all voxels that are modelled."""

from __future__ import annotations

import pandas as pd
from kedro.pipeline import Pipeline

from gnet.pipelines.parameters import Areas, Masks, Release
from gnet.pipelines.selecting import named_node
from gnet.recording.reader import Reader
from gnet.recording.volumes import Volume


def create_pipeline() -> Pipeline:
    """One node: every mask of every subject."""
    inputs = ["recording", "inventory", "params:release", "params:areas", "params:masks"]
    return Pipeline([named_node(draw_masks, inputs, ["masks", "voxels"])])


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
