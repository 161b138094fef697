"""A small fit for a process that will be killed; imported by that process, so it is a module of its own."""

from pathlib import Path

import numpy as np
import torch

from gnet.fitting.batches import Trials
from gnet.fitting.loop import fit_network, seeded
from gnet.fitting.stepper import Procedure
from gnet.models.gnet import Architecture, GNet


def main(folder: Path, ready) -> None:
    """Fit, with the state in `fit.pt`, and leave weights and history in `result.pt`."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 3, 47, 47), dtype=np.uint8)

    def part(rows: np.ndarray) -> dict[str, Trials]:
        return {"subj01": Trials(rows, random.standard_normal((len(rows), 4)).astype(np.float32))}

    training, holdout = part(np.arange(50)), part(np.arange(50, 60))
    with seeded(1):
        network = GNet(Architecture(47, 4), {"subj01": 4})
    ready.set()
    procedure = Procedure(epochs=12, batch_size=10)
    state = folder / "fit.pt"
    history = fit_network(network, training, holdout, images, procedure=procedure, seed=2, state=state)
    kept = history.drop(columns="seconds").to_dict("list")
    torch.save((network.state_dict(), kept), folder / "result.pt")
