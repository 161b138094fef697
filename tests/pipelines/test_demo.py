"""The demo as a newcomer runs it, at its own size, recovers the planted brain."""

import numpy as np
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
