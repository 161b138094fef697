"""A fitted model applied to images: predictions, contributions, pooling fields and gradients by voxel.

import gnet
model = gnet.load_model("gnet8j.h5")
responses, voxels = model.predict(images, "subj01", area="V1")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.evaluation.prediction import Maps, joint_responses
from gnet.models.checkpoints import FittedModel, read_models
from gnet.models.device import resolve_device
from gnet.models.gnet import Architecture, GNet
from gnet.models.partitions import PARTITIONS, Partition
from gnet.recording.pictures import FILTERS, resize

GRIDS = ("prefilter", "fine", "coarse")
"""Names of the grids of the readout, finest first."""


class Predictions(NamedTuple):
    """Predicted responses and their voxels."""

    responses: Float[np.ndarray, "image voxel"]
    """In standard deviations of the voxel within a session."""
    voxels: pd.DataFrame
    """One row per column of `responses`: subject, voxel_index, x, y, z (if known), area."""


class Contributions(NamedTuple):
    """Contributions of the parts of a partition; with the bias they sum to the prediction."""

    parts: dict[str, Float[np.ndarray, "image voxel"]]
    bias: Float[np.ndarray, " voxel"]
    voxels: pd.DataFrame


class PoolingFields(NamedTuple):
    """For each grid, the pooling field of each voxel over the image; every field sums to one."""

    fields: dict[str, Float[np.ndarray, "voxel y x"]]
    voxels: pd.DataFrame


def load_model(path: str | Path, *, device: str = "auto") -> TrainedModel:
    """Open a model file for use on a device, `auto | cpu | cuda | cuda:n | mps`.

    `path` is a model in HDF5, or the folder in which a pipeline keeps its versions: the newest is opened.
    Checkpoints of the published code must be imported first: `gnet import-checkpoint`.

    Raises ModelFileError if the file is missing, damaged or not a model, and DeviceError if the device does
    not exist.
    """
    return TrainedModel(read_models(path), device=device)


class TrainedModel:
    """One fitted model, or several with different voxels, such as the area-wise models of GNet8r.

    Images may be uint8 or floats in [0, 1], (image, y, x, 3) or (image, 3, y, x), square and of any size.
    They are resized with the filter that prepared the images of the fit.

    ModelFileError if a voxel occurs in two models. All methods raise ParameterError for a subject, area or
    voxel that the model does not have, and for images of the wrong shape, type or range.
    """

    def __init__(self, models: Sequence[FittedModel], *, device: str = "cpu") -> None:
        self.models = list(models)
        target = resolve_device(device)
        for model in self.models:
            model.network.to(target).eval().requires_grad_(False)
        for subject in self.subjects:
            table = self._table(subject)
            again = table["voxel_index"].duplicated()
            if again.any():
                raise ModelFileError(
                    f"{subject}: expected every voxel in one model, found {int(again.sum()):,} in two, "
                    f"such as {table['voxel_index'][again].iloc[0]}. Load these models one at a time."
                )

    @property
    def subjects(self) -> list[str]:
        """Subjects of the model."""
        return list(dict.fromkeys(subject for model in self.models for subject in model.voxel_index))

    @property
    def areas(self) -> list[str]:
        """Areas of the model."""
        return list(dict.fromkeys(area for model in self.models for area in model.areas))

    def __repr__(self) -> str:
        voxels = ", ".join(f"{subject} {len(self._table(subject)):,}" for subject in self.subjects)
        return f"TrainedModel(areas: {', '.join(self.areas) or 'unknown'}; voxels: {voxels})"

    def voxels(self, subject: str, area: str | None = None) -> pd.DataFrame:
        """The voxels of a subject, or of one of its areas, in the order of all results."""
        return self._chosen(subject, area)[1]

    def predict(self, images: Any, subject: str, area: str | None = None) -> Predictions:
        """Predicted responses, float32, of a subject's voxels, or those of one area, to images."""
        chosen, voxels = self._chosen(subject, area)

        def respond(network: GNet, maps: Maps) -> Tensor:
            return network.readout(subject)(maps)

        return Predictions(self._responses(images, subject, chosen, respond), voxels)

    def contributions(
        self,
        images: Any,
        subject: str,
        partition: str | Mapping[str, Any] = "layerwise",
        area: str | None = None,
    ) -> Contributions:
        """Contribution of each part of a partition of the features to the predicted responses.

        The partition is `layerwise`, `bipartite`, or for each part a boolean array over the features of the
        readout; ParameterError if it does not fit them.
        """
        chosen, voxels = self._chosen(subject, area)
        models = self._models_of(subject)
        names = list(_masks(partition, models[0].architecture))

        def respond(network: GNet, maps: Maps) -> Tensor:
            masks = list(_masks(partition, network.architecture).values())
            return network.readout(subject).partition_contributions(maps, masks)

        parts = self._responses(images, subject, chosen, respond)
        bias = [model.network.readout(subject).bias.detach().cpu().numpy() for model in models]
        return Contributions(dict(zip(names, parts, strict=True)), np.concatenate(bias)[chosen], voxels)

    @torch.no_grad()
    def pooling_fields(self, subject: str, area: str | None = None) -> PoolingFields:
        """Pooling fields of a subject's voxels on each grid; all grids span the whole image."""
        chosen, voxels = self._chosen(subject, area)
        fields = [
            [field.cpu().numpy() for field in model.network.readout(subject).pooling_fields()]
            for model in self._models_of(subject)
        ]
        if len({tuple(field.shape[1:] for field in grids) for grids in fields}) > 1:
            raise ParameterError(
                "pooling fields: these models have different grids. Load them one at a time."
            )
        names = GRIDS[-len(fields[0]) :]
        joined = (np.concatenate(grids)[chosen] for grids in zip(*fields, strict=True))
        return PoolingFields(dict(zip(names, joined, strict=True)), voxels)

    def gradient(
        self, image: Any, subject: str, voxel: int | np.integer
    ) -> Float[np.ndarray, "3 pixels pixels"]:
        """Gradient of the predicted response of one voxel with respect to the pixels of one image.

        `voxel` is its `voxel_index`. The image, (y, x, 3) or (3, y, x), is resized first: the gradient is
        that of the resized image, in standard deviations of the response per unit of pixel value in [0, 1].
        """
        table = self.voxels(subject)
        models = [model for model in self._models_of(subject) if voxel in model.voxels[subject].index]
        if not models:
            raise ParameterError(
                f"voxel: this model has {len(table):,} voxels of {subject}, none of them with voxel_index "
                f"{voxel}. See model.voxels({subject!r})."
            )
        picture = np.asarray(image)
        if picture.ndim != 3:
            raise ParameterError(
                f"image: expected one image, (y, x, 3) or (3, y, x), got shape {picture.shape}."
            )
        network, [row] = models[0].network, np.flatnonzero(models[0].voxels[subject].index == voxel)
        resized = _Resized(checked_images(picture[None]), models[0])[np.zeros(1, int)]
        pixels = torch.from_numpy(resized).to(network.device)
        pixels = (pixels if pixels.is_floating_point() else pixels / 255).requires_grad_()
        network.readout(subject)(network.trunk(network.prefiltered(pixels)))[0, row].backward()
        return cast(Tensor, pixels.grad)[0].cpu().numpy()

    def _models_of(self, subject: str) -> list[FittedModel]:
        return [model for model in self.models if subject in model.voxels]

    def _table(self, subject: str) -> pd.DataFrame:
        tables = []
        for model in self._models_of(subject):
            voxels = model.voxels[subject]
            table = pd.DataFrame({"subject": subject, "voxel_index": voxels.index})
            if voxels.shape is not None:
                for axis, place in zip("xyz", np.unravel_index(voxels.index, voxels.shape), strict=True):
                    table[axis] = place
            only = model.areas[0] if len(model.areas) == 1 else ""
            known = [only] * len(voxels) if voxels.area is None else voxels.area
            tables.append(table.assign(area=np.asarray(known, object)))
        return pd.concat(tables, ignore_index=True)

    def _chosen(self, subject: str, area: str | None) -> tuple[Bool[np.ndarray, " voxel"], pd.DataFrame]:
        """Selection among the subject's voxels, and the table of those selected."""
        if subject not in self.subjects:
            raise ParameterError(
                f"subject: this model has voxels of {', '.join(self.subjects)}, got {subject!r}."
            )
        table = self._table(subject)
        if area is None:
            return np.ones(len(table), bool), table
        chosen = (table["area"] == area).to_numpy()
        if not area or not chosen.any():
            known = [name for name in table["area"].unique() if name]
            raise ParameterError(
                f"area: this model has voxels of {subject} in {', '.join(known)}, got {area!r}."
                if known
                else f"area: the areas of this model's voxels are unknown, got {area!r}. Omit the area."
            )
        return chosen, table[chosen].reset_index(drop=True)

    def _responses(
        self,
        images: Any,
        subject: str,
        chosen: Bool[np.ndarray, " voxel"],
        respond: Callable[[GNet, Maps], Tensor],
    ) -> np.ndarray:
        """`joint_responses` of the chosen voxels; models without any of them are not run."""
        checked, models = checked_images(images), self._models_of(subject)
        ends = np.cumsum([len(model.voxels[subject]) for model in models])
        of_models = zip(models, np.split(chosen, ends[:-1]), strict=True)
        run, wanted = zip(*((model, part) for model, part in of_models if part.any()), strict=True)
        networks, resized = [model.network for model in run], [_Resized(checked, model) for model in run]
        found = joint_responses(networks, resized, np.arange(len(checked)), respond)
        return found[..., np.concatenate(wanted)]


def checked_images(images: Any) -> np.ndarray:
    """The images as (image, y, x, 3), uint8 or float32.

    ParameterError unless they are square colour images, uint8 or floats in [0, 1] without NaN.
    """
    found = np.asarray(images)
    if found.ndim != 4 or 3 not in (found.shape[1], found.shape[3]):
        one = " For a single image, pass images[None]." if found.ndim == 3 else ""
        raise ParameterError(
            f"images: expected (image, y, x, 3) or (image, 3, y, x), got shape {found.shape}.{one}"
        )
    if found.shape[1] == 3:
        found = found.transpose(0, 2, 3, 1)
    count, height, width, _ = found.shape
    if not count:
        raise ParameterError("images: expected at least one image, got none.")
    if height != width:
        raise ParameterError(
            f"images: expected square images, got {height} x {width} pixels. Crop or pad them: stretching "
            "would move receptive fields."
        )
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind != "f":
        raise ParameterError(f"images: expected uint8, or floats in [0, 1], got {found.dtype}. Convert them.")
    undefined = np.isnan(found).any(axis=(1, 2, 3))
    if undefined.any():
        raise ParameterError(
            f"images: expected values without NaN, got NaN in {int(undefined.sum())} images, first in image "
            f"{int(np.argmax(undefined))}."
        )
    if found.min() < 0 or found.max() > 1:
        raise ParameterError(
            f"images: expected floats in [0, 1], got {found.min():g} to {found.max():g}. Divide by 255, or "
            "convert to uint8. Do not subtract a mean: the model does."
        )
    return found.astype(np.float32, copy=False)


class _Resized:
    """Images resized on reading to the size of a model, with the filter of the images of its fit."""

    def __init__(self, images: np.ndarray, model: FittedModel) -> None:
        self.images, self.side = images, model.architecture.pixels
        self.resampling = str(model.configuration.get("resampling", "bilinear"))

    def __getitem__(self, rows: Int[np.ndarray, " row"]) -> np.ndarray:
        """(row, 3, y, x), in the type of the images: uint8 or floats in [0, 1]."""
        chosen = self.images[rows]
        resized = resize if chosen.dtype == np.uint8 else _resize_floats
        return np.require(resized(chosen, self.side, self.resampling), requirements="W")


def _resize_floats(
    images: Float[np.ndarray, "image y x 3"], side: int, name: str
) -> Float[np.ndarray, "image 3 side side"]:
    """As `gnet.recording.pictures.resize`, but without rounding to 256 levels."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if planes.shape[-1] == side:
        return planes
    resized = [
        np.asarray(Image.fromarray(plane).resize((side, side), FILTERS[name]))
        for plane in planes.reshape(-1, *planes.shape[2:])
    ]
    return np.clip(np.stack(resized), 0, 1).reshape(len(images), 3, side, side)


def _masks(partition: str | Mapping[str, Any], architecture: Architecture) -> Partition:
    """The named partition of the features, or the given one after a check."""
    if isinstance(partition, str):
        if partition not in PARTITIONS:
            raise ParameterError(
                f"partition: expected {', '.join(PARTITIONS)} or boolean arrays by name, got {partition!r}."
            )
        return PARTITIONS[partition](architecture.trunk_width, prefilter=architecture.prefilter_readout)
    masks = {name: np.asarray(mask) for name, mask in partition.items()}
    for name, mask in masks.items():
        if mask.dtype != bool or mask.shape != (sum(architecture.features),):
            raise ParameterError(
                f"partition: expected boolean arrays over {sum(architecture.features)} features, got "
                f"{mask.dtype} of shape {mask.shape} for {name!r}."
            )
    if not masks:
        raise ParameterError("partition: expected at least one part, got none.")
    return masks
