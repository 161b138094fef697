"""Where the time of a fit goes: milliseconds per trial of its parts, in batches of 100, and of products.

    python benchmarks/parts.py [--threads 2] [--voxels 500 4627] [--precisions float32 bfloat16]

Images of 227 pixels, trunk width 64, random data. The best of several batches. Needs neither Kedro nor data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from gnet.fitting.first_layer import trunk_maps
from gnet.fitting.readout_loss import readout_loss
from gnet.models.device import large_arrays_kept, precision
from gnet.models.gnet import Architecture, GNet
from gnet.models.nonlinearity import load

BATCH, PIXELS = 100, 227


def seconds(function: Callable[[], object], repeats: int) -> float:
    """The shortest of several calls, after one that does not count."""
    function()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        taken.append(time.perf_counter() - started)
    return min(taken)


def rates(repeats: int) -> dict[str, float]:
    """Tera-operations per second: of a pooling product, and of a convolution of the trunk."""
    type_ = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
    left, right = torch.rand(256, 625).to(type_), torch.rand(625, 4096).to(type_)
    maps = torch.rand(BATCH, 128, 25, 25).to(type_, memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(128, 128, 3, padding=1).to(type_, memory_format=torch.channels_last)
    product = 2 * 256 * 625 * 4096 / seconds(lambda: left @ right, 5 * repeats)
    convolution = 2 * 9 * 128 * 128 * 625 * BATCH / seconds(lambda: layer(maps), repeats)
    return {"pooling product, T/s": product / 1e12, "convolution, T/s": convolution / 1e12}


def parts(voxels: int, repeats: int) -> dict[str, float]:
    """Milliseconds per trial of each part of a fit."""
    network = GNet(Architecture(PIXELS), {"subj01": voxels}).train()
    readout, trunk = network.readout("subj01"), network.trunk
    images = torch.randint(0, 256, (BATCH, 3, PIXELS, PIXELS), dtype=torch.uint8)
    target = torch.randn(BATCH, voxels)
    with torch.no_grad():
        prefiltered = network.prefiltered(images)
        maps = trunk_maps(trunk, prefiltered)
    leaves = tuple(grid.clone().requires_grad_() for grid in maps)

    @torch.no_grad()
    def forward(function: Callable[[], object]) -> None:
        function()

    def whole_trunk() -> None:
        sum(grid.sum() for grid in trunk_maps(trunk, prefiltered)).backward()

    def swept(grids: tuple[torch.Tensor, ...]) -> None:
        readout_loss(readout, grids, target)[0].backward()

    measured = {
        "prefilter, once per image": lambda: forward(lambda: network.prefiltered(images)),
        "trunk, forward only": lambda: forward(lambda: trunk_maps(trunk, prefiltered)),
        "trunk": whole_trunk,
        f"readout, {voxels:,} voxels, gradients of maps and parameters": lambda: swept(leaves),
        f"readout, {voxels:,} voxels, gradients of parameters only": lambda: swept(maps),
        f"readout, {voxels:,} voxels, prediction only": lambda: forward(lambda: readout(maps)),
    }
    return {name: 1e3 * seconds(function, repeats) / BATCH for name, function in measured.items()}


@large_arrays_kept()
def main() -> None:
    """Measure and print a line per part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--voxels", type=int, nargs="+", default=[500, 4627])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=4)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.threads} threads; passes of the sweep: {load()[1]}")
    for name in arguments.precisions:
        with precision(name, torch.device("cpu")):
            found = rates(arguments.repeats)
            for voxels in arguments.voxels:
                found |= parts(voxels, arguments.repeats)
        for part, value in found.items():
            print(f"{name:<9} {part:<62} {value:7.3f}", flush=True)


if __name__ == "__main__":
    main()
