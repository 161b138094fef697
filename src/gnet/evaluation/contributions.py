"""What each part of the features adds to the predictions, from one pass through the network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from gnet.evaluation.prediction import PrefilteredImages, evaluated
from gnet.models.gnet import GNet


@torch.inference_mode()
def partition_contributions(
    network: GNet,
    subject: str,
    images: PrefilteredImages,
    rows: Int[np.ndarray, " row"],
    parts: Sequence[Bool[np.ndarray, " feature"]],
    *,
    batch_size: int = 100,
) -> Float[np.ndarray, "part row voxel"]:
    """Contribution of each part of the features to the evaluated network's predictions.

    If every feature is in just one part, the contributions and the readout's bias sum to the prediction.
    """
    readout = network.readout(subject)
    with evaluated(network):
        batches = [
            readout.partition_contributions(images.maps(rows[start : start + batch_size]), parts).cpu()
            for start in range(0, len(rows), batch_size)
        ]
    return torch.cat(batches, dim=1).numpy()
