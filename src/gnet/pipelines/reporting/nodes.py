"""Nodes of reporting that compute what is drawn; figures that draw a stored table are nodes themselves."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import gnet
from gnet import paper
from gnet.analysis.brain_maps import brain_map, mapped_values
from gnet.analysis.exclusions import exclusions
from gnet.analysis.published_comparison import (
    SUBJECTS,
    accuracy_layout,
    beside_published,
    fev_layout,
    hierarchy_index_layout,
)
from gnet.errors import ReleaseError
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import SubjectPredictions
from gnet.figures.bipartite_tuning import bipartite_tuning_figure
from gnet.figures.hierarchy_index import hierarchy_index_figure
from gnet.figures.layerwise_tuning import layerwise_tuning_figure
from gnet.figures.pooling_fields import example_voxels, pooling_fields_figure
from gnet.figures.report import FIGURES, TABLES, report_page
from gnet.figures.volume_slices import SubjectVolumes, volume_slices_figure
from gnet.models.checkpoints import FittedModel
from gnet.models.partitions import fair_share, partitions
from gnet.models.trunk import grid_positions
from gnet.pipelines.parameters import Choices, Release, Simulation, Split, Synthetic
from gnet.pipelines.selecting import by_keyword, positions
from gnet.recording.pictures import FIELD_OF_VIEW
from gnet.recording.reader import Reader
from gnet.recording.volumes import Volume

log = logging.getLogger(__name__)

MAPPED = ("accuracy", "receptive_fields", "tuning")
"""Tables of each model whose columns become maps."""
PUBLISHED_SETS = {"gnet8j": "GNet8j", "gnet8r": "GNet8r"}
"""Names of the models in the paper's table of hierarchy indices."""


def correlate_outputs(
    joint: Mapping[str, SubjectPredictions], by_area: Mapping[str, SubjectPredictions]
) -> pd.DataFrame:
    """Correlation of the two models' predictions over the images that both predicted, voxel by voxel."""
    tables = []
    for subject, first in joint.items():
        second = by_area[subject]
        table = pd.DataFrame({"subject": subject, "voxel_index": second.voxel_index, "area": second.area})
        # a voxel in several areas has one joint prediction, and is compared with each of its area-wise ones
        both = np.flatnonzero(np.isin(second.voxel_index, first.voxel_index))
        rows = np.intersect1d(first.image_row, second.image_row)
        columns = positions(first.voxel_index, second.voxel_index[both])
        correlation = np.full(len(table), np.nan)
        correlation[both] = voxel_correlation(
            first.of(positions(first.image_row, rows), columns),
            second.of(positions(second.image_row, rows), both),
        )
        tables.append(table.assign(correlation=correlation, images=len(rows)))
    return pd.concat(tables, ignore_index=True)


def gather_histories(**models: FittedModel) -> pd.DataFrame:
    """The histories of all fits in one table: fit, its kind, the area of its trunk ("" for all), epochs."""
    tables = []
    for fit, model in models.items():
        kind = str(model.configuration.get("kind", "fit"))
        area = "" if kind == "joint" else "+".join(model.configuration.get("trunk_areas", ()))
        kind = f"synthetic {kind}" if fit.startswith("synthetic_") else kind
        labels = {"fit": fit, "kind": kind, "area": area}
        tables.append(pd.DataFrame(labels, index=model.history.index).join(model.history))
    return pd.concat(tables, ignore_index=True)


def draw_pooling_fields(
    accuracy: pd.DataFrame, receptive_fields: pd.DataFrame, *, areas: tuple[str, ...], **models: FittedModel
) -> Figure:
    """Pooling fields of the best-predicted voxels of each area, with their ellipses."""
    examples = example_voxels(receptive_fields, accuracy)
    fields: dict[int, np.ndarray] = {}
    for model in models.values():
        fine, _ = grid_positions(model.architecture.pixels)
        of_model = examples[examples["area"].isin(model.areas)]
        for subject, chosen in of_model.groupby("subject"):
            every = model.network.readout(subject).fine_fields().detach().numpy()
            row = positions(model.voxels[subject].index, chosen["voxel_index"].to_numpy())
            fields |= dict(zip(chosen.index, every[row], strict=True))
    drawn = np.array([fields[number] for number in examples.index]).reshape(-1, len(fine), len(fine))
    return pooling_fields_figure(drawn, FIELD_OF_VIEW * fine, examples, areas)


def draw_tuning(
    average: pd.DataFrame, model: FittedModel, *, areas: tuple[str, ...]
) -> tuple[Figure, Figure]:
    """Shares of the layers and of the halves of the trunk, beside their shares of the features."""
    cut = partitions(model.architecture)
    fair = {name: dict(zip(parts, fair_share(parts), strict=True)) for name, parts in cut.items()}
    return (
        layerwise_tuning_figure(average, fair["layerwise"], areas),
        bipartite_tuning_figure(average, fair["bipartite"], areas),
    )


def draw_hierarchy_index(
    recording: Reader,
    measured: pd.DataFrame,
    synthetic: pd.DataFrame,
    measured_seeds: pd.DataFrame,
    synthetic_seeds: pd.DataFrame,
    simulation: Simulation,
) -> Figure:
    """The hierarchy index of measured and synthetic responses, and over seeds.

    The published index stands beside it where the brains are the same, that is, in measured data; in
    simulated data, the planted organisation.
    """
    indices = {"measured": measured, "synthetic": synthetic}
    if not recording.simulated:
        published = paper.published_hierarchy_index().query("set == 'Experimental'")
        names = {number: subject for subject, number in SUBJECTS.items()}
        published = published.assign(subject=published["subj"].map(names))
        published = published.rename(columns={"mean": "index", "std": "fit_error"})
        indices["measured, published"] = published[published["subject"].isin(measured["subject"])]
    planted = simulation.organisation if recording.simulated else ""
    return hierarchy_index_figure(
        indices, {"measured": measured_seeds, "synthetic": synthetic_seeds}, planted
    )


def draw_maps(masks: Mapping[str, Volume], **tables: pd.DataFrame) -> dict[str, Callable[[], Volume]]:
    """Accuracy, receptive fields and tuning of both models as volumes in the space of the masks, NaN outside.

    `tables` are `<model>_<table>`, the `MAPPED` tables. Each volume is made only when it is stored.
    """

    def one_map(subject: str, values: pd.DataFrame, quantity: str) -> Volume:
        space = masks[next(name for name in masks if name.startswith(f"{subject}/"))]
        known = values[["voxel_index", quantity]].dropna()
        index = known["voxel_index"].to_numpy(np.int64)
        return Volume(brain_map(known[quantity].to_numpy(float), index, space.data.shape), space.affine)

    maps = {}
    for model in ("gnet8j", "gnet8r"):
        values = mapped_values(*(tables[f"{model}_{table}"] for table in MAPPED))
        for subject, of_subject in values.groupby("subject", sort=False):
            for quantity in values.columns.drop(["subject", "voxel_index"]):
                maps[f"{subject}/{model}/{quantity}"] = partial(one_map, subject, of_subject, quantity)
    return maps


def draw_volume_slices(
    recording: Reader, masks: Mapping[str, Volume], maps: Mapping[str, Volume], *, areas: tuple[str, ...]
) -> Figure:
    """Slices through each subject's volume: its areas, and the accuracy of the joint model."""
    subjects = {}
    for subject in sorted({name.partition("/")[0] for name in masks}):
        accuracy = maps[f"{subject}/gnet8j/r"]
        subjects[subject] = SubjectVolumes(
            anatomy=read_anatomy(recording, subject),
            areas={area: masks[f"{subject}/{area}"].data > 0 for area in areas},
            accuracy=accuracy.data,
            affine=accuracy.affine,
        )
    return volume_slices_figure(subjects, areas)


def read_anatomy(recording: Reader, subject: str) -> np.ndarray | None:
    """The subject's anatomy; None, with a warning, if there is none that can be used.

    It is for pictures only: a report on days of fits does not fail for want of it.
    """
    reason = "There is no anatomy."
    try:
        if anatomy := recording.anatomy(subject):
            return anatomy.data
    except ReleaseError as error:
        reason = str(error)
    log.warning("%s The slices of %s are drawn without it.", reason, subject)
    return None


def compare_with_published(
    gnet8j: pd.DataFrame,
    gnet8r: pd.DataFrame,
    measured: pd.DataFrame,
    synthetic: pd.DataFrame,
    choices: Synthetic,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Published, ours, difference: variance explained, FEV and hierarchy index, in the paper's layout.

    A synthetic experiment stands beside the published one of the same model if both are noiseless.
    """
    indices = {"Experimental": measured}
    if choices.noise == "none":
        indices[PUBLISHED_SETS[choices.source]] = synthetic
    keys, ours = ["subj", "ROI"], hierarchy_index_layout(**indices)
    return (
        beside_published(paper.published_accuracy(), accuracy_layout(gnet8j, gnet8r), keys),
        beside_published(paper.published_fev(), fev_layout(gnet8j, gnet8r), keys),
        beside_published(paper.published_hierarchy_index(), ours, ["set", "subj"]),
    )


def write_report(
    recording: Reader,
    release: Release,
    split: Split,
    trials: pd.DataFrame,
    accuracy: pd.DataFrame,
    receptive_fields: pd.DataFrame,
    *,
    areas: tuple[str, ...],
    **parts: Any,
) -> Callable[[str], str]:
    """All of it on one page that can be mailed; the page is made when the run's name is known.

    `parts` are the figures and tables that the report's sections name, and the fitted models.
    """
    figures, tables = (
        {name: parts.pop(keyword) for keyword, name in by_keyword(*names).items()}
        for names in (FIGURES, TABLES)
    )
    return partial(
        report_page,
        simulated=recording.simulated,
        facts=run_facts(recording.simulated, release, split, trials, models=parts),
        excluded=exclusions(accuracy, receptive_fields),
        figures=figures,
        tables=tables,
        areas=areas,
    )


def run_facts(
    simulated: bool, release: Release, split: Split, trials: pd.DataFrame, models: Mapping[str, FittedModel]
) -> dict[str, dict[str, str]]:
    """Data, fits and versions of a run in words, by group; fits as their models recorded them."""
    tests = trials[trials["part_images"] == "test"]
    model = next(iter(models.values()))
    first, architecture = model.configuration, model.architecture
    seeds = dict.fromkeys(fitted.configuration["seed"] for fitted in models.values())
    choices = [name for name in Choices.model_fields if name != "epochs"]
    rates = f"{first['trunk_learning_rate']:g} (trunk), {first['readout_learning_rate']:g} (readouts)"
    return {
        "Data": {
            "release": "simulated, a stand-in" if simulated else "Natural Scenes Dataset",
            "sessions": ", ".join(f"{subject}: {count}" for subject, count in release.used.items()),
            "trials": f"{len(trials):,}, of {trials['image_id'].nunique():,} images",
            "test": f"{len(tests):,} trials of {tests['image_id'].nunique():,} images ({split.test})",
        },
        "Fits": {
            "protocol": first["protocol"],
            **{name.replace("_", " "): str(first[name]) for name in (*choices, "precision")},
            "seed": ", ".join(map(str, seeds)),
            "epochs": f"{first['epochs']}, batches of {first['batch_size']}",
            "learning rates": rates,
            "images": f"{architecture.pixels} x {architecture.pixels} pixels, {first['resampling']}",
            "prefilter": str(first.get("prefilter", "not recorded")),
            "trunk width": str(architecture.trunk_width),
            "readout": architecture.readout,
        },
        "Versions": {
            "models fitted with": f"gnet {model.gnet_version}, torch {first['torch']}",
            "report made with": f"gnet {gnet.__version__}, numpy {np.__version__}, pandas {pd.__version__}",
            "Python": platform.python_version(),
            "device": "auto, not recorded which" if first["device"] == "auto" else first["device"],
        },
    }
