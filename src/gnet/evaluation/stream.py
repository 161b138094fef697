"""Predictions of more images than fit in memory, made while they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8

from gnet.evaluation.prediction import PrefilteredImages, predict
from gnet.models.gnet import GNet
from gnet.progress import track

NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True)
class PredictionStream:
    """Responses (image, voxel) of one subject's voxels, side by side for several networks, block by block.

    Has a `shape` and a `dtype`, and iterating yields consecutive blocks of images: what a dataset needs to
    store an array that is never whole in memory.
    """

    networks: Sequence[GNet]
    subject: str
    images: UInt8[np.ndarray, "image 3 y x"]
    rows: Int[np.ndarray, " row"]
    block: int = 1000
    batch_size: int = 100

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """Images, and voxels of all networks together."""
        return len(self.rows), sum(network.voxels[self.subject] for network in self.networks)

    def __iter__(self) -> Iterator[Float[np.ndarray, "block voxel"]]:
        sources = [PrefilteredImages(network, self.images, NOTHING) for network in self.networks]
        starts = range(0, len(self.rows), self.block)
        for start in track(starts, f"{self.subject}: predict {len(self.rows):,} images"):
            rows = self.rows[start : start + self.block]
            yield np.concatenate(
                [
                    predict(network, self.subject, source, rows, batch_size=self.batch_size)
                    for network, source in zip(self.networks, sources, strict=True)
                ],
                axis=1,
            )
