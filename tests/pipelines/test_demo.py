"""The demo as a newcomer runs it, at its own size, recovers the planted brain."""

import numpy as np
import pandas as pd
import pytest

GOALS = {"V1": 0.75, "V2": 0.6, "V3": 0.6, "hV4": 0.6}
"""Least median over voxels of test r / sqrt(noise ceiling)."""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gnet8j", "gnet8r"])
def test_accuracy_reaches_most_of_the_ceiling(demo, model):
    accuracy = demo.load(f"{model}_accuracy")
    assert set(accuracy["area"]) == set(GOALS)
    assert accuracy["subject"].nunique() == 2
    relative = accuracy["r"] / np.sqrt(accuracy["ceiling"] / 100)
    median = relative.groupby([accuracy["area"], accuracy["subject"]]).median()
    assert len(median) == 8
    for (area, subject), value in median.items():
        assert value >= GOALS[area], f"{model}, {area} of {subject}: {value:.3f}"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gnet8j", "gnet8r"])
def test_receptive_fields_are_where_they_were_planted(demo, model):
    """Of voxels predicted to 80 % of what their noise allows; the fine grid has 6 x 6 pixels at this size."""
    demo.run("tuning", only=[f"{model}_receptive_fields"])
    found = demo.load(f"{model}_receptive_fields").merge(
        demo.load(f"{model}_accuracy")[["subject", "voxel_index", "r", "ceiling"]]
    )
    brain = demo.load("planted_brain").read()
    planted = pd.concat(
        pd.DataFrame({name: brain[subject][name] for name in ("voxel_index", "x", "y", "sigma")}).assign(
            subject=subject
        )
        for subject in found["subject"].unique()
    )
    both = found.merge(planted, on=["subject", "voxel_index"], suffixes=("", "_planted"))
    well = both[both["determined"] & (both["r"] > 0.8 * np.sqrt(both["ceiling"] / 100))]
    sizes = {}
    for area in ("V1", "V2", "V3"):
        voxels = well[well["area"] == area]
        assert len(voxels) > 30
        assert np.corrcoef(voxels["x"], voxels["x_planted"])[0, 1] > 0.85
        assert np.corrcoef(voxels["y"], voxels["y_planted"])[0, 1] > 0.85
        distance = np.hypot(voxels["x"] - voxels["x_planted"], voxels["y"] - voxels["y_planted"])
        assert distance.median() < 0.6  # degrees, of 8.4; a pixel of the grid is 0.9
        sizes[area] = voxels["size"].median()
        expected = (np.sqrt(np.pi) * voxels["sigma"]).median()
        assert 0.8 < sizes[area] / expected < 1.2
    assert sizes["V1"] < sizes["V2"] < sizes["V3"]
