"""Nodes of the simulation."""

from __future__ import annotations

from typing import Any

from gnet.pipelines.parameters import Simulation
from gnet.simulation.release import SimulatedRelease, SimulationPlan, simulate


def simulate_release(
    simulation: Simulation, sessions: dict[str, int]
) -> tuple[SimulatedRelease, dict[str, Any]]:
    """A release in NSD's layout, and what was planted in it."""
    simulated = simulate(SimulationPlan(sessions=sessions, **dict(simulation)))
    return simulated, simulated.planted
