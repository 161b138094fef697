"""The demo as a newcomer runs it, at its own size, recovers the planted brain."""

import numpy as np
import pandas as pd
import pytest

GOALS = {"V1": 0.75, "V2": 0.6, "V3": 0.6, "hV4": 0.6}
"""Least median over voxels of test r / sqrt(noise ceiling)."""
GAINS = {
    "gnet8j": {"V1": 0.05, "V2": 0.06, "V3": 0.06, "hV4": 0.06},
    "gnet8r": {"V1": 0.07, "V2": 0.07, "V3": 0.06, "hV4": 0.03},
}
"""Least mean gain in r over the same readouts on an untrained trunk; 0.005 to 0.03 below what was seen."""


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
def test_trunks_have_learned_something(demo):
    """A network that does not learn has the accuracy of the untrained one, and no gain."""
    demo.run("controls")
    table = demo.load("controls")
    for area, rows in table.groupby("area"):
        for model in ("gnet8j", "gnet8r"):
            weight = rows["voxels"] / rows["voxels"].sum()
            gain = (weight * rows[f"{model}_gain"]).sum()
            error = np.sqrt(((weight * rows[f"{model}_gain_error"]) ** 2).sum())
            assert gain >= GAINS[model][area], f"{model}, {area}: {gain:.3f}"
            assert gain > 3 * error, f"{model}, {area}: {gain:.3f} ± {error:.3f}"
    # and there is more to learn, which a trunk is needed for
    assert (table["planted"] > 0.9).all()
    assert (table["prefilter"] < table["untrained_gnet8j"] + 0.03).all()


@pytest.mark.slow
def test_the_joint_trunk_uses_the_planted_depth(demo):
    demo.run("tuning", only=["tuning_average"])
    table = demo.load("tuning_average")
    halves = table.query("model == 'gnet8j' and partition == 'bipartite' and subject == 'group'")
    unique = halves.pivot_table(index="area", columns="part", values="unique")
    lower = unique.loc[["V1", "V2", "V3", "hV4"], "lower"]
    assert lower.is_monotonic_decreasing
    assert lower["V1"] > 70
    assert lower["hV4"] < 45  # seen: 10 to 32
    assert unique.loc["hV4", "upper"] > 10 > unique.loc["V1", "upper"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gnet8j", "gnet8r"])
def test_receptive_fields_are_where_they_were_planted(demo, model):
    """Of voxels predicted to 80 % of what their noise allows.

    V1 and V2 read maps on the fine grid, which has 6 x 6 pixels at this size; higher areas the coarse one of
    3 x 3, from which sizes cannot be told.
    """
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
    for area in ("V1", "V2"):
        voxels = well[well["area"] == area]
        assert len(voxels) > 30
        # centres are planted within 2 degrees of the centre of gaze, two pixels of the grid. Seen: 0.84
        assert np.corrcoef(voxels["x"], voxels["x_planted"])[0, 1] > 0.75
        assert np.corrcoef(voxels["y"], voxels["y_planted"])[0, 1] > 0.75
        distance = np.hypot(voxels["x"] - voxels["x_planted"], voxels["y"] - voxels["y_planted"])
        assert distance.median() < 0.75  # degrees, of 8.4; a pixel of the grid is 0.9. Seen: 0.33 to 0.57
        sizes[area] = voxels["size"].median()
        expected = (np.sqrt(np.pi) * voxels["sigma"]).median()
        assert 0.7 < sizes[area] / expected < 1.2  # seen: 0.80 to 1.01
    assert sizes["V1"] < sizes["V2"]
