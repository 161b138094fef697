"""Speed of the analyses, relative to the way the published notebooks compute the same numbers.

    python benchmarks/analyses.py [--voxels 500] [--images 200]

Three comparisons, each checked for equal results and timed in one process: tuning from the contributions of
one forward pass against one pass of the network per part and kind of share; the bootstrap as matrix products
against a loop of numpy.corrcoef over resamples and voxels; the noise factor by eigendecomposition against
gradient descent. Sizes are those of one area of one subject. For the slow sides of the second and third, a
fraction of the work is timed and scaled up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from gnet.analysis.noise_model import covariance_factor
from gnet.evaluation.prediction import PrefilteredImages, partition_contributions, predict
from gnet.evaluation.resampling import resample_counts, resampled_correlation
from gnet.models.gnet import Architecture, GNet
from gnet.models.partitions import layerwise


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """Result of a function and its duration in seconds."""
    started = time.perf_counter()
    return function(), time.perf_counter() - started


def tuning(voxels: int, images: int) -> tuple[float, float]:
    """Seconds for scores with and without each of the seven layers: ours, and with one pass per score."""
    network = GNet(Architecture(227, 64), {"subj01": voxels}).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, 227, 227), dtype=np.uint8)
    source, rows = PrefilteredImages(network, pixels, np.arange(images)), np.arange(images)
    parts = list(layerwise(64).values())
    readout = network.readout("subj01")
    weight = readout.weight.detach().clone()

    def ours() -> np.ndarray:
        contributions = partition_contributions(network, "subj01", source, rows, parts)
        rest = contributions.sum(0) - contributions
        return np.concatenate([contributions, rest]) + readout.bias.detach().numpy()

    def once_per_partition() -> np.ndarray:
        predicted = []
        for mask in [*parts, *(~part for part in parts)]:
            with torch.no_grad():
                readout.weight.copy_(weight * torch.as_tensor(mask))
            predicted.append(predict(network, "subj01", source, rows))
        with torch.no_grad():
            readout.weight.copy_(weight)
        return np.stack(predicted)

    (found, fast), (expected, slow) = timed(ours), timed(once_per_partition)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    return fast, slow


def bootstrap(voxels: int, trials: int = 3000, resamples: int = 64, looped: int = 4) -> tuple[float, float]:
    """Seconds for 64 resamples of 3,000 test trials, ours and a loop, which is run for `looped` of them."""
    random = np.random.default_rng(0)
    measured = random.standard_normal((trials, voxels)).astype(np.float32)
    predicted = measured + random.standard_normal((trials, voxels)).astype(np.float32)
    draws = random.integers(trials, size=(resamples, trials))

    def loop() -> np.ndarray:
        return np.array(
            [
                [np.corrcoef(measured[draw, v], predicted[draw, v])[0, 1] for v in range(voxels)]
                for draw in draws[:looped]
            ]
        )

    (found, fast), (expected, slow) = (
        timed(lambda: resampled_correlation(measured, predicted, resample_counts(draws, len(measured)))),
        timed(loop),
    )
    np.testing.assert_allclose(found[:looped], expected, atol=1e-5)
    return fast, slow * resamples / looped


def noise_factor(voxels: int, steps: int = 20_000, descended: int = 200) -> tuple[float, float, float, float]:
    """Seconds and squared error of both; the descent runs for `descended` of its published 20,000 steps."""
    random = np.random.default_rng(0)
    loadings = random.standard_normal((voxels, voxels + 10)) / np.sqrt(voxels)
    covariance = loadings @ loadings.T
    factor, fast = timed(lambda: covariance_factor(covariance))
    target = torch.as_tensor(covariance)
    free = torch.eye(voxels, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([free], lr=1e-3)

    def descend() -> float:
        for _ in range(descended):
            optimiser.zero_grad()
            loss = ((free @ free.T - target) ** 2).sum()
            loss.backward()
            optimiser.step()
        return loss.item()

    loss, slow = timed(descend)
    return fast, slow * steps / descended, float(((factor @ factor.T - covariance) ** 2).sum()), loss


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voxels", type=int, default=500)
    parser.add_argument("--images", type=int, default=200)
    arguments = parser.parse_args()
    print(f"{'':30}{'ours, s':>10}{'published way, s':>18}{'ratio':>8}")
    fast, slow = tuning(arguments.voxels, arguments.images)
    print(f"{'tuning, 14 scores':30}{fast:10.2f}{slow:18.1f}{slow / fast:8.1f}")
    fast, slow = bootstrap(arguments.voxels)
    print(f"{'bootstrap, 64 resamples':30}{fast:10.2f}{slow:18.1f}{slow / fast:8.1f}")
    fast, slow, loss, descent = noise_factor(arguments.voxels)
    print(f"{'noise factor':30}{fast:10.2f}{slow:18.1f}{slow / fast:8.1f}")
    print(f"squared error of the factor: {loss:.1e}; of the descent after 200 steps: {descent:.1e}")


if __name__ == "__main__":
    main()
