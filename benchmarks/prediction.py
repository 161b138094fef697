"""Speed of predicting with the four area models: a common prefilter run once, against once for each model.

    python benchmarks/prediction.py [--images 200] [--repeats 5]

Networks of full size (227 pixels, trunk width 64) with random weights and the voxels of subject 1. Both
contenders take turns in one process; the ratio is the median over pairs. Their predictions must be equal
within float32's rounding over the 1,307 products of a readout.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from gnet.evaluation.prediction import predicted_blocks
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import random_weights

SUBJECT, VOXELS = "subj01", {"V1": 1350, "V2": 1433, "V3": 1187, "hV4": 687}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    networks = [
        GNet(Architecture(227, 64), {SUBJECT: voxels}, prefilter=random_weights(0)).eval()
        for voxels in VOXELS.values()
    ]
    rows = np.arange(options.images)
    images = np.random.default_rng(0).integers(0, 256, (options.images, 3, 227, 227), np.uint8)

    def seconds(contender: list[list[GNet]]) -> tuple[float, np.ndarray]:
        start = time.perf_counter()
        predicted = [
            np.concatenate(list(predicted_blocks(part, SUBJECT, images, rows))) for part in contender
        ]
        return time.perf_counter() - start, np.concatenate(predicted, axis=1)

    once, each = [networks], [[network] for network in networks]
    seconds(once)  # not counted: memory is claimed
    pairs = []
    for _ in range(options.repeats):
        (shared, together), (separate, apart) = seconds(once), seconds(each)
        np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)
        pairs.append((shared, separate))
    shared, separate = np.median(pairs, axis=0)
    ratio = np.median([one / other for one, other in pairs])
    print(f"{options.images} images, {sum(VOXELS.values()):,} voxels in {len(VOXELS)} models")
    print(f"prefilter once {shared:.2f} s, once for each model {separate:.2f} s: {ratio:.2f} of the time")


if __name__ == "__main__":
    main()
