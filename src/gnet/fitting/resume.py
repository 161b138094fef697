"""The state of a fit after each epoch, on disk, from which the same fit resumes if it was interrupted."""

from __future__ import annotations

import hashlib
import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from gnet.fitting.batches import Trials
from gnet.fitting.stepper import Procedure
from gnet.models.gnet import GNet
from gnet.storage.atomic import atomic_path
from gnet.storage.steady_file import SteadyFile

log = logging.getLogger(__name__)

VERSION = 1
UNREADABLE = (OSError, RuntimeError, EOFError, ValueError, TypeError, LookupError, pickle.UnpicklingError)


@dataclass
class FitState:
    """Progress of a fit: one row of history per epoch, and its best state."""

    history: list[dict[str, float | int]] = field(default_factory=list)
    best_score: float = -np.inf
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)

    def record(self, row: dict[str, float | int], network: GNet) -> None:
        """Store the row of an epoch, and the state of the network if it is the best so far."""
        self.history.append(row)
        if row["holdout_median_r"] > self.best_score:
            self.best_score = float(row["holdout_median_r"])
            self.best_state = {name: value.detach().clone() for name, value in network.state_dict().items()}


def fingerprint(network: GNet, parts: Sequence[Mapping[str, Trials]], procedure: Procedure, seed: int) -> str:
    """Digest of all that the result depends on: initial weights, trials, procedure, seed, torch's version.

    Images enter only through the rows of the trials and the input mean. Takes about a second per gigabyte.
    """
    digest = hashlib.blake2b(digest_size=16)
    described = {**asdict(procedure), "cache_bytes": None}  # where inputs are kept changes no result
    digest.update(repr((VERSION, seed, torch.__version__, network.architecture, described)).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    for part in parts:
        for subject, trials in part.items():
            digest.update(subject.encode())
            for array in (trials.image_row, trials.response, trials.count):
                digest.update(b"" if array is None else np.ascontiguousarray(array).data)
    return digest.hexdigest()


@dataclass
class StateFile:
    """Where the state of a fit is stored after each epoch; without a path, nowhere."""

    path: Path | None
    identity: str
    """The fingerprint of the fit."""
    network: GNet
    optimisers: Mapping[str, torch.optim.Optimizer]
    batches: np.random.Generator
    """Draws the order of batches."""

    def save(self, fitted: FitState) -> None:
        """Write the state; a crash while writing leaves that of the previous epoch."""
        if self.path is None:
            return
        device = self.network.device
        state = {
            "fingerprint": self.identity,
            **vars(fitted),
            "network": self.network.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "batches": self.batches.bit_generator.state,
            "torch": torch.get_rng_state(),
            "cuda": [torch.cuda.get_rng_state(device)] if device.type == "cuda" else [],
        }
        with atomic_path(self.path) as part, SteadyFile(part) as file:
            torch.save(state, file)

    def restore(self) -> FitState:
        """Restore everything as it was after the last epoch on disk; a fresh state if there is none.

        States of a fit with another fingerprint and files that cannot be read are reported and ignored; the
        next epoch overwrites them.
        """
        if self.path is None or not self.path.is_file():
            return FitState()
        try:
            state = torch.load(self.path, map_location=self.network.device, weights_only=True)
            if state["fingerprint"] != self.identity:
                log.warning("%s: state of a fit with other parameters or data. Starting afresh.", self.path)
                return FitState()
            fitted = FitState(state["history"], state["best_score"], state["best_state"])
        except UNREADABLE as error:
            log.warning("%s: the state cannot be read (%s). Starting afresh.", self.path, error)
            return FitState()
        self.network.load_state_dict(state["network"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        self.batches.bit_generator.state = state["batches"]
        torch.set_rng_state(state["torch"].cpu())
        for generator in state["cuda"]:  # of the fit's own device: elsewhere it may have another number
            torch.cuda.set_rng_state(generator.cpu(), self.network.device)
        log.info("%s: resuming after epoch %d.", self.path, len(fitted.history))
        return fitted
