"""A fitted model in use: what it says about anyone's images, voxel by voxel.

import gnet
model = gnet.load_model("gnet8j.h5")
responses, voxels = model.predict(images, "subj01", area="V1")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FittedModel
from gnet.models.device import resolve_device
from gnet.models.files import read_models
from gnet.models.gnet import GNet
from gnet.models.partitions import PARTITIONS, Partition
from gnet.recording.pictures import FILTERS, resize

GRIDS = ("prefilter", "fine", "coarse")
"""Names of the grids on which the readout sees feature maps, from the finest."""


class Predictions(NamedTuple):
    """Responses and whose they are."""

    responses: Float[np.ndarray, "image voxel"]
    """In standard deviations of a voxel's responses within a session."""
    voxels: pd.DataFrame
    """One row per column of `responses`: subject, voxel_index, (x, y, z where known,) area."""


class Contributions(NamedTuple):
    """What parts of the features add to the responses: the parts and the bias sum to the prediction."""

    parts: dict[str, Float[np.ndarray, "image voxel"]]
    bias: Float[np.ndarray, " voxel"]
    voxels: pd.DataFrame


class PoolingFields(NamedTuple):
    """Where in the image voxels look: for each grid one field per voxel that sums to one."""

    fields: dict[str, Float[np.ndarray, "voxel y x"]]
    voxels: pd.DataFrame


def load_model(path: str | Path, *, device: str = "auto") -> TrainedModel:
    """Open a model file for use.

    Parameters
    ----------
    path
        A model in HDF5, or the folder in which a pipeline keeps its versions: the newest is taken.
        Checkpoints of the published code are imported first: `gnet import-checkpoint`.
    device
        `auto | cpu | cuda | cuda:n | mps`.

    Raises
    ------
    ModelFileError
        for a file that is missing, damaged or no model.
    DeviceError
        for a device that is not there.
    """
    return TrainedModel(read_models(path), device=device)


class TrainedModel:
    """One fitted model, or several side by side as of GNet8r's areas, each with voxels of its own.

    Images may be uint8 or floats in [0, 1], (image, y, x, 3) or (image, 3, y, x), of any size but square.
    They are resized with the filter of the images that the model was fitted to.

    Raises
    ------
    ModelFileError
        if two of the models have a voxel in common.
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
        """Subjects that the model has voxels of."""
        return list(dict.fromkeys(subject for model in self.models for subject in model.voxel_index))

    @property
    def areas(self) -> list[str]:
        """Areas whose voxels the model predicts."""
        return list(dict.fromkeys(area for model in self.models for area in model.areas))

    def __repr__(self) -> str:
        voxels = ", ".join(f"{subject} {len(self._table(subject)):,}" for subject in self.subjects)
        return f"TrainedModel(areas: {', '.join(self.areas) or 'unknown'}; voxels: {voxels})"

    def voxels(self, subject: str, area: str | None = None) -> pd.DataFrame:
        """The voxels of a subject, or those of one area, in the order of all results.

        Raises
        ------
        ParameterError
            for a subject or an area that the model does not have.
        """
        return self._chosen(subject, area)[1]

    def predict(self, images: Any, subject: str, area: str | None = None) -> Predictions:
        """Responses of a subject's voxels, or those of one area, to images.

        Raises
        ------
        ParameterError
            for images of a wrong shape, type or range, a subject or an area that the model does not have.
        """
        chosen, voxels = self._chosen(subject, area)
        responses = self._each_model(
            images, subject, lambda model, maps: model.network.readout(subject)(maps), chosen
        )
        return Predictions(responses, voxels)

    def contributions(
        self,
        images: Any,
        subject: str,
        partition: str | Mapping[str, Any] = "layerwise",
        area: str | None = None,
    ) -> Contributions:
        """What each part of a partition of the features adds to the responses to images.

        Parameters
        ----------
        images, subject, area
            As for `predict`.
        partition
            `layerwise`, `bipartite`, or masks over the features that the readout sees, by name.

        Raises
        ------
        ParameterError
            as `predict`, and for a partition that does not exist or masks of another length.
        """
        chosen, voxels = self._chosen(subject, area)
        masks = {
            id(model): _masks(partition, model.network)
            for model in self.models
            if subject in model.voxel_index
        }
        names = list(next(iter(masks.values())))
        parts = self._each_model(
            images,
            subject,
            lambda model, maps: (
                model.network.readout(subject)
                .partition_contributions(maps, list(masks[id(model)].values()))
                .transpose(0, 1)
            ),
            chosen,
        )
        bias = np.concatenate(
            [
                model.network.readout(subject).bias.cpu().numpy()
                for model in self.models
                if subject in model.voxel_index
            ]
        )
        return Contributions({name: parts[:, row] for row, name in enumerate(names)}, bias[chosen], voxels)

    @torch.no_grad()
    def pooling_fields(self, subject: str, area: str | None = None) -> PoolingFields:
        """Pooling fields of a subject's voxels on each grid, which all span the whole image.

        Raises
        ------
        ParameterError
            for a subject or an area that the model does not have.
        """
        chosen, voxels = self._chosen(subject, area)
        fields = [
            [field.cpu().numpy() for field in model.network.readout(subject).pooling_fields()]
            for model in self.models
            if subject in model.voxel_index
        ]
        if len({tuple(field.shape[1:] for field in grids) for grids in fields}) > 1:
            raise ParameterError(
                "pooling fields: these models have different grids; load them one at a time."
            )
        names = GRIDS[-len(fields[0]) :]
        joined = (np.concatenate(grids)[chosen] for grids in zip(*fields, strict=True))
        return PoolingFields(dict(zip(names, joined, strict=True)), voxels)

    def gradient(
        self, image: Any, subject: str, voxel: int | np.integer
    ) -> Float[np.ndarray, "3 pixels pixels"]:
        """How the response of one voxel changes with each pixel of one image.

        Parameters
        ----------
        image
            (y, x, 3) or (3, y, x), uint8 or floats in [0, 1]. It is resized first: the gradient is that of
            the resized image.
        subject
            Whose voxel.
        voxel
            Its `voxel_index`, as in the table of voxels.

        Returns
        -------
        Standard deviations of the response per unit of the pixel, which runs from 0 to 1.

        Raises
        ------
        ParameterError
            for an image of a wrong shape, type or range, a subject or a voxel that the model does not have.
        """
        table = self.voxels(subject)
        for model in self.models:
            rows = np.flatnonzero(np.asarray(model.voxel_index.get(subject, ())) == voxel)
            if len(rows):
                break
        else:
            raise ParameterError(
                f"voxel: this model has {len(table):,} voxels of {subject}, none of them with voxel_index "
                f"{voxel}. See model.voxels({subject!r})."
            )
        picture = np.asarray(image)
        if picture.ndim != 3:
            raise ParameterError(f"image: expected one, (y, x, 3) or (3, y, x), got shape {picture.shape}.")
        network = model.network
        [pixels] = _prepared(checked_images(picture[None]), model, block=1)
        pixels = pixels.to(network.input_mean.device).requires_grad_()
        maps = network.trunk(network.prefilter(pixels - network.input_mean[:, None, None]))
        network.readout(subject)(maps)[0, int(rows[0])].backward()
        return pixels.grad[0].cpu().numpy()

    def _table(self, subject: str) -> pd.DataFrame:
        tables = []
        for model in self.models:
            if subject not in model.voxel_index:
                continue
            index = np.asarray(model.voxel_index[subject])
            table = pd.DataFrame({"subject": subject, "voxel_index": index})
            if subject in model.volume_shape:
                for axis, place in zip(
                    "xyz", np.unravel_index(index, model.volume_shape[subject]), strict=True
                ):
                    table[axis] = place
            known = [model.areas[0] if len(model.areas) == 1 else ""] * len(index)
            tables.append(table.assign(area=np.asarray(model.area.get(subject, known), object)))
        return pd.concat(tables, ignore_index=True)

    def _chosen(self, subject: str, area: str | None) -> tuple[Bool[np.ndarray, " voxel"], pd.DataFrame]:
        """Which of the subject's voxels are wanted, and their table."""
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
                else f"area: this model does not say where its voxels are, got {area!r}. Leave it out."
            )
        return chosen, table[chosen].reset_index(drop=True)

    @torch.inference_mode()
    def _each_model(
        self,
        images: Any,
        subject: str,
        respond: Callable[[FittedModel, Sequence[Tensor]], Tensor],
        chosen: Bool[np.ndarray, " voxel"],
    ) -> np.ndarray:
        """What `respond` makes of each model's maps of the images, models side by side on the last axis."""
        checked = checked_images(images)
        results, start = [], 0
        for model in self.models:
            if subject not in model.voxel_index:
                continue
            stop = start + len(model.voxel_index[subject])
            wanted, start = torch.from_numpy(chosen[start:stop].copy()), stop
            if not wanted.any():
                continue
            mean = model.network.input_mean
            blocks = []
            for pixels in _prepared(checked, model):
                centred = pixels.to(mean.device) - mean[:, None, None]
                maps = model.network.trunk(model.network.prefilter(centred))
                blocks.append(respond(model, maps).cpu()[..., wanted])
            results.append(torch.cat(blocks))
        return torch.cat(results, dim=-1).numpy()


def checked_images(images: Any) -> np.ndarray:
    """The images as (image, y, x, 3), uint8 or float32.

    Raises
    ------
    ParameterError
        unless they are square colour images of uint8, or of floats in [0, 1] without NaN.

    >>> checked_images(np.zeros((2, 3, 40, 40), np.uint8)).shape
    (2, 40, 40, 3)
    """
    found = np.asarray(images)
    if found.ndim != 4 or 3 not in (found.shape[1], found.shape[3]):
        one = " For one image, write images[None]." if found.ndim == 3 else ""
        raise ParameterError(
            f"images: expected (image, y, x, 3) or (image, 3, y, x), got shape {found.shape}.{one}"
        )
    if found.shape[1] == 3:
        found = found.transpose(0, 2, 3, 1)
    count, height, width, _ = found.shape
    if not count:
        raise ParameterError("images: expected at least one, got none.")
    if height != width:
        raise ParameterError(
            f"images: expected square ones, got {height} x {width} pixels. Crop or pad them: stretched, "
            "receptive fields would not be where they were."
        )
    if found.dtype == np.uint8:
        return found
    if found.dtype.kind != "f":
        raise ParameterError(f"images: expected uint8, or floats in [0, 1], got {found.dtype}. Convert them.")
    undefined = np.isnan(found).any(axis=(1, 2, 3))
    if undefined.any():
        raise ParameterError(
            f"images: expected numbers, got NaN in {int(undefined.sum())} images, first in number "
            f"{int(np.argmax(undefined))}."
        )
    if found.min() < 0 or found.max() > 1:
        raise ParameterError(
            f"images: expected floats in [0, 1], got {found.min():g} to {found.max():g}. Divide by 255, or "
            "convert to uint8; do not subtract a mean, the model does."
        )
    return found.astype(np.float32, copy=False)


def _prepared(
    images: np.ndarray, model: FittedModel, block: int = 100
) -> Iterator[Float[Tensor, "image 3 y x"]]:
    """Blocks of images in [0, 1] at the size and with the filter of those that the model was fitted to."""
    side = model.network.architecture.pixels
    name = str(model.configuration.get("resampling", "bilinear"))
    for start in range(0, len(images), block):
        part = images[start : start + block]
        if part.dtype == np.uint8:
            yield torch.from_numpy(np.require(resize(part, side, name), requirements="W")) / 255
        else:
            yield torch.from_numpy(np.require(_resize_floats(part, side, name), requirements="W"))


def _resize_floats(
    images: Float[np.ndarray, "image y x 3"], side: int, name: str
) -> Float[np.ndarray, "image 3 side side"]:
    """As `gnet.recording.pictures.resize`, without rounding to 256 levels."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if planes.shape[-1] == side:
        return planes
    resized = [
        Image.fromarray(plane).resize((side, side), FILTERS[name])
        for plane in planes.reshape(-1, *planes.shape[2:])
    ]
    return np.clip(np.stack(resized), 0, 1).reshape(len(images), 3, side, side)


def _masks(partition: str | Mapping[str, Any], network: GNet) -> Partition:
    """A partition of the network's features by name, or the given one if it fits."""
    architecture = network.architecture
    if isinstance(partition, str):
        if partition not in PARTITIONS:
            raise ParameterError(
                f"partition: expected {', '.join(PARTITIONS)} or masks by name, got {partition!r}."
            )
        return PARTITIONS[partition](architecture.trunk_width, prefilter=architecture.prefilter_readout)
    masks = {name: np.asarray(mask) for name, mask in partition.items()}
    for name, mask in masks.items():
        if mask.dtype != bool or mask.shape != (sum(architecture.features),):
            raise ParameterError(
                f"partition: expected boolean masks over {sum(architecture.features)} features, got "
                f"{mask.dtype} of shape {mask.shape} for {name!r}."
            )
    if not masks:
        raise ParameterError("partition: expected at least one part, got none.")
    return masks
