"""Optimisation steps on single batches, and the procedure that defines them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gnet.errors import ParameterError
from gnet.evaluation.prediction import FrozenMaps, PrefilteredImages, read_ahead
from gnet.fitting.batches import Batch, Trials
from gnet.fitting.first_layer import trunk_maps
from gnet.fitting.readout_loss import readout_loss
from gnet.models.device import PRECISIONS
from gnet.models.gnet import GNet


@dataclass(frozen=True)
class Procedure:
    """How to fit. Defaults are the published values (paper and code)."""

    update: str = "alternating"
    """`alternating`: a trunk step, then a second forward pass with fresh dropout and a readout step.
    `simultaneous`: one forward and backward pass, then a step of both."""
    batches: str = "fixed_slices"
    """See `epoch_batches`."""
    trunk: str = "trained"
    """`trained`; `drifting`: fixed weights in training mode, so that dropout acts and running statistics
    change; `frozen`: evaluation mode, nothing in the trunk changes."""
    epochs: int = 50
    batch_size: int = 100
    trunk_learning_rate: float = 1e-3
    readout_learning_rate: float = 1e-3
    l1: float = 0.1
    """Weight of the L1 penalty: factor of the sum of absolute feature weights."""
    correlation_floor: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    precision: str = "float32"
    """Of convolutions and matrix products: see `gnet.models.device.precision`, and for `auto`
    `resolve_precision`."""
    compiled: bool = False
    """Whether to compile the trunk with torch.compile: a minute once, then fewer, larger kernels on a GPU."""
    cache_bytes: int = 2**31
    """Memory for prefiltered images, bytes. If they do not fit, they are recomputed for every batch."""

    def __post_init__(self) -> None:
        choices = {
            "update": ("alternating", "simultaneous"),
            "batches": ("fixed_slices", "reshuffled"),
            "trunk": ("trained", "drifting", "frozen"),
            "precision": ("auto", *PRECISIONS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ParameterError(f"{name}: expected {' or '.join(allowed)}, got {getattr(self, name)!r}.")


class Stepper:
    """A network and its optimisers, updated one batch at a time.

    One Adam optimises the trunk and one each subject's readout, so a batch leaves other readouts unchanged.
    """

    def __init__(self, network: GNet, procedure: Procedure) -> None:
        self.network, self.procedure = network, procedure
        self.maps = torch.compile(trunk_maps) if procedure.compiled else trunk_maps

        def adam(parameters: Iterable[torch.nn.Parameter], rate: float) -> torch.optim.Adam:
            return torch.optim.Adam(parameters, lr=rate, betas=procedure.betas, eps=procedure.eps)

        shared = [*network.trunk.parameters()]
        shared += [weight for weight in network.prefilter.parameters() if weight.requires_grad]
        self.trunk_optimiser = adam(shared, procedure.trunk_learning_rate)
        self.readout_optimisers = {
            subject: adam(readout.parameters(), procedure.readout_learning_rate)
            for subject, readout in network.readouts.items()
        }

    @property
    def optimisers(self) -> dict[str, torch.optim.Adam]:
        """All optimisers by name."""
        return {"trunk": self.trunk_optimiser, **self.readout_optimisers}

    def step(
        self,
        subject: str,
        trunk_input: Tensor | tuple[Tensor, ...],
        target: Float[Tensor, "trial voxel"],
        counts: Float[Tensor, " trial"] | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " voxel"]]:
        """Update the network on a batch; return its loss and each voxel's SSE before the last update.

        `trunk_input` are the prefiltered images of the trials, or the maps of a frozen trunk. `counts`
        weights each row as that many trials.
        """
        procedure, readout = self.procedure, self.network.readout(subject)
        trained = procedure.trunk == "trained"
        alternating = trained and procedure.update == "alternating"
        together = trained and not alternating

        def forward(*, for_trunk: bool) -> tuple[Tensor, Tensor]:
            maps = trunk_input
            if not isinstance(maps, tuple):
                with torch.set_grad_enabled(for_trunk):
                    maps = self.maps(self.network.trunk, maps)
            if not for_trunk:  # the maps of a trained prefilter that the readout sees still have a graph
                maps = tuple(grid.detach() for grid in maps)
            return readout_loss(readout, maps, target, floor=procedure.correlation_floor, counts=counts)

        if alternating:
            readout.requires_grad_(False)
            loss, trunk_error = forward(for_trunk=True)
            sound = torch.isfinite(loss.detach())
            self.trunk_optimiser.zero_grad()
            loss.backward()
            self.trunk_optimiser.step()
            readout.requires_grad_(True)
        loss, error = forward(for_trunk=together)
        loss = loss + procedure.l1 * readout.weight.abs().sum()
        optimisers = [self.readout_optimisers[subject], *([self.trunk_optimiser] if together else [])]
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        if alternating:  # if the loss of the first pass is not finite, its errors show in which voxels
            error = torch.where(sound, error, trunk_error)
        return loss.detach(), error.detach()

    def inputs(
        self, images: UInt8[np.ndarray, "image 3 y x"], rows: Int[np.ndarray, " row"]
    ) -> PrefilteredImages | FrozenMaps:
        """Inputs of the steps, for all rows of images that will be requested."""
        self._set_mode()
        source = FrozenMaps if self.procedure.trunk == "frozen" else PrefilteredImages
        return source(self.network, images, rows, cache_bytes=self.procedure.cache_bytes)

    def _set_mode(self) -> None:
        self.network.train()
        self.network.trunk.train(self.procedure.trunk != "frozen")

    def epoch(
        self, training: Mapping[str, Trials], batches: Sequence[Batch], inputs: PrefilteredImages | FrozenMaps
    ) -> Iterator[tuple[Float[Tensor, ""], Float[Tensor, " _"]]]:
        """Step through the batches and yield what `step` returns. Data are read one batch ahead."""
        self._set_mode()
        device = self.network.device

        def read(batch: Batch) -> tuple[Tensor | None, Tensor, Tensor | None]:
            subject, trial = batch
            trials, counts = training[subject], None
            if trials.count is not None:
                counts = torch.from_numpy((trials.count[trial] / trials.count.mean()).astype(np.float32))
            return inputs.read(trials.image_row[trial]), torch.from_numpy(trials.response[trial]), counts

        for (subject, trial), (pixels, target, counts) in read_ahead(read, batches):
            trunk_input = inputs(training[subject].image_row[trial], pixels)
            counts = None if counts is None else counts.to(device)
            yield self.step(subject, trunk_input, target.to(device), counts)
