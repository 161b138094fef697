"""Nodes of the template. Torch is imported where it is used: listing pipelines must not cost seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gnet.analysis.seeds import settings_mark
from gnet.analysis.transfer_matrix import index_table, shift_table, transfer_matrix
from gnet.errors import ReleaseError
from gnet.pipelines.parameters import Choices, Fitting, Images, Model, Protocols, Scoring, Transfer
from gnet.pipelines.selecting import reasons_excluded, scoring_trials

if TYPE_CHECKING:
    from gnet.models.gnet import GNet


def choose_voxels(voxels: pd.DataFrame, betas: Mapping[str, Any], *, areas: tuple[str, ...]) -> pd.DataFrame:
    """The areas' voxels, which column of the betas each is, and why some of them cannot be fitted.

    A voxel without data in some session is left out: `excluded` says so, and is empty for the others.
    """
    tables = []
    for subject, table in voxels.groupby("subject", sort=False):
        if not np.array_equal(table["voxel_index"], betas[subject]["voxel_index"]):
            raise ReleaseError(
                f"{subject}: expected betas of the {len(table):,} voxels in the voxel table, found those of "
                f"{betas[subject]['betas'].shape[1]:,}, not all the same. Make both again: kedro run "
                "--pipelines data_engineering,masks --to-outputs betas,voxels"
            )
        table = table.assign(column=np.arange(len(table)), excluded=reasons_excluded(betas, subject))
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
    preparation: Images,
    *,
    areas: tuple[str, ...],
    input_mean: str,
) -> dict[str, Any]:
    """One trunk and a readout for each subject, fitted to the areas' voxels."""
    from gnet.fitting.loop import seeded
    from gnet.models.gnet import Architecture, GNet
    from gnet.recording.pictures import mean_colour

    choices = fitting.choices(protocols)
    seed = chosen_seed(fitting)
    fitted = voxels[voxels["excluded"] == ""]
    first = trials[trials["subject"] == fitted["subject"].iloc[0]]
    averaged = {
        "seen_images": first,
        "unshared_images": first[~first["shared"]],
        "training_images": trials[trials[f"part_{choices.holdout}"] == "train"],
    }[getattr(choices, input_mean)]
    with seeded(seed):
        network = GNet(
            Architecture(pixels=images.shape[-1], **dict(model)),
            fitted.groupby("subject", sort=False).size().to_dict(),
            prefilter={name: np.asarray(array) for name, array in prefilter.items()},
            input_mean=mean_colour(images, np.unique(averaged["image_row"])),
        )
    return _fitted(
        network, "trained", images, betas, fitted, trials, fitting, choices, preparation, seed, areas
    )


def fit_transfer(
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    source: Mapping[str, Any],
    model: Model,
    fitting: Fitting,
    protocols: Protocols,
    preparation: Images,
    *,
    areas: tuple[str, ...],
) -> dict[str, Any]:
    """Fresh readouts for all voxels on the trunk of another model, whose weights stay as they are.

    Whether the trunk is truly frozen or drifts is the protocol's `frozen_trunk`.
    """
    from gnet.fitting.loop import seeded
    from gnet.models.checkpoints import from_arrays
    from gnet.models.gnet import GNet

    choices = fitting.choices(protocols)
    seed = chosen_seed(fitting)
    fitted = voxels[voxels["excluded"] == ""]
    trained = from_arrays(source).network
    architecture = replace(
        trained.architecture, readout=model.readout, dropout=model.dropout, trainable_prefilter=False
    )
    with seeded(seed):
        network = GNet(architecture, fitted.groupby("subject", sort=False).size().to_dict())
    fixed = {name: value for name, value in trained.state_dict().items() if not name.startswith("readouts.")}
    network.load_state_dict(fixed, strict=False)
    trunk = choices.frozen_trunk
    return _fitted(network, trunk, images, betas, fitted, trials, fitting, choices, preparation, seed, areas)


def chosen_seed(fitting: Fitting) -> int:
    """The configured seed, or one from the clock, as published."""
    return time.time_ns() % 2**32 if fitting.seed is None else fitting.seed


def _fitted(
    network: GNet,
    trunk: str,
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    fitting: Fitting,
    choices: Choices,
    preparation: Images,
    seed: int,
    areas: tuple[str, ...],
) -> dict[str, Any]:
    """Fit a network to the responses of its voxels and return it as it is stored."""
    import torch

    from gnet.fitting.batches import Trials, image_means
    from gnet.fitting.loop import fit
    from gnet.fitting.stepper import Procedure
    from gnet.models.checkpoints import FittedModel, to_arrays
    from gnet.models.device import resolve_device

    data: dict[str, dict[str, Trials]] = {"train": {}, "holdout": {}}
    for subject, table in voxels.groupby("subject", sort=False):
        of_subject = trials[trials["subject"] == subject]
        for name, part in data.items():
            chosen = of_subject[of_subject[f"part_{choices.holdout}"] == name]
            part[subject] = Trials(
                chosen["image_row"].to_numpy(),
                betas[subject]["betas"].columns(table["column"].to_numpy(), chosen["trial"].to_numpy()),
                voxel_index=table["voxel_index"].to_numpy(),
            )
        if choices.responses == "image_means":
            data["train"][subject] = image_means(data["train"][subject])
    procedure = Procedure(
        update=choices.update,
        batches=choices.batches,
        trunk=trunk,
        epochs=choices.epochs,
        batch_size=fitting.batch_size,
        trunk_rate=fitting.trunk_rate,
        readout_rate=fitting.readout_rate,
        sparsity=fitting.sparsity,
        precision=fitting.precision,
        compiled=fitting.compiled,
        cache_bytes=int(fitting.cache_gigabytes * 1e9),
    )
    history = fit(
        network.to(resolve_device(fitting.device)),
        data["train"],
        data["holdout"],
        images,
        procedure=procedure,
        seed=seed,
        description=f"fit {'+'.join(areas)}",
        state=fitting.state,
    )
    configuration = {
        "protocol": fitting.protocol,
        **choices.model_dump(),
        **fitting.model_dump(exclude_none=True, exclude={"state", *type(choices).model_fields}),
        "trunk": trunk,
        "resampling": preparation.resampling,
        "seed": seed,
        "torch": torch.__version__,
    }
    index = {s: table["voxel_index"].to_numpy() for s, table in voxels.groupby("subject", sort=False)}
    area = {s: table["area"].to_numpy(str) for s, table in voxels.groupby("subject", sort=False)}
    return to_arrays(FittedModel(network.cpu(), index, areas, configuration, history, area))


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
    from gnet.models.checkpoints import from_arrays
    from gnet.models.device import resolve_device

    origin = str(getattr(stored_model, "path", "model"))
    network = from_arrays(stored_model, origin).network.to(resolve_device(fitting.device))
    tables = [
        score_voxels(network, images, betas, table, trials, scoring)
        for _, table in voxels.groupby("subject", sort=False)
    ]
    return pd.concat(tables, ignore_index=True)


def score_voxels(
    network: GNet,
    images: np.ndarray,
    betas: Mapping[str, Any],
    voxels: pd.DataFrame,
    trials: pd.DataFrame,
    scoring: Scoring,
    *,
    knows_excluded: bool = False,
) -> pd.DataFrame:
    """Accuracy of one subject's voxels on the test trials; of those that are excluded there is none.

    The network's readout has the voxels in this order: all of them if it `knows_excluded`, or those that are
    not excluded.
    """
    from gnet.evaluation.accuracy import accuracy_table
    from gnet.evaluation.prediction import PrefilteredImages, predict

    subject = voxels["subject"].iloc[0]
    kept = (voxels["excluded"] == "").to_numpy()
    scored = voxels[kept]
    tests = scoring_trials(betas, trials, subject, scored["column"].to_numpy())
    prefiltered = PrefilteredImages(network, images, tests.image_row)
    predicted = predict(network, subject, prefiltered, tests.image_row, batch_size=scoring.batch_size)
    accuracy = accuracy_table(
        predicted[:, kept] if knows_excluded else predicted,
        tests.response,
        tests.trial_image,
        scored["ncsnr"].to_numpy(),
        resamples=scoring.resamples,
        seed=scoring.seed,
    )
    identity = voxels[["subject", "voxel_index", "area", "label", "excluded"]]
    return identity.join(accuracy.set_index(scored.index))


def gather(*accuracies: pd.DataFrame) -> pd.DataFrame:
    """The accuracy tables of several models as one, in their order."""
    return pd.concat(accuracies, ignore_index=True)


def measure_transfer(
    transfer: Transfer,
    betas: Mapping[str, Any],
    trials: pd.DataFrame,
    prefilter: Mapping[str, Any],
    own: pd.DataFrame,
    *parts: Any,
    areas: tuple[str, ...],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The transfer matrix and the hierarchy index, per subject and pooled.

    `parts` are the accuracies with each area's trunk, the area-wise models and the transfer models. The index
    says what it comes from: `protocol`, `seed`, and `settings`, by which results that differ in the seed
    alone are found (`gnet.analysis.seeds`). Fits that differ are named with a plus between them.
    """
    transferred, models = parts[: len(areas)], parts[len(areas) :]
    shifts = shift_table(own, dict(zip(areas, transferred, strict=True)))
    index = index_table(shifts, areas, resamples=transfer.resamples, seed=transfer.seed)
    fits = [json.loads(model["configuration"]) for model in models]
    networks = [json.loads(model["architecture"]) for model in models]
    data = [
        pd.util.hash_pandas_object(trials, index=False).to_numpy(),
        *(np.asarray(weights) for weights in prefilter.values()),
        *(np.asarray(betas[subject]["betas"][:1]) for subject in betas),  # one trial tells brains apart
    ]
    return transfer_matrix(shifts, areas), index.assign(
        protocol="+".join(dict.fromkeys(fit["protocol"] for fit in fits)),
        seed="+".join(dict.fromkeys(str(fit["seed"]) for fit in fits)),
        settings=settings_mark([*fits, *networks], data),
    )
