"""The template that the encoding pipelines share: choose voxels, fit, score, summarise.

Torch is imported where it is used: listing pipelines must not cost seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, update_wrapper
from typing import Any

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline

from gnet.parameters import Fitting, Model, Protocols, Scoring


def fit_and_score(model: str, areas: tuple[str, ...], input_mean: str) -> Pipeline:
    """Nodes that fit one GNet to the voxels of some areas of all subjects and score it.

    Parameters
    ----------
    model
        Name of the model's dataset; its accuracy is stored as `<model>_accuracy`.
    areas
        The areas whose voxels it predicts.
    input_mean
        Which of the protocol's two input means it uses: `input_mean_joint` or `input_mean_area`.
    """

    def given(function: Any, **arguments: Any) -> Any:
        return update_wrapper(partial(function, **arguments), function)

    chosen = f"{model}_voxels"
    return Pipeline(
        [
            Node(
                given(choose_voxels, areas=areas),
                inputs=["voxels", "betas"],
                outputs=chosen,
                name=f"choose_voxels_{model}",
            ),
            Node(
                given(fit_gnet, areas=areas, input_mean=input_mean),
                inputs=[
                    "images",
                    "betas",
                    chosen,
                    "trials",
                    "prefilter",
                    "params:model",
                    "params:fitting",
                    "params:protocols",
                ],
                outputs=model,
                name=f"fit_{model}",
            ),
            Node(
                score_gnet,
                inputs=["images", "betas", chosen, "trials", model, "params:scoring", "params:fitting"],
                outputs=f"{model}_accuracy",
                name=f"score_{model}",
            ),
        ]
    )


def choose_voxels(voxels: pd.DataFrame, betas: Mapping[str, Any], *, areas: tuple[str, ...]) -> pd.DataFrame:
    """The areas' voxels, which column of the betas each is, and why some of them cannot be fitted.

    A voxel without data in some session is left out: `excluded` says so, and is empty for the others.
    """
    from gnet.errors import ReleaseError

    tables = []
    for subject, table in voxels.groupby("subject", sort=False):
        if not np.array_equal(table["voxel_index"], betas[subject]["voxel_index"]):
            raise ReleaseError(
                f"{subject}: expected betas of the {len(table):,} voxels in the voxel table, found those of "
                f"{betas[subject]['betas'].shape[1]:,}, not all the same. Make both again: kedro run "
                "--pipelines data_engineering,masks --to-outputs betas,voxels"
            )
        invalid = (~np.asarray(betas[subject]["valid"])).sum(0)
        table = table.assign(
            column=np.arange(len(table)),
            excluded=[f"no data in {count} sessions" if count else "" for count in invalid],
        )
        table = table[table[[f"in_{area}" for area in areas]].any(axis=1)]
        if not (table["excluded"] == "").any():
            raise ReleaseError(
                f"{subject}: expected voxels with data in every session in {', '.join(areas)}, found none of "
                f"{len(table)}. Look at valid_session*.nii.gz and ncsnr.nii.gz of this subject."
            )
        tables.append(table.assign(area=table["area"].where(table["area"].isin(areas), areas[0])))
    return pd.concat(tables, ignore_index=True)


def fit_gnet(
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    prefilter: Mapping[str, Any],
    model: Model,
    fitting: Fitting,
    protocols: Protocols,
    *,
    areas: tuple[str, ...],
    input_mean: str,
) -> dict[str, Any]:
    """One trunk and a readout for each subject, fitted to the areas' voxels."""
    import time

    import torch

    from gnet.fitting.batches import Trials
    from gnet.fitting.loop import Procedure, fit, seeded
    from gnet.models.checkpoints import FittedModel, to_arrays
    from gnet.models.device import resolve_device
    from gnet.models.gnet import Architecture, GNet
    from gnet.nsd.stimuli import mean_colour

    choices = fitting.choices(protocols)
    seed = time.time_ns() % 2**32 if fitting.seed is None else fitting.seed
    fitted = voxels[voxels["excluded"] == ""]
    part = trials[f"part_{choices.holdout}"]
    data: dict[str, dict[str, Trials]] = {"train": {}, "holdout": {}}
    for subject, table in fitted.groupby("subject", sort=False):
        responses = betas[subject]["betas"].columns(table["column"].to_numpy())
        rows = trials.loc[trials["subject"] == subject, "image_row"].to_numpy()
        for name in data:
            chosen = (part[trials["subject"] == subject] == name).to_numpy()
            data[name][subject] = Trials(rows[chosen], responses[chosen])

    first = trials[trials["subject"] == fitted["subject"].iloc[0]]
    averaged = {
        "seen_images": first,
        "unshared_images": first[~first["shared"]],
        "training_images": trials[part == "train"],
    }[getattr(choices, input_mean)]
    colour = mean_colour(images, np.unique(averaged["image_row"]))

    options = dict(model)
    architecture = Architecture(pixels=images.shape[-1], **options)
    procedure = Procedure(
        update=choices.update,
        batches=choices.batches,
        epochs=fitting.epochs,
        batch_size=fitting.batch_size,
        trunk_rate=fitting.trunk_rate,
        readout_rate=fitting.readout_rate,
        sparsity=fitting.sparsity,
        cache_bytes=int(fitting.cache_gigabytes * 1e9),
    )
    with seeded(seed):
        network = GNet(
            architecture,
            fitted.groupby("subject", sort=False).size().to_dict(),
            prefilter={name: np.asarray(array) for name, array in prefilter.items()},
            input_mean=colour,
        )
    history = fit(
        network.to(resolve_device(fitting.device)),
        data["train"],
        data["holdout"],
        images,
        procedure=procedure,
        seed=seed,
        description=f"fit {'+'.join(areas)}",
    )
    configuration = {
        "protocol": fitting.protocol,
        **choices.model_dump(),
        **fitting.model_dump(exclude_none=True, exclude=set(type(choices).model_fields)),
        "seed": seed,
        "torch": torch.__version__,
    }
    index = {s: table["voxel_index"].to_numpy() for s, table in fitted.groupby("subject", sort=False)}
    return to_arrays(FittedModel(network.cpu(), index, areas, configuration, history))


def score_gnet(
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    stored_model: Mapping[str, Any],
    scoring: Scoring,
    fitting: Fitting,
) -> pd.DataFrame:
    """Accuracy of every voxel on the test trials; a row also for each that could not be fitted."""
    from gnet.evaluation.accuracy import accuracy_table
    from gnet.evaluation.prediction import PrefilteredImages, predict
    from gnet.models.checkpoints import from_arrays
    from gnet.models.device import resolve_device

    model = from_arrays(stored_model)
    network = model.network.to(resolve_device(fitting.device))
    tables = []
    for subject, table in voxels.groupby("subject", sort=False):
        fitted = table["excluded"] == ""
        tests = (trials["subject"] == subject) & (trials["part_images"] == "test")
        rows, trial_image = np.unique(trials.loc[tests, "image_row"], return_inverse=True)
        prefiltered = PrefilteredImages(network, images, rows)
        predicted = predict(network, subject, prefiltered, rows, batch_size=scoring.batch_size)
        order = trials.loc[tests, "trial"].to_numpy()
        measured = betas[subject]["betas"].columns(table.loc[fitted, "column"].to_numpy())[order]
        accuracy = accuracy_table(
            predicted,
            measured,
            trial_image,
            table.loc[fitted, "ncsnr"].to_numpy(),
            resamples=scoring.resamples,
            seed=scoring.seed,
        ).set_index(table.index[fitted])
        identity = table[["subject", "voxel_index", "area", "label", "excluded"]]
        tables.append(identity.join(accuracy))
    return pd.concat(tables, ignore_index=True)
