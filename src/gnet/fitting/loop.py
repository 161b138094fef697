"""The training procedure: a trunk shared by subjects and a readout for each, fitted end to end."""

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
from gnet.progress import bar

log = logging.getLogger(__name__)


class FitError(GNetError, ArithmeticError):
    """The fit cannot go on: its loss or its score is no longer a number."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from the seed; outside, its state is as if nothing happened."""
    with torch.random.fork_rng(devices=range(torch.accelerator.device_count())):
        torch.manual_seed(seed)
        yield


@large_arrays_kept()
def fit(
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
    """Fit the network in place, on the device it is on, and leave it in its best state.

    The best state is that of the epoch with the highest median holdout correlation over all voxels of all
    subjects. Voxels whose correlation does not exist are left out of the median and counted.

    Parameters
    ----------
    training, holdout
        Trials of each subject that the network has a readout for.
    images
        All prepared images; the trials name rows of it.
    procedure
        How to fit.
    seed
        Of dropout and of the order of batches. On the CPU the same seed gives the same bits.
    description
        What the progress bar says.
    state
        File for the state after each epoch. If it holds one of this very fit, that is where it goes on, and
        ends with the same numbers as if it had never stopped (`seconds` apart). See `gnet.fitting.resume`.

    Returns
    -------
    History, one row an epoch: `epoch` from 1, `loss` (the objective per trial), `training_error` (mean
    squared error), `holdout_median_r`, `holdout_without_r` (voxels), `seconds`, `best`.

    Raises
    ------
    FitError
        when the loss is not finite, or no voxel has a holdout correlation.
    DeviceError, StorageError
        when memory or disk would not suffice; before the first batch (`gnet.fitting.estimate`).
    """
    stepper = Stepper(network, procedure)
    device = network.input_mean.device
    rows = np.concatenate([part.image_row for trials in (training, holdout) for part in trials.values()])
    counts = {subject: len(trials.image_row) for subject, trials in training.items()}
    responses = sum(trials.response.size for trials in training.values())
    random = np.random.default_rng(seed)
    mark = "" if state is None else resume.fingerprint(network, training, holdout, procedure, seed)

    with (
        seeded(seed),
        precision(procedure.precision, device),
        out_of_memory_advice(procedure, device),
        bar() as progress,
    ):
        standing = resume.Standing()
        if state is not None:
            standing = resume.restore(state, mark, network, stepper.optimisers, random)
        scored = max(trials.response.size for trials in holdout.values())
        needed = estimate.needs(network, procedure, images=len(np.unique(rows)), scored=scored)
        estimate.refuse_too_little(needed, procedure, device, state, description)
        inputs = stepper.inputs(images, rows)
        epochs = progress.add_task(description, total=procedure.epochs, completed=standing.epochs)
        for epoch in range(standing.epochs + 1, procedure.epochs + 1):
            started = time.perf_counter()
            batches = epoch_batches(counts, size=procedure.batch_size, rule=procedure.batches, random=random)
            losses, errors = [], []
            for loss, error in stepper.epoch(training, batches, inputs):
                losses.append(loss)
                errors.append(error)
                progress.advance(epochs, 1 / len(batches))
            # Read once an epoch, and added in float64 on the CPU: not every device has that.
            loss = torch.stack(losses).cpu().double()
            if not torch.isfinite(loss).all():
                raise FitError(
                    f"{description}: {not_finite(loss, errors, batches, training)} of epoch {epoch}, "
                    f"expected a number. Lower trunk_rate ({procedure.trunk_rate}) or readout_rate "
                    f"({procedure.readout_rate}), or look at these voxels' responses."
                    + (f" The state after epoch {epoch - 1} is in {state}." if state and epoch > 1 else "")
                )
            error = torch.stack([error.sum() for error in errors]).cpu().double()
            scores = [holdout_correlation(network, s, inputs, part) for s, part in holdout.items()]
            correlation = np.concatenate(scores)
            if np.isnan(correlation).all():
                raise FitError(
                    f"{description}: no voxel has a holdout correlation in epoch {epoch}: every prediction "
                    "or every response is constant. Check the responses and lower the rates."
                )
            score = float(np.nanmedian(correlation))
            if score > standing.best_score:
                standing.best_score = score
                standing.best_state = {
                    name: value.detach().clone() for name, value in network.state_dict().items()
                }
            standing.history.append(
                {
                    "epoch": epoch,
                    "loss": loss.sum().item() / sum(counts.values()),
                    "training_error": error.sum().item() / responses,
                    "holdout_median_r": score,
                    "holdout_without_r": int(np.isnan(correlation).sum()),
                    "seconds": time.perf_counter() - started,
                }
            )
            progress.update(epochs, description=f"{description}, holdout r {standing.best_score:.3f}")
            if state is not None:
                resume.save(state, mark, standing, network, stepper.optimisers, random)
    network.load_state_dict(standing.best_state)
    network.eval()
    table = pd.DataFrame(standing.history)
    table["best"] = table.index == table["holdout_median_r"].idxmax()
    return table


def not_finite(
    loss: Float[Tensor, " batch"],
    errors: Sequence[Float[Tensor, " _"]],
    batches: Sequence[Batch],
    training: Mapping[str, Trials],
) -> str:
    """Where the loss of an epoch first was no number: its batch, subject and voxels, in words."""
    batch = int((~torch.isfinite(loss)).nonzero()[0])
    subject, _ = batches[batch]
    voxels = (~torch.isfinite(errors[batch])).nonzero().flatten().cpu().numpy()
    names = voxels if training[subject].voxel_index is None else training[subject].voxel_index[voxels]
    listed = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
    where = f"{len(names)} of {len(errors[batch])} voxels ({listed})" if len(names) else "the feature weights"
    return (
        f"the loss of {subject} is {loss[batch].item()}, in {where}, in batch {batch + 1} of {len(batches)}"
    )


@contextmanager
def out_of_memory_advice(procedure: Procedure, device: torch.device) -> Iterator[None]:
    """Say which parameter to set, and to what, where the device's memory does not suffice."""
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
    """Correlation of every voxel over one subject's holdout trials; each image is predicted once."""
    rows, image = np.unique(trials.image_row, return_inverse=True)
    return voxel_correlation(trials.response, predict(network, subject, images, rows)[image])
