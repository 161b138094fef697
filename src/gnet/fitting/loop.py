"""The training loop: a shared trunk and one readout per subject, fitted end to end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gnet.errors import DeviceError, GNetError
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import FrozenMaps, PrefilteredImages, predict
from gnet.fitting import estimate, resume
from gnet.fitting.batches import Batch, Trials, epoch_batches
from gnet.fitting.stepper import Procedure, Stepper
from gnet.models.device import large_arrays_kept, precision
from gnet.models.gnet import GNet
from gnet.progress import bar, duration

log = logging.getLogger(__name__)
epochs = logging.getLogger("gnet-epochs")  # not below gnet, where Kedro's configuration of logs resets it
"""Each epoch, for whoever wants to draw it; nothing is printed (`gnet.hooks.curves`)."""
epochs.setLevel(logging.DEBUG)
epochs.propagate = False

SECONDS_BETWEEN_LINES = 180
"""Where no terminal shows a progress bar, progress is logged: after the first epoch, then this often."""


class FitError(GNetError, ArithmeticError):
    """The fit cannot continue: its loss or its score is not finite."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context with torch's random state set by the seed; the previous state is restored afterwards."""
    with torch.random.fork_rng(devices=range(torch.accelerator.device_count())):
        torch.manual_seed(seed)
        yield


@large_arrays_kept()
def fit_network(
    network: GNet,
    training: Mapping[str, Trials],
    holdout: Mapping[str, Trials],
    images: UInt8[np.ndarray, "image 3 y x"],
    *,
    procedure: Procedure,
    seed: int,
    description: str = "fit",
    state: Path | None = None,
) -> pd.DataFrame:
    """Fit the network in place, on its device, and leave it in its best state.

    The best state is that of the epoch with the highest median holdout correlation over all voxels of all
    subjects. Voxels without a correlation are excluded from the median and counted.

    Parameters
    ----------
    training, holdout : mapping of Trials
        By subject, for each readout of the network.
    images : array of uint8, (image, 3, y, x)
        All prepared images, indexed by the trials.
    seed : int
        Seed of dropout and of the order of batches. On the CPU the same seed gives identical results.
    description : str
        Name of the fit in progress displays and errors.
    state : Path, optional
        File for the state after each epoch. If it holds a state of the same fit, the fit resumes from it and
        gives the same results as without the interruption, except for `seconds` (`gnet.fitting.resume`).

    Returns
    -------
    DataFrame
        One row per epoch: `epoch` from 1, `loss` (the objective per trial), `training_error` (mean squared
        error), `holdout_median_r`, `holdout_without_r` (voxels), `seconds`, `best`.

    Raises FitError if the loss is not finite, or no voxel has a holdout correlation; before the first batch,
    DeviceError or StorageError if memory or disk will not suffice (`gnet.fitting.estimate`).
    """
    stepper, device = Stepper(network, procedure), network.device
    rows = np.concatenate([part.image_row for trials in (training, holdout) for part in trials.values()])
    counts = {subject: len(trials.image_row) for subject, trials in training.items()}
    responses = sum(trials.response.size for trials in training.values())
    random = np.random.default_rng(seed)
    identity = "" if state is None else resume.fingerprint(network, (training, holdout), procedure, seed)
    with (
        seeded(seed),
        precision(procedure.precision, device),
        out_of_memory_advice(procedure, device),
        bar() as shown,
    ):
        task, logged = shown.add_task(description, total=procedure.epochs), -np.inf
        saved = resume.StateFile(state, identity, network, stepper.optimisers, random)
        fitted = saved.restore()
        scored = max(trials.response.size for trials in holdout.values())
        memory = estimate.memory_estimate(network, procedure, images=len(np.unique(rows)), scored=scored)
        estimate.check_resources(memory, procedure, device, state, description)
        inputs = stepper.inputs(images, rows)
        for epoch in range(len(fitted.history) + 1, procedure.epochs + 1):
            started = time.perf_counter()
            batches = epoch_batches(counts, size=procedure.batch_size, rule=procedure.batches, random=random)
            losses, errors = [], []
            for loss, error in stepper.epoch(training, batches, inputs):
                losses.append(loss)
                errors.append(error)
                shown.update(task, completed=epoch - 1 + len(losses) / len(batches))
            # Transferred once per epoch, and added in float64 on the CPU: not every device has float64.
            loss = torch.stack(losses).cpu().double()
            if not torch.isfinite(loss).all():
                kept = f" The state after epoch {epoch - 1} is in {state}." if state and epoch > 1 else ""
                raise FitError(
                    f"{description}: {not_finite(loss, errors, batches, training)} of epoch {epoch}. Lower "
                    f"trunk_learning_rate ({procedure.trunk_learning_rate}) or readout_learning_rate "
                    f"({procedure.readout_learning_rate}), or check the responses of these voxels.{kept}"
                )
            error = torch.stack([error.sum() for error in errors]).cpu().double()
            correlation = np.concatenate(
                [holdout_correlation(network, subject, inputs, part) for subject, part in holdout.items()]
            )
            if np.isnan(correlation).all():
                raise FitError(
                    f"{description}: no voxel has a holdout correlation in epoch {epoch}: every prediction "
                    "or every response is constant. Check the responses and lower the learning rates."
                )
            row = {
                "epoch": epoch,
                "loss": loss.sum().item() / sum(counts.values()),
                "training_error": error.sum().item() / responses,
                "holdout_median_r": float(np.nanmedian(correlation)),
                "holdout_without_r": int(np.isnan(correlation).sum()),
                "seconds": time.perf_counter() - started,
            }
            fitted.record(row, network)
            epochs.debug("%s: epoch %d", description, epoch, extra={"row": row})
            shown.update(task, description=f"{description}, holdout r {fitted.best_score:.3f}")
            if shown.disable and time.monotonic() - logged > SECONDS_BETWEEN_LINES:
                logged = time.monotonic()
                left = duration((procedure.epochs - epoch) * row["seconds"])
                log.info(
                    "%s: epoch %d of %d, loss %.4g, holdout r %.3f, about %s left.",
                    *(description, epoch, procedure.epochs, row["loss"], row["holdout_median_r"], left),
                )
            saved.save(fitted)
    network.load_state_dict(fitted.best_state)
    network.eval()
    table = pd.DataFrame(fitted.history)
    table["best"] = table.index == table["holdout_median_r"].idxmax()
    return table


def not_finite(
    loss: Float[Tensor, " batch"],
    errors: Sequence[Float[Tensor, " _"]],
    batches: Sequence[Batch],
    training: Mapping[str, Trials],
) -> str:
    """Where the loss of an epoch was first not finite: batch, subject and voxels."""
    batch = int((~torch.isfinite(loss)).nonzero()[0])
    subject, _ = batches[batch]
    voxels = (~torch.isfinite(errors[batch])).nonzero().flatten().cpu().numpy()
    known = training[subject].voxels
    names = voxels if known is None else known.index[voxels]
    listed = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
    where = f"{len(names)} of {len(errors[batch])} voxels ({listed})" if len(names) else "the feature weights"
    place = f"{subject}, in {where}, in batch {batch + 1} of {len(batches)}"
    return f"expected a finite loss, got {loss[batch].item()} for {place}"


@contextmanager
def out_of_memory_advice(procedure: Procedure, device: torch.device) -> Iterator[None]:
    """Context that turns running out of device memory into an error that says which parameter to set."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"{device}: expected memory for batches of {procedure.batch_size} trials and "
            f"{procedure.cache_bytes / 1e9:g} GB of images, found too little ({str(error).splitlines()[0]}). "
            f"Set fitting.cache_gigabytes to {procedure.cache_bytes / 2e9:g}, which changes no result; then "
            f"fitting.precision to bfloat16, or fitting.batch_size to {max(2, procedure.batch_size // 2)}. "
            "Is another program using the device?"
        ) from error


def holdout_correlation(
    network: GNet, subject: str, images: PrefilteredImages | FrozenMaps, trials: Trials
) -> np.ndarray:
    """Correlation of each voxel over a subject's holdout trials, (voxel,); each image is predicted once."""
    rows, image = np.unique(trials.image_row, return_inverse=True)
    return voxel_correlation(trials.response, predict(network, subject, images, rows)[image])
