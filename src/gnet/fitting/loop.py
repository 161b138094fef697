"""The training procedure: a trunk shared by subjects and a readout for each, fitted end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gnet.errors import DeviceError, GNetError, ParameterError
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import FrozenMaps, PrefilteredImages, predict, read_ahead
from gnet.fitting import resume
from gnet.fitting.batches import Batch, Trials, epoch_batches
from gnet.fitting.sweep import readout_loss
from gnet.models.device import PRECISIONS, precision
from gnet.models.gnet import GNet
from gnet.progress import bar


class FitError(GNetError, ArithmeticError):
    """The fit cannot go on: its loss or its score is no longer a number."""


@dataclass(frozen=True)
class Procedure:
    """How to fit. Defaults are the published values (facts of the paper and its code)."""

    update: str = "alternating"
    """`alternating`: a trunk step, then a second forward pass with fresh dropout and a readout step.
    `simultaneous`: one forward and backward pass, both step."""
    batches: str = "fixed_slices"
    """See `epoch_batches`."""
    trunk: str = "trained"
    """`trained`; `drifting`: fixed weights in training mode, so that dropout acts and running statistics
    move; `frozen`: evaluation mode, nothing of the trunk changes."""
    epochs: int = 50
    batch_size: int = 100
    trunk_rate: float = 1e-3
    readout_rate: float = 1e-3
    sparsity: float = 0.1
    """Factor of the sum of absolute feature weights (L1)."""
    correlation_floor: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    precision: str = "float32"
    """Of convolutions and matrix products: see `gnet.models.device.precision`."""
    cache_bytes: int = 2**31
    """How much memory prefiltered images may take; they are computed again and again beyond it."""

    def __post_init__(self) -> None:
        choices = {
            "update": ("alternating", "simultaneous"),
            "batches": ("fixed_slices", "reshuffled"),
            "trunk": ("trained", "drifting", "frozen"),
            "precision": PRECISIONS,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ParameterError(f"{name}: expected {' or '.join(allowed)}, got {getattr(self, name)!r}.")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch's random numbers follow from the seed; outside, its state is as if nothing happened."""
    with torch.random.fork_rng(devices=range(torch.accelerator.device_count())):
        torch.manual_seed(seed)
        yield


class Stepper:
    """One network, its optimisers, and what a single batch does to them.

    One Adam for the trunk and one for each subject's readout, so that a batch moves only what it concerns.
    """

    def __init__(self, network: GNet, procedure: Procedure) -> None:
        self.network, self.procedure = network, procedure

        def adam(parameters: Iterator[torch.nn.Parameter], rate: float) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, lr=rate, betas=procedure.betas, eps=procedure.eps)

        shared = [*network.trunk.parameters()]
        shared += [weight for weight in network.prefilter.parameters() if weight.requires_grad]
        self.trunk_optimiser = adam(iter(shared), procedure.trunk_rate)
        self.readout_optimisers = {
            subject: adam(readout.parameters(), procedure.readout_rate)
            for subject, readout in network.readouts.items()
        }

    @property
    def optimisers(self) -> dict[str, torch.optim.Adam]:
        """All of them by name."""
        return {"trunk": self.trunk_optimiser, **self.readout_optimisers}

    def step(
        self,
        subject: str,
        trunk_input: Tensor | tuple[Tensor, ...],
        target: Tensor,
        counts: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Update the network on one batch; the loss and the SSE of each voxel, before the last update.

        `trunk_input` is what the trunk reads or, where it is frozen, the maps that it would give. `counts`
        says as how many trials each of them counts; one each if it is None.
        """
        network, procedure = self.network, self.procedure
        readout, optimiser = network.readout(subject), self.readout_optimisers[subject]
        trained = procedure.trunk == "trained"
        alternating = trained and procedure.update == "alternating"
        if alternating:
            readout.requires_grad_(False)
            maps = network.trunk(trunk_input)
            loss, trunk_error = readout_loss(
                readout, maps, target, floor=procedure.correlation_floor, counts=counts
            )
            sound = torch.isfinite(loss.detach())
            self.trunk_optimiser.zero_grad()
            loss.backward()
            self.trunk_optimiser.step()
            readout.requires_grad_(True)
        together = trained and not alternating
        with torch.set_grad_enabled(together):
            maps = trunk_input if procedure.trunk == "frozen" else network.trunk(trunk_input)
        loss, error = readout_loss(readout, maps, target, floor=procedure.correlation_floor, counts=counts)
        loss = loss + procedure.sparsity * readout.weight.abs().sum()
        optimiser.zero_grad()
        if together:
            self.trunk_optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if together:
            self.trunk_optimiser.step()
        if alternating:  # where the first pass failed, its errors tell which voxels began it
            error = torch.where(sound, error, trunk_error)
        return loss.detach(), error.detach()

    def inputs(
        self, images: UInt8[np.ndarray, "image 3 y x"], rows: Int[np.ndarray, " row"]
    ) -> PrefilteredImages | FrozenMaps:
        """What the steps read, for all rows that will be asked for."""
        frozen = self.procedure.trunk == "frozen"
        self.network.train()
        if frozen:
            self.network.trunk.eval()
        source = FrozenMaps if frozen else PrefilteredImages
        return source(self.network, images, rows, cache_bytes=self.procedure.cache_bytes)

    def epoch(
        self, training: Mapping[str, Trials], batches: Sequence[Batch], inputs: PrefilteredImages | FrozenMaps
    ) -> Iterator[tuple[Float[Tensor, ""], Float[Tensor, " _"]]]:
        """Step through the batches; of each, the loss and the SSE of each voxel. Data are read one ahead."""
        self.network.train()
        if self.procedure.trunk == "frozen":
            self.network.trunk.eval()
        device = self.network.input_mean.device

        def read(batch: Batch) -> tuple[Tensor | None, Tensor, Tensor | None]:
            subject, trial = batch
            trials = training[subject]
            counts = None
            if trials.count is not None:
                counts = torch.from_numpy((trials.count[trial] / trials.count.mean()).astype(np.float32))
            return inputs.read(trials.image_row[trial]), torch.from_numpy(trials.response[trial]), counts

        for (subject, trial), (pixels, target, counts) in read_ahead(read, batches):
            trunk_input = inputs(training[subject].image_row[trial], pixels)
            counts = None if counts is None else counts.to(device)
            yield self.step(subject, trunk_input, target.to(device), counts)


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
