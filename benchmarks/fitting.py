"""Speed of fitting: ours against a plain transcription of the published training procedure, per epoch.

    python benchmarks/fitting.py [--geometries a b c] [--contenders plain published revised] [--threads 2]

Contenders: `plain`, `published`, `revised`; ours with a precision as well, as in `revised-bfloat16`.

Both use the same random data, initial weights, dropout and batches, each in its own process. The plain one
follows the published code without optimisation: two passes per batch through the whole network, including
gradients of the frozen prefilter; channels-first tensors; the readout's whole (voxel, image, feature) array;
after each epoch a prediction of every image of the subject, with its gradient graph; one numpy.corrcoef per
voxel. Trials, holdout trials and images are in NSD's proportions. Needs neither Kedro nor data.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from gnet.fitting.batches import Trials, epoch_batches
from gnet.fitting.loop import fit_network, seeded
from gnet.fitting.stepper import Procedure
from gnet.models.device import resolve_device
from gnet.models.gnet import Architecture, GNet


@dataclass(frozen=True)
class Geometry:
    """Sizes of a comparison, for one subject."""

    pixels: int
    voxels: int
    trials: int
    """Training trials. NSD's subject 1 has 24,300 of them, 2,700 holdout trials, and 10,000 images."""
    trunk_width: int = 64
    batch_size: int = 100

    @property
    def holdout(self) -> int:
        """Number of holdout trials: a tenth of all that are not test trials."""
        return round(self.trials / 9)

    @property
    def images(self) -> int:
        """Number of images of the subject."""
        return round(self.trials * 10_000 / 24_300)


GEOMETRIES = {
    "a": Geometry(pixels=227, voxels=500, trials=600),
    "b": Geometry(pixels=227, voxels=4627, trials=200),
    "c": Geometry(pixels=75, voxels=375, trials=1080, trunk_width=16),
    "subj01": Geometry(pixels=227, voxels=4627, trials=24_300),
    "tiny": Geometry(pixels=47, voxels=7, trials=90, trunk_width=4, batch_size=20),
}
"""`c`: the demo's joint model, one subject. `subj01`: full size, for a GPU. `tiny`: for tests."""


class PlainReadout(nn.Module):
    """The readout written as its equations, with whole intermediate arrays."""

    def __init__(self, voxels: int, grids: tuple[int, int], features: tuple[int, int]) -> None:
        super().__init__()
        self.split = features
        self.fields = nn.ParameterList(nn.Parameter(torch.ones(voxels, side, side)) for side in grids)
        self.weight = nn.Parameter(torch.zeros(voxels, sum(features)))
        self.bias = nn.Parameter(torch.zeros(voxels))

    @staticmethod
    def nonlinearity(values: Tensor) -> Tensor:
        return torch.tanh(values) * torch.log(1 + torch.abs(values))

    def forward(self, groups: tuple[Tensor, Tensor]) -> Tensor:
        pooled = []
        for maps, free in zip(groups, self.fields, strict=True):
            field = functional.softmax(free.flatten(1), dim=1)
            pooled.append(torch.tensordot(field, self.nonlinearity(maps).flatten(2), dims=([1], [2])))
        features = self.nonlinearity(torch.cat(pooled, dim=2))  # voxel, image, feature
        return torch.bmm(features, self.weight[:, :, None])[:, :, 0].T + self.bias


class PlainGNet(nn.Module):
    """The whole network for one subject; prefilter and trunk have our structure but run channels first."""

    def __init__(self, network: GNet) -> None:
        super().__init__()
        architecture = network.architecture
        fresh = GNet(architecture, network.voxels)
        self.prefilter, self.trunk = fresh.prefilter, fresh.trunk
        self.readout = PlainReadout(network.voxels["subj01"], architecture.grids, architecture.features)
        self.prefilter.load_state_dict(network.prefilter.state_dict())
        self.trunk.load_state_dict(network.trunk.state_dict())
        self.readout.load_state_dict(network.readouts["subj01"].state_dict())
        self.prefilter.requires_grad_(True)
        self.register_buffer("mean", network.input_mean.detach().clone().view(3, 1, 1))
        self.to(memory_format=torch.contiguous_format)

    def forward(self, images: Tensor) -> Tensor:
        return self.readout(self.trunk(self.prefilter(images - self.mean)))


def plain_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Squared errors weighted by each voxel's squared batch correlation (paper and published code)."""
    error = torch.sum((prediction - target) ** 2, dim=0)
    with torch.no_grad():
        p = prediction - prediction.mean(dim=0, keepdim=True)
        t = target - target.mean(dim=0, keepdim=True)
        correlation = (p * t).mean(dim=0) / torch.sqrt((p**2).mean(dim=0) * (t**2).mean(dim=0) + 1e-6)
        weight = torch.clamp(correlation**2, min=0.1, max=1)
    return torch.sum(weight * error) / weight.mean()


def plain_epochs(
    network: GNet,
    training: Trials,
    holdout: Trials,
    images: np.ndarray,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
) -> list[dict[str, float]]:
    """Transcription of the published procedure; returns one row per epoch."""
    device = network.device
    plain = PlainGNet(network).to(device)
    trunk_optimiser = torch.optim.Adam(plain.trunk.parameters(), lr=1e-3)
    readout_optimiser = torch.optim.Adam(plain.readout.parameters(), lr=1e-3)
    scaled = (images / 255).astype(np.float32)
    random = np.random.default_rng(seed)
    history = []
    with seeded(seed):
        for _ in range(epochs):
            started = time.perf_counter()
            plain.train()
            total = 0.0
            batches = epoch_batches(
                {"subj01": len(training.image_row)}, size=batch_size, rule="fixed_slices", random=random
            )
            for _, trial in batches:
                batch = torch.from_numpy(scaled[training.image_row[trial]]).to(device)
                target = torch.from_numpy(training.response[trial]).to(device)
                loss = plain_loss(plain(batch), target)
                trunk_optimiser.zero_grad()
                loss.backward()
                trunk_optimiser.step()
                loss = plain_loss(plain(batch), target) + 0.1 * plain.readout.weight.abs().sum()
                readout_optimiser.zero_grad()
                loss.backward()
                readout_optimiser.step()
                total += loss.item()
            fitted = time.perf_counter()
            plain.eval()
            predicted = np.concatenate(
                [
                    plain(torch.from_numpy(scaled[start : start + 100]).to(device)).detach().cpu().numpy()
                    for start in range(0, len(scaled), 100)
                ]
            )[holdout.image_row]
            correlation = [
                np.corrcoef(predicted[:, voxel], holdout.response[:, voxel])[0, 1]
                for voxel in range(predicted.shape[1])
            ]
            history.append(
                {
                    "loss": total / len(training.image_row),
                    "holdout_median_r": float(np.median(correlation)),
                    "seconds": time.perf_counter() - started,
                    "scoring_seconds": time.perf_counter() - fitted,
                }
            )
    return history


def generated(geometry: Geometry, seed: int = 1) -> tuple[Trials, Trials, np.ndarray]:
    """Training and holdout trials and images: smooth noise, with responses that depend on it linearly."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (geometry.images, 3, 16, 16), dtype=np.uint8)
    place = np.linspace(0, 15.99, geometry.pixels).astype(int)
    images = coarse[:, :, place[:, None], place]
    filters = random.standard_normal((3 * 16 * 16, geometry.voxels), dtype=np.float32) / 28
    signal = (coarse.reshape(geometry.images, -1) / 128 - 1).astype(np.float32) @ filters

    def trials(count: int) -> Trials:
        row = random.integers(0, geometry.images, count)
        noise = random.standard_normal((count, geometry.voxels), dtype=np.float32)
        return Trials(row, signal[row] + noise)

    return trials(geometry.trials), trials(geometry.holdout), images


def contend(
    contender: str, geometry: Geometry, epochs: int, device: str, options: dict[str, Any]
) -> dict[str, Any]:
    """History of one contender, its duration and the peak memory of its process."""
    where = resolve_device(device)
    training, holdout, images = generated(geometry)
    with seeded(1):
        network = GNet(
            Architecture(pixels=geometry.pixels, trunk_width=geometry.trunk_width),
            {"subj01": geometry.voxels},
            input_mean=np.full(3, 0.5),
        ).to(where)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    protocol, _, precision = contender.partition("-")
    if contender == "plain":
        history = plain_epochs(
            network, training, holdout, images, epochs=epochs, batch_size=geometry.batch_size, seed=1
        )
    else:
        choices = {
            "published": {"update": "alternating", "batches": "fixed_slices"},
            "revised": {"update": "simultaneous", "batches": "reshuffled"},
        }[protocol]
        choices |= {"precision": precision or "float32"}
        procedure = Procedure(epochs=epochs, batch_size=geometry.batch_size, **(choices | options))
        with contextlib.redirect_stdout(sys.stderr):
            table = fit_network(
                network,
                {"subj01": training},
                {"subj01": holdout},
                images,
                procedure=procedure,
                seed=1,
            )
        history = table.to_dict("records")
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cuda = torch.cuda.max_memory_allocated() if where.type == "cuda" else 0
    return {"history": history, "seconds": seconds, "peak_gb": (peak - before) / 1e6, "cuda_gb": cuda / 1e9}


def main() -> None:
    """Run every contender in its own process and print the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--geometries", nargs="+", default=["a", "b", "c"], choices=list(GEOMETRIES))
    parser.add_argument("--contenders", nargs="+", default=["plain", "published", "revised"])
    parser.add_argument("--epochs", type=int, default=2, help="number of epochs; the fastest counts")
    parser.add_argument("--rounds", type=int, default=1, help="times that all contenders take turns")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--options", type=json.loads, default={}, help="fields of Procedure as JSON, for ours only"
    )
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.one:
        [contender], [geometry] = arguments.contenders, arguments.geometries
        result = contend(
            contender, GEOMETRIES[geometry], arguments.epochs, arguments.device, arguments.options
        )
        print(json.dumps(result))
        return
    for name in arguments.geometries:
        geometry = GEOMETRIES[name]
        table = Table(
            "contender",
            *(
                "trials/s",
                "ratio",
                "epoch s",
                "once s",
                "loss",
                "holdout r",
                "RAM GB",
                "CUDA GB",
            ),
            title=f"geometry {name}: {geometry.pixels} px, {geometry.voxels:,} voxels, "
            f"{geometry.trials:,} trials, {arguments.device}, {arguments.threads} threads",
        )
        reference, results = None, {}
        for contender in arguments.contenders * arguments.rounds:
            command = [
                sys.executable,
                __file__,
                "--one",
                *("--contenders", contender, "--geometries", name, "--device", arguments.device),
                *("--epochs", str(arguments.epochs), "--threads", str(arguments.threads)),
                *("--options", json.dumps(arguments.options)),
            ]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            results.setdefault(contender, []).append(json.loads(done.stdout.splitlines()[-1]))
        for contender, of_rounds in results.items():
            seconds = [row["seconds"] for result in of_rounds for row in result["history"]]
            result = of_rounds[0]
            once = min(one["seconds"] - sum(row["seconds"] for row in one["history"]) for one in of_rounds)
            reference = reference or min(seconds)
            table.add_row(
                contender,
                f"{geometry.trials / min(seconds):.1f}",
                f"{reference / min(seconds):.2f}",
                f"{min(seconds):.2f}",
                f"{once:.2f}",
                " ".join(f"{row['loss']:.4f}" for row in result["history"]),
                f"{result['history'][-1]['holdout_median_r']:.4f}",
                f"{result['peak_gb']:.2f}",
                f"{result['cuda_gb']:.2f}",
            )
        Console(width=130).print(table)


if __name__ == "__main__":
    main()
