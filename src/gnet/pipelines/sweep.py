"""Every model and the transfer analysis in each combination of seeds, protocols and brains, in one run.

Brains are the one that was measured, and others planted in its place: see `plant`. Seeds and protocols
together are cells: each has the parameters of `fitting` to itself (`gnet.hooks.configuration`). A brain and a
cell are a namespace. All fits are independent, so a cluster computes them at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline

from gnet.analysis.seeds import sweep_tables
from gnet.analysis.synthetic_responses import synthetic_responses
from gnet.evaluation.accuracy import summary_table
from gnet.models.prefilter import Weights
from gnet.pipelines.fit_and_score import pipeline as template
from gnet.pipelines.parameters import MEASURED, Fitting, Protocols
from gnet.pipelines.selecting import by_keyword, given, positions
from gnet.recording.noise_ceiling import noise_ceiling
from gnet.recording.responses import Responses
from gnet.simulation import brain
from gnet.simulation.stages import Chains

FOUND = ("gnet8j_accuracy", "gnet8r_accuracy", "hierarchy_index")
"""What is known of a cell in the end."""


def create_pipeline(areas: tuple[str, ...], cells: tuple[str, ...], brains: tuple[str, ...]) -> Pipeline:
    """The experiment of the encoding and transfer pipelines in every cell, and the tables of all."""
    if not cells:
        return Pipeline([])
    both = [f"{name}.{cell}" for name in brains for cell in cells]
    found = [f"params:cells.{cell}" for cell in cells]
    found += [f"sweep.{each}.{name}" for each in both for name in FOUND]
    tables = ["sweep_results", "sweep_index", "sweep_summary", "sweep_seeds"]
    gather = given(gather_cells, names=tuple(both))
    inputs = by_keyword("params:protocols", *found)
    seeds = dict.fromkeys(seed_of(cell) for cell in cells)
    planted = [planting(areas, name, seed) for name in brains if name != MEASURED for seed in seeds]
    nodes = [*planted, Node(gather, inputs, tables, name="gather_cells", namespace="sweep")]
    return sum((in_cell(areas, name, cell) for name in brains for cell in cells), Pipeline(nodes))


def seed_of(cell: str) -> int:
    """The seed of a cell, by its name."""
    return int(cell.rpartition("_")[2])


def in_cell(areas: tuple[str, ...], name: str, cell: str) -> Pipeline:
    """Joint, area-wise and transfer models of a brain with the parameters of a cell."""
    models = (template.joint_model, template.area_models, template.transfer_models)
    fits = sum((fit(areas) for fit in models), template.transfer_analysis(areas)).to_outputs(*FOUND)
    inputs = {shared: shared for shared in template.SHARED & fits.inputs()}
    if name != MEASURED:
        inputs["betas"] = f"sweep.{name}_{seed_of(cell)}.betas"
    parameters = {parameter: parameter for parameter in template.parameters_of(fits)}
    parameters["params:fitting"] = f"params:cells.{cell}"
    return Pipeline(fits, namespace=f"sweep.{name}.{cell}", inputs=inputs, parameters=parameters)


def planting(areas: tuple[str, ...], name: str, seed: int) -> Node:
    """The node that plants a brain."""
    inputs = ["images", "voxels", "trials", "betas", "prefilter"]
    outputs = [f"sweep.{name}_{seed}.{part}" for part in ("betas", "planted")]
    function = given(plant, areas=areas, organisation=name, seed=seed)
    return Node(function, inputs, outputs, name=f"plant_{name}_{seed}", namespace="sweep")


def plant(
    images: np.ndarray,
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    measured: Mapping[str, Responses],
    prefilter: Weights,
    *,
    areas: tuple[str, ...],
    organisation: str,
    seed: int,
) -> tuple[dict[str, Callable[[], Responses]], pd.DataFrame]:
    """Responses of a brain of a known organisation that matches a recording, and what was planted.

    It has the voxels of the recording, with their areas and noise ceilings, and saw its images in the same
    trials. Maps, receptive fields and noise are drawn; the noise is independent between voxels. A voxel whose
    noise ceiling is not known has no signal; responses of voxels outside the areas are NaN.
    """
    seen = images[:: -(-len(images) // brain.REFERENCE)]
    chains = Chains(seen, areas, organisation, prefilter, seed)
    responses, tables = {}, []
    for number, (subject, table) in enumerate(voxels.groupby("subject", sort=False)):
        planted = table.loc[table["area"].isin(areas), ["subject", "voxel_index", "area", "ncsnr"]]
        ceiling = np.nan_to_num(noise_ceiling(planted["ncsnr"].to_numpy()))
        fields = brain.drawn_fields(planted["area"].to_numpy(), areas, np.random.default_rng([seed, number]))
        tables.append(planted.drop(columns="ncsnr").assign(ceiling=ceiling, **fields))
        rows = trials.loc[trials["subject"] == subject, "image_row"].to_numpy()
        known = (images, rows, chains, tables[-1], measured[subject], (seed, number))
        responses[subject] = partial(_responses, *known)
    return responses, pd.concat(tables, ignore_index=True)


def _responses(
    images: np.ndarray,
    image_row: np.ndarray,
    chains: Chains,
    planted: pd.DataFrame,
    measured: Responses,
    seed: tuple[int, int],
) -> Responses:
    """Responses of one subject of a planted brain, who saw these images."""
    rows = np.unique(image_row)
    columns = positions(measured.voxel_index, planted["voxel_index"].to_numpy())
    where = brain.Voxels(*(planted[name].to_numpy() for name in ("area", "x", "y", "sigma")))
    signal, _, _ = brain.planted_responses(chains, images[rows], where, np.random.default_rng([*seed, 1]))
    predicted = np.zeros((len(rows), len(measured.voxel_index)), np.float32)
    predicted[:, columns] = signal
    gain = np.zeros(predicted.shape[1])
    gain[columns] = np.sqrt(planted["ceiling"].to_numpy() / 100)
    noise = np.sqrt(1 - gain**2)
    betas = synthetic_responses(predicted, positions(rows, image_row), gain, noise, [*seed, 2])
    return replace(measured, betas=betas)


def gather_cells(protocols: Protocols, *, names: tuple[str, ...], **found: Any) -> tuple[Any, ...]:
    """The tables of all cells: `gnet.analysis.seeds.sweep_tables`."""
    cells = {
        name.removeprefix("cells_"): value for name, value in found.items() if isinstance(value, Fitting)
    }
    settings, accuracies, indices = {}, {}, {}
    for name in names:
        organisation, cell = name.split(".")
        chosen = cells[cell].choices(protocols).model_dump()
        fitting = cells[cell].model_dump(exclude_none=True)
        settings[name] = {"brain": organisation, **chosen, **fitting}
        of_cell = {part: found[f"sweep_{name.replace('.', '_')}_{part}"] for part in FOUND}
        for model in ("gnet8j", "gnet8r"):
            accuracies[name, model] = summary_table(of_cell[f"{model}_accuracy"])
        indices[name] = of_cell["hierarchy_index"]
    return sweep_tables(settings, accuracies, indices)
