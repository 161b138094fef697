"""One small simulated release for all tests of this folder."""

from pathlib import Path

import pytest

from gnet.readers.nsd.layout import Layout
from gnet.simulation.release import SimulatedRelease, SimulationPlan, simulate


@pytest.fixture(scope="session")
def plan() -> SimulationPlan:
    return SimulationPlan(
        sessions={"subj01": 3, "subj02": 2},
        volume_shapes={"subj01": (10, 12, 9), "subj02": (11, 10, 9)},
        planned_sessions=3,
        trials_per_session=40,
        shared_images=10,
        own_images=30,
        stimulus_pixels=48,
        voxels_per_label=(4, 6),
        organisation="parallel",
        ceiling=(25.0, 60.0),
        noise_correlation=0.2,
        missing_voxels=1,
        seed=3,
    )


@pytest.fixture(scope="session")
def release(plan: SimulationPlan) -> SimulatedRelease:
    return simulate(plan)


@pytest.fixture(scope="session")
def layout(release: SimulatedRelease, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root: Path = tmp_path_factory.mktemp("nsd")
    release.write(root)
    return Layout(root)
