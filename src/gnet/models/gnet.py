"""The complete network: a prefilter, a trunk and one readout per subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from gnet.errors import ParameterError
from gnet.models.prefilter import Prefilter, Weights
from gnet.models.readout import Readout
from gnet.models.trunk import COARSE, FINE, PREFILTER, Trunk, grid_sizes, layer_features


@dataclass(frozen=True)
class Architecture:
    """Everything that determines the shapes and the forward computation of a GNet."""

    pixels: int = 227
    """Side of the square input images."""
    trunk_width: int = 64
    """Feature maps per trunk layer that the readout sees (the first layer always has 128)."""
    pass_through: int | None = None
    """Additional maps per layer that only the layers above see. None: as many as `trunk_width`."""
    readout: str = "layerwise"
    """`layerwise`: one pooling field per resolution. `single_field`: one field, resampled."""
    dropout: float = 0.5
    batch_norm_momentum: float = 0.25
    """Weight of the newest batch in the running statistics of batch normalisation."""
    trainable_prefilter: bool = False
    prefilter_readout: bool = False
    """Whether the readout also sees the prefilter's maps, on a third and finest grid."""

    def __post_init__(self) -> None:
        grid_sizes(self.pixels)
        if self.readout not in ("layerwise", "single_field"):
            raise ParameterError(f"readout: expected layerwise or single_field, got {self.readout!r}.")

    @property
    def grids(self) -> tuple[int, ...]:
        """Side of the feature maps that the readout sees: (prefilter,) fine and coarse."""
        fine, coarse = grid_sizes(self.pixels)
        return (fine + 2, fine, coarse) if self.prefilter_readout else (fine, coarse)

    @property
    def features(self) -> tuple[int, ...]:
        """Number of feature maps that the readout sees on each grid."""
        maps = layer_features(self.trunk_width, prefilter=self.prefilter_readout)
        groups = (PREFILTER, FINE, COARSE) if self.prefilter_readout else (FINE, COARSE)
        return tuple(sum(maps[name] for name in group) for group in groups)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class GNet(nn.Module):
    """A trunk shared by all subjects, a readout for each.

    `voxels` is the number of voxels of each subject; `prefilter` the weights of the first two layers (random
    from torch's generator by default); `input_mean`, (3,), the mean colour, subtracted from images in
    [0, 1], which are not scaled (zero by default).
    """

    input_mean: Tensor

    def __init__(
        self,
        architecture: Architecture,
        voxels: Mapping[str, int],
        *,
        prefilter: Weights | None = None,
        input_mean: Float[np.ndarray, " 3"] | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        mean = np.zeros(3) if input_mean is None else input_mean
        self.register_buffer("input_mean", torch.as_tensor(mean, dtype=torch.float32).reshape(3))
        self.prefilter = Prefilter(exposed=architecture.prefilter_readout)
        if prefilter is not None:
            tensors = {name: torch.as_tensor(np.asarray(array)) for name, array in prefilter.items()}
            self.prefilter.load_state_dict(tensors)
        self.prefilter.requires_grad_(architecture.trainable_prefilter)
        self.trunk = Trunk(
            architecture.trunk_width,
            pass_through=architecture.pass_through,
            prefilter_readout=architecture.prefilter_readout,
            dropout=architecture.dropout,
            momentum=architecture.batch_norm_momentum,
        )
        grids, features = architecture.grids, architecture.features
        single = architecture.readout == "single_field"
        self.readouts = nn.ModuleDict(
            {name: Readout(count, grids, features, single_field=single) for name, count in voxels.items()}
        )
        # Convolutions are faster, and readouts pool, in this order. Maps take the order of the weights.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def voxels(self) -> dict[str, int]:
        """Number of voxels of each subject."""
        return {subject: len(self.readout(subject).bias) for subject in self.readouts}

    @property
    def device(self) -> torch.device:
        """The device that holds the network."""
        return self.input_mean.device

    def readout(self, subject: str) -> Readout:
        """The subject's readout; ParameterError for a subject the model does not have."""
        if subject not in self.readouts:
            raise ParameterError(f"{subject}: this model has readouts for {', '.join(self.readouts)}.")
        return cast(Readout, self.readouts[subject])

    def prefiltered(
        self, images: UInt8[Tensor, "image 3 y x"] | Float[Tensor, "image 3 y x"]
    ) -> Float[Tensor, "image _ v u"]:
        """Input of the trunk: images (uint8 or floats in [0, 1]) less the input mean, prefiltered.

        Builds no gradient graph unless the prefilter is trained or the images require a gradient.
        """
        side = self.architecture.pixels
        if tuple(images.shape[1:]) != (3, side, side):
            raise ParameterError(
                f"images: expected (n, 3, {side}, {side}), got {tuple(images.shape)}. Prepare them with "
                f"images.pixels: {side}, or fit a model to these."
            )
        wanted = self.architecture.trainable_prefilter or images.requires_grad
        with torch.set_grad_enabled(wanted and torch.is_grad_enabled()):
            pixels = images if images.is_floating_point() else images / 255
            return self.prefilter(pixels - self.input_mean[:, None, None])

    def forward(self, images: UInt8[Tensor, "image 3 y x"], subject: str) -> Float[Tensor, "image voxel"]:
        """Responses of the subject's voxels, in standard deviations of their session."""
        return self.readout(subject)(self.trunk(self.prefiltered(images)))
