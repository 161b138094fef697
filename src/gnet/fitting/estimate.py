"""Memory and disk that a fit will need, estimated from sizes and checked before it starts."""

from __future__ import annotations

import copy
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gnet.errors import DeviceError, StorageError
from gnet.fitting.first_layer import trunk_maps
from gnet.fitting.stepper import Procedure
from gnet.models.device import free_memory
from gnet.models.gnet import GNet
from gnet.models.nonlinearity import compiled_for
from gnet.models.readout import BLOCK_VOXELS
from gnet.storage.atomic import existing_level, readable_bytes

log = logging.getLogger(__name__)

PROBED = 2
"""Images in the pass from which the memory of a batch is estimated."""
COPIES_OF_POOLED = {True: 1, False: 3}
"""Arrays as large as the pooled maps of a block, with compiled passes and with torch's operations."""
COPIES_OF_MAPS = {"trained": 5, "drifting": 3, "frozen": 3}
"""Arrays as large as the maps in a sweep: value, slope, groups; for a trained trunk also gradients."""
BYTES_SCORED = 4 + 4 * 8
"""Bytes per scored response: its prediction, and four arrays in double precision."""
COPIES_OF_WEIGHTS = 4
"""In addition to the weights: gradients, Adam's two moments, the best state."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory and disk of one fit in bytes, in addition to what is in use when it starts."""

    images: int
    """Prefiltered images or frozen maps, if they are cached."""
    batch: int
    """The largest batch, forward and backward pass."""
    weights: int
    """Gradients, optimisers and the best state."""
    scoring: int
    """Predictions of the largest holdout and their correlation in double precision. 0 on a GPU."""
    disk: int
    """The state after an epoch, twice while it is being replaced."""

    @property
    def memory(self) -> int:
        """Total on the device."""
        return self.images + self.weights + max(self.batch, self.scoring)


def memory_estimate(network: GNet, procedure: Procedure, *, images: int, scored: int) -> MemoryEstimate:
    """What a fit of the network on its device needs, given its number of different images.

    `scored` is the number of responses (trials x voxels) in the largest holdout. The memory of a batch is
    scaled from what automatic differentiation keeps of two black images, which run through a copy of the
    trunk; the network and the random state are unchanged.
    """
    trunk = copy.deepcopy(network.trunk).train()
    side, device = network.architecture.pixels, network.device
    black = torch.zeros(PROBED, 3, side, side, dtype=torch.uint8, device=device)
    kept: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.random.fork_rng(devices=range(torch.accelerator.device_count())):
        prefiltered = network.prefiltered(black)
        with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
            maps = trunk_maps(trunk, prefiltered)
    of_maps = sum(grid.nbytes for grid in maps) // PROBED
    of_input = of_maps if procedure.trunk == "frozen" else prefiltered.nbytes // PROBED
    of_trunk = {"trained": sum(kept.values()) // PROBED, "drifting": 2 * of_maps, "frozen": 0}
    block = min(BLOCK_VOXELS[device.type], max(network.voxels.values()))
    copies = COPIES_OF_POOLED[compiled_for(prefiltered)]
    of_sweep = copies * block * sum(network.architecture.features) * 4
    of_sweep += COPIES_OF_MAPS[procedure.trunk] * of_maps
    weights = sum(parameter.nbytes for parameter in network.parameters())
    fits = images * of_input <= procedure.cache_bytes and not network.architecture.trainable_prefilter
    return MemoryEstimate(
        images=images * of_input if fits else 0,
        batch=procedure.batch_size * (of_trunk[procedure.trunk] + of_sweep + of_input),
        weights=COPIES_OF_WEIGHTS * weights,
        scoring=BYTES_SCORED * scored if device.type == "cpu" else 0,
        disk=2 * COPIES_OF_WEIGHTS * weights,
    )


def check_resources(
    needed: MemoryEstimate, procedure: Procedure, device: torch.device, state: Path | None, description: str
) -> None:
    """Log what a fit needs and what is free.

    Raises DeviceError, which names the parameter to change, if the device has too little free memory, and
    StorageError if the disk has too little room for the state after each epoch.
    """
    free = free_memory(device)
    room = None if state is None else shutil.disk_usage(existing_level(state)).free
    memory, disk = readable_bytes(needed.memory), readable_bytes(needed.disk)
    found = "an unknown amount" if free is None else readable_bytes(free)
    on_disk = "" if room is None else f" and {disk} on the disk ({readable_bytes(room)} free)"
    log.info("%s: needs %s of memory (%s free)%s.", description, memory, found, on_disk)
    if free is not None and needed.memory > free:
        if needed.memory - needed.images <= free:
            least = (free - needed.memory + needed.images) / 1e9
            advice = f"Set fitting.cache_gigabytes to {least:.1f} or less: slower, with the same results."
        else:
            smaller = max(2, int(procedure.batch_size * (free - needed.weights) / max(needed.batch, 1)))
            advice = f"Set fitting.cache_gigabytes to 0 and fitting.batch_size to {smaller} or less."
        raise DeviceError(
            f"{description}: expected {memory} of memory on {device} ({readable_bytes(needed.images)} for "
            f"images, {readable_bytes(needed.batch)} for a batch of {procedure.batch_size}, "
            f"{readable_bytes(needed.weights)} for optimisers), found {found} free. {advice}"
        )
    if room is not None and needed.disk > room:
        raise StorageError(
            f"{state}: expected room for {disk}, the state of the fit, found {readable_bytes(room)} on the "
            "disk. Delete files that are not needed."
        )
