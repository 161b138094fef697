"""Makes a small release with a known brain, where there is no real one."""

from __future__ import annotations

from typing import Any

from kedro.pipeline import Pipeline

from gnet.pipelines.parameters import Simulation
from gnet.pipelines.selecting import named_node
from gnet.simulation.release import SimulatedRelease, SimulationPlan, simulate


def create_pipeline() -> Pipeline:
    """One node: images, brain, volumes."""
    inputs = ["params:simulation", "params:release.sessions"]
    return Pipeline([named_node(simulate_release, inputs, ["recording", "planted_brain"])])


def simulate_release(
    simulation: Simulation, sessions: dict[str, int]
) -> tuple[SimulatedRelease, dict[str, Any]]:
    """A release in NSD's layout, and what was planted in it."""
    simulated = simulate(SimulationPlan(sessions=sessions, **dict(simulation)))
    return simulated, simulated.planted
