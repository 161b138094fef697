"""The training procedure: a trunk shared by subjects and a readout for each, fitted end to end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor

from gnet.errors import GNetError, ParameterError
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import FrozenMaps, PrefilteredImages, predict
from gnet.fitting import resume
from gnet.fitting.batches import Trials, epoch_batches
from gnet.fitting.sweep import readout_loss
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
    cache_bytes: int = 2**31
    """How much memory prefiltered images may take; they are computed again and again beyond it."""

    def __post_init__(self) -> None:
        choices = {
            "update": ("alternating", "simultaneous"),
            "batches": ("fixed_slices", "reshuffled"),
            "trunk": ("trained", "drifting", "frozen"),
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
        self, subject: str, trunk_input: Tensor | tuple[Tensor, ...], target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update the network on one batch; the loss and the SSE of each voxel, before the last update.

        `trunk_input` is what the trunk reads or, where it is frozen, the maps that it would give.
        """
        network, procedure = self.network, self.procedure
        readout, optimiser = network.readout(subject), self.readout_optimisers[subject]
        trained = procedure.trunk == "trained"
        if trained and procedure.update == "alternating":
            readout.requires_grad_(False)
            loss, _ = readout_loss(
                readout, network.trunk(trunk_input), target, floor=procedure.correlation_floor
            )
            self.trunk_optimiser.zero_grad()
            loss.backward()
            self.trunk_optimiser.step()
            readout.requires_grad_(True)
        together = trained and procedure.update == "simultaneous"
        with torch.set_grad_enabled(together):
            maps = trunk_input if procedure.trunk == "frozen" else network.trunk(trunk_input)
        loss, error = readout_loss(readout, maps, target, floor=procedure.correlation_floor)
        loss = loss + procedure.sparsity * readout.weight.abs().sum()
        optimiser.zero_grad()
        if together:
            self.trunk_optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if together:
            self.trunk_optimiser.step()
        return loss.detach(), error.detach()


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
    if procedure.trunk == "frozen":
        network.trunk.eval()
    source = FrozenMaps if procedure.trunk == "frozen" else PrefilteredImages
    inputs = source(network, images, rows, cache_bytes=procedure.cache_bytes)
    random = np.random.default_rng(seed)
    counts = {subject: len(trials.image_row) for subject, trials in training.items()}
    responses = sum(trials.response.size for trials in training.values())
    mark = "" if state is None else resume.fingerprint(network, training, holdout, procedure, seed)

    with seeded(seed), bar() as progress:
        standing = resume.Standing()
        if state is not None:
            standing = resume.restore(state, mark, network, stepper.optimisers, random)
        epochs = progress.add_task(description, total=procedure.epochs, completed=standing.epochs)
        for epoch in range(standing.epochs + 1, procedure.epochs + 1):
            started = time.perf_counter()
            network.train()
            if procedure.trunk == "frozen":
                network.trunk.eval()
            losses, errors = [], []
            batches = epoch_batches(counts, size=procedure.batch_size, rule=procedure.batches, random=random)
            for subject, trial in batches:
                target = torch.from_numpy(training[subject].response[trial]).to(device)
                loss, error = stepper.step(subject, inputs(training[subject].image_row[trial]), target)
                losses.append(loss)
                errors.append(error.sum())
                progress.advance(epochs, 1 / len(batches))
            # Read once an epoch, and added in float64 on the CPU: not every device has that.
            total_loss, total_error = (torch.stack(parts).cpu().double().sum() for parts in (losses, errors))
            if not torch.isfinite(total_loss):
                raise FitError(
                    f"{description}: the loss is {total_loss.item()} in epoch {epoch}, expected a number. "
                    f"Lower trunk_rate ({procedure.trunk_rate}) or readout_rate ({procedure.readout_rate})."
                )
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
                    "loss": total_loss.item() / sum(counts.values()),
                    "training_error": total_error.item() / responses,
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


def holdout_correlation(
    network: GNet, subject: str, images: PrefilteredImages | FrozenMaps, trials: Trials
) -> np.ndarray:
    """Correlation of every voxel over one subject's holdout trials; each image is predicted once."""
    rows, image = np.unique(trials.image_row, return_inverse=True)
    return voxel_correlation(trials.response, predict(network, subject, images, rows)[image])
