"""Nodes of reporting. Torch and Matplotlib are imported where they are used: listing must be quick."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import gnet
from gnet.analysis.brain_maps import brain_map, mapped_values
from gnet.analysis.published_comparison import (
    accuracy_layout,
    beside_published,
    fev_layout,
    hierarchy_index_layout,
)
from gnet.analysis.receptive_fields import FIELD_OF_VIEW
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import SubjectPredictions
from gnet.figures.printed import SUMMARIES
from gnet.io.nsd import MARKER
from gnet.models.checkpoints import FittedModel
from gnet.models.partitions import fair_share, partitions
from gnet.models.trunk import grid_positions
from gnet.paper import published_accuracy, published_fev, published_hierarchy_index
from gnet.pipelines.parameters import Release, Split, Synthetic
from gnet.pipelines.selecting import positions
from gnet.readers.nsd.layout import Layout
from gnet.recording.volumes import Volume, read_volume

Figure = Any
"""Of Matplotlib, not imported here. Kedro reads the annotations of nodes: there must be such a name."""
PUBLISHED_SETS = {"gnet8j": "GNet8j", "gnet8r": "GNet8r"}
"""Names of the models in the paper's table of hierarchy indices."""


def draw_joint_versus_areas(joint: pd.DataFrame, by_area: pd.DataFrame, *, areas: tuple[str, ...]) -> Figure:
    """Accuracy of the joint against the area-wise models, and the distribution of the differences."""
    from gnet.figures.joint_versus_areas import joint_versus_areas_figure

    return joint_versus_areas_figure(joint, by_area, areas)


def draw_explained_variance(joint: pd.DataFrame, by_area: pd.DataFrame, *, areas: tuple[str, ...]) -> Figure:
    """Variance explained beside the noise ceiling, and FEV, of every area and subject."""
    from gnet.figures.explained_variance import explained_variance_figure

    return explained_variance_figure(joint, by_area, areas)


def correlate_outputs(
    joint: Mapping[str, SubjectPredictions], by_area: Mapping[str, SubjectPredictions]
) -> pd.DataFrame:
    """Correlation of the two models' predictions over all images that both predicted, voxel by voxel."""
    tables = []
    for subject in joint:
        first, second = joint[subject], by_area[subject]
        table = pd.DataFrame({"voxel_index": second.voxel_index, "area": second.area})
        table.insert(0, "subject", subject)
        # a voxel in several areas has one joint prediction, and is compared with each of its area-wise ones
        both = np.flatnonzero(np.isin(second.voxel_index, first.voxel_index))
        rows = np.intersect1d(first.image_row, second.image_row)
        correlation = np.full(len(table), np.nan)
        correlation[both] = voxel_correlation(
            first.of(
                positions(first.image_row, rows), positions(first.voxel_index, second.voxel_index[both])
            ),
            second.of(positions(second.image_row, rows), both),
        )
        tables.append(table.assign(correlation=correlation, images=len(rows)))
    return pd.concat(tables, ignore_index=True)


def draw_output_correlation(correlation: pd.DataFrame, *, areas: tuple[str, ...]) -> Figure:
    """How alike the joint and the area-wise models' predictions are."""
    from gnet.figures.output_correlation import output_correlation_figure

    return output_correlation_figure(correlation, areas)


def gather_histories(**models: FittedModel) -> pd.DataFrame:
    """The histories of all fits as one table: fit, its kind, the area of its trunk ("" for all), epochs."""
    tables = []
    for fit, model in models.items():
        kind = str(model.configuration.get("kind", "fit"))
        areas = model.configuration.get("trunk_areas", ())
        tables.append(
            model.history.assign(
                fit=fit,
                kind=f"synthetic {kind}" if fit.startswith("synthetic_") else kind,
                area="" if kind == "joint" else "+".join(areas),
            )
        )
    table = pd.concat(tables, ignore_index=True)
    return table[["fit", "kind", "area", *table.columns.drop(["fit", "kind", "area"])]]


def draw_fit_history(history: pd.DataFrame, *, areas: tuple[str, ...]) -> Figure:
    """Loss and holdout accuracy of all fits, epoch by epoch."""
    from gnet.figures.fit_history import fit_history_figure

    return fit_history_figure(history, areas)


def draw_pooling_fields(
    accuracy: pd.DataFrame,
    receptive_fields: pd.DataFrame,
    *,
    areas: tuple[str, ...],
    **models: FittedModel,
) -> Figure:
    """Pooling fields of the best-predicted voxels of each area, with their ellipses."""
    from gnet.figures.pooling_fields import example_voxels, pooling_fields_figure

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


def draw_size_eccentricity(
    lines: pd.DataFrame, gnet8j: pd.DataFrame, gnet8r: pd.DataFrame, *, areas: tuple[str, ...]
) -> Figure:
    """Receptive field size against eccentricity, in each area, for both models."""
    from gnet.figures.size_eccentricity import size_eccentricity_figure

    return size_eccentricity_figure({"gnet8j": gnet8j, "gnet8r": gnet8r}, lines, areas)


def draw_tuning(
    average: pd.DataFrame, model: FittedModel, *, areas: tuple[str, ...]
) -> tuple[Figure, Figure]:
    """Shares of the layers and of the halves of the trunk, beside their shares of the features."""
    from gnet.figures.bipartite_tuning import bipartite_tuning_figure
    from gnet.figures.layerwise_tuning import layerwise_tuning_figure

    fair = {
        name: dict(zip(parts, fair_share(parts), strict=True))
        for name, parts in partitions(model.architecture).items()
    }
    return (
        layerwise_tuning_figure(average, fair["layerwise"], areas),
        bipartite_tuning_figure(average, fair["bipartite"], areas),
    )


def draw_transfer_matrix(
    measured: pd.DataFrame, synthetic: pd.DataFrame, *, areas: tuple[str, ...]
) -> Figure:
    """Transfer matrices of each subject and pooled, of measured and of synthetic responses."""
    from gnet.figures.transfer_matrix import transfer_matrix_figure

    return transfer_matrix_figure({"measured": measured, "synthetic": synthetic}, areas)


def draw_hierarchy_index(
    nsd: Layout,
    measured: pd.DataFrame,
    synthetic: pd.DataFrame,
    measured_seeds: pd.DataFrame,
    synthetic_seeds: pd.DataFrame,
) -> Figure:
    """The hierarchy index of measured and synthetic responses, and over seeds; beside the published one
    where that means the same brains.
    """
    from gnet.figures.hierarchy_index import hierarchy_index_figure

    indices = {"measured": measured, "synthetic": synthetic}
    if not is_simulated(nsd):
        published = published_hierarchy_index().query("set == 'Experimental'")
        names = {9: "pooled"} | {number: f"subj{number:02d}" for number in range(1, 9)}
        published = published.assign(subject=published["subj"].map(names))
        published = published.rename(columns={"mean": "index", "std": "fit_error"})
        indices["measured, published"] = published[published["subject"].isin(measured["subject"])]
    return hierarchy_index_figure(indices, {"measured": measured_seeds, "synthetic": synthetic_seeds})


def draw_maps(
    nsd: Layout,
    voxels: pd.DataFrame,
    **tables: pd.DataFrame,
) -> dict[str, Callable[[], Volume]]:
    """Accuracy, receptive fields and tuning of both models as volumes in the release's space, NaN outside.

    `tables` are the accuracy, receptive_fields and tuning tables of each model, `<model>_<table>`. Each
    volume is made when its turn to be stored comes.
    """

    def one_map(subject: str, values: pd.DataFrame, quantity: str) -> Volume:
        brain = read_volume(nsd.brainmask(subject))
        known = values[["voxel_index", quantity]].dropna()
        volume = brain_map(
            known[quantity].to_numpy(float), known["voxel_index"].to_numpy(np.int64), brain.data.shape
        )
        return Volume(volume, brain.affine)

    maps = {}
    for model in ("gnet8j", "gnet8r"):
        values = mapped_values(
            *(tables[f"{model}_{table}"] for table in ("accuracy", "receptive_fields", "tuning"))
        )
        for subject in dict.fromkeys(voxels["subject"]):
            of_subject = values[values["subject"] == subject]
            for quantity in values.columns.drop(["subject", "voxel_index"]):
                maps[f"{subject}/{model}/{quantity}"] = partial(one_map, subject, of_subject, quantity)
    return maps


def draw_volume_slices(
    nsd: Layout, masks: Mapping[str, Volume], maps: Mapping[str, Volume], *, areas: tuple[str, ...]
) -> Figure:
    """Slices through each subject's volume: its areas, and the accuracy of the joint model."""
    from gnet.figures.volume_slices import SubjectVolumes, volume_slices_figure

    subjects = {}
    for subject in sorted({name.partition("/")[0] for name in masks}):
        accuracy = maps[f"{subject}/gnet8j/r"]
        subjects[subject] = SubjectVolumes(
            anatomy=read_volume(nsd.anatomy(subject), accuracy.data.shape).data,
            areas={area: masks[f"{subject}/{area}"].data > 0 for area in areas},
            accuracy=accuracy.data,
            affine=accuracy.affine,
        )
    return volume_slices_figure(subjects, areas)


def compare_with_published(
    gnet8j: pd.DataFrame,
    gnet8r: pd.DataFrame,
    measured: pd.DataFrame,
    synthetic: pd.DataFrame,
    choices: Synthetic,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Published, ours, difference: variance explained, FEV and hierarchy index, laid out as the paper does.

    A synthetic experiment stands beside the published one of the same model if it is noiseless as well.
    """
    indices = {"Experimental": measured}
    if choices.noise == "none":
        indices[PUBLISHED_SETS[choices.source]] = synthetic
    keys = ["subj", "ROI"]
    return (
        beside_published(published_accuracy(), accuracy_layout(gnet8j, gnet8r), keys),
        beside_published(published_fev(), fev_layout(gnet8j, gnet8r), keys),
        beside_published(published_hierarchy_index(), hierarchy_index_layout(**indices), ["set", "subj"]),
    )


def is_simulated(nsd: Layout) -> bool:
    """Whether the release is a stand-in: it carries the mark that the simulation leaves."""
    return (nsd.root / MARKER).exists()


def write_report(
    nsd: Layout,
    release: Release,
    split: Split,
    trials: pd.DataFrame,
    accuracy: pd.DataFrame,
    receptive_fields: pd.DataFrame,
    **parts: Any,
) -> Callable[[str], str]:
    """All of it on one page that can be mailed; the page is made when the run's name is known.

    `parts` are the models, the figures and the tables.
    """
    from gnet.analysis.exclusions import exclusions
    from gnet.figures.report import report_page

    models = {name: part for name, part in parts.items() if isinstance(part, FittedModel)}
    tables = {name: part for name, part in parts.items() if isinstance(part, pd.DataFrame)}
    return partial(
        report_page,
        simulated=is_simulated(nsd),
        facts=run_facts(is_simulated(nsd), release, split, trials, models),
        excluded=exclusions(accuracy, receptive_fields),
        figures={name: part for name, part in parts.items() if isinstance(part, bytes)},
        tables={name: readable_table(name, table) for name, table in tables.items()},
    )


def readable_table(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table that are read first, under the headings of the printed summaries.

    Of a comparison with the published numbers, the rows of which we have something, without those in which no
    number is.
    """
    if name.endswith("_against_published"):
        keys = ["set", "subj"] if "set" in table else ["subj", "ROI"]
        ours = table[table["source"] == "ours"].drop(columns="source").set_index(keys).dropna(how="all")
        shown = table[table.set_index(keys).index.isin(ours.index)]
        return shown.dropna(how="all", subset=shown.columns.difference([*keys, "source"]))
    summary = SUMMARIES[name.removeprefix("synthetic_")]
    return table[list(summary.headings)].rename(columns=summary.headings)


def run_facts(
    simulated: bool,
    release: Release,
    split: Split,
    trials: pd.DataFrame,
    models: Mapping[str, FittedModel],
) -> dict[str, dict[str, str]]:
    """What a run was made from and with, in words, by group; the models tell what concerns them."""
    tests = trials[trials["part_images"] == "test"]
    model = next(iter(models.values()))
    first, architecture = model.configuration, model.architecture
    seeds = list(dict.fromkeys(fitted.configuration["seed"] for fitted in models.values()))
    sessions = ", ".join(f"{subject}: {count}" for subject, count in release.used.items())
    kind = "simulated, a stand-in" if simulated else "Natural Scenes Dataset"
    choices = (
        *("update", "batches", "responses", "holdout"),
        *("input_mean_joint", "input_mean_area", "frozen_trunk", "precision"),
    )
    rates = f"{first['trunk_learning_rate']:g} (trunk), {first['readout_learning_rate']:g} (readouts)"
    return {
        "Data": {
            "release": kind,
            "sessions": sessions,
            "trials": f"{len(trials):,}, of {trials['image_id'].nunique():,} images",
            "test": f"{len(tests):,} trials of {tests['image_id'].nunique():,} images ({split.test})",
        },
        "Fits": {
            "protocol": first["protocol"],
            **{name.replace("_", " "): str(first[name]) for name in choices},
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
            "device": first["device"],
        },
    }
