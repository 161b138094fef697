"""A fitted model in use: what it says about anyone's images, voxel by voxel.

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
from gnet.evaluation.prediction import (
    NO_ROWS,
    Maps,
    PrefilteredImages,
    responses_of,
    with_common_prefilter,
)
from gnet.models.checkpoints import FittedModel, read_models
from gnet.models.device import resolve_device
from gnet.models.gnet import Architecture, GNet
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

        Parameters
        ----------
        images : array, (image, y, x, 3) or (image, 3, y, x)
            uint8, or floats in [0, 1]; square, of any size.
        subject : str
            Whose voxels.
        area : str, optional
            Only the voxels of this area.

        Returns
        -------
        responses : array of float32, (image, voxel)
            In standard deviations of a voxel's responses within a session.
        voxels : DataFrame
            One row per column of `responses`.

        Raises
        ------
        ParameterError
            for images of a wrong shape, type or range, a subject or an area that the model does not have.
        """
        chosen, voxels = self._chosen(subject, area)
        responses = self._each_model(
            images, subject, chosen, lambda network, maps: network.readout(subject)(maps)
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
        partition : str or mapping of masks
            `layerwise`, `bipartite`, or boolean masks over the features that the readout sees, by name.

        Raises
        ------
        ParameterError
            as `predict`, and for a partition that does not exist or masks of another length.
        """
        chosen, voxels = self._chosen(subject, area)
        models = self._models_of(subject)
        masks = {id(model.network): _masks(partition, model.architecture) for model in models}
        parts = self._each_model(
            images,
            subject,
            chosen,
            lambda network, maps: network.readout(subject).partition_contributions(
                maps, list(masks[id(network)].values())
            ),
        )
        bias = [model.network.readout(subject).bias.detach().cpu().numpy() for model in models]
        names = list(next(iter(masks.values())))
        return Contributions(dict(zip(names, parts, strict=True)), np.concatenate(bias)[chosen], voxels)

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
            for model in self._models_of(subject)
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
        for model in self._models_of(subject):
            rows = np.flatnonzero(model.voxels[subject].index == voxel)
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
        pixels = torch.from_numpy(_Resized(checked_images(picture[None]), model)[np.zeros(1, int)])
        pixels = pixels.to(network.device)
        pixels = (pixels if pixels.is_floating_point() else pixels / 255).requires_grad_()
        network.readout(subject)(network.trunk(network.prefiltered(pixels)))[0, int(rows[0])].backward()
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

    def _each_model(
        self,
        images: Any,
        subject: str,
        chosen: Bool[np.ndarray, " voxel"],
        respond: Callable[[GNet, Maps], Tensor],
    ) -> np.ndarray:
        """What `respond` makes of the images for the chosen voxels; no model is run that has none of them."""
        checked = checked_images(images)
        models = self._models_of(subject)
        wanted = np.split(chosen, np.cumsum([len(model.voxels[subject]) for model in models])[:-1])
        run = [position for position, voxels in enumerate(wanted) if voxels.any()]
        networks = [models[position].network for position in run]
        results: dict[int, np.ndarray] = {}
        for group in with_common_prefilter(networks):
            source = PrefilteredImages(networks[group[0]], _Resized(checked, models[run[group[0]]]), NO_ROWS)
            of_group = [networks[place] for place in group]
            results |= dict(
                zip(group, responses_of(of_group, source, np.arange(len(checked)), respond), strict=True)
            )
        parts = [results[place][..., wanted[position]] for place, position in enumerate(run)]
        return np.concatenate(parts, axis=-1)


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


class _Resized:
    """Images as a model was fitted to them: of its size, by its filter; resized when rows are read."""

    def __init__(self, images: np.ndarray, model: FittedModel) -> None:
        self.images = images
        self.side = model.architecture.pixels
        self.resampling = str(model.configuration.get("resampling", "bilinear"))

    def __getitem__(self, rows: Int[np.ndarray, " row"]) -> np.ndarray:
        """Rows (row, 3, y, x), of uint8 or of floats in [0, 1] as they came."""
        chosen = self.images[rows]
        resized = resize if chosen.dtype == np.uint8 else _resize_floats
        return np.require(resized(chosen, self.side, self.resampling), requirements="W")


def _resize_floats(
    images: Float[np.ndarray, "image y x 3"], side: int, name: str
) -> Float[np.ndarray, "image 3 side side"]:
    """As `gnet.recording.pictures.resize`, without rounding to 256 levels."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    if planes.shape[-1] == side:
        return planes
    resized = [
        np.asarray(Image.fromarray(plane).resize((side, side), FILTERS[name]))
        for plane in planes.reshape(-1, *planes.shape[2:])
    ]
    return np.clip(np.stack(resized), 0, 1).reshape(len(images), 3, side, side)


def _masks(partition: str | Mapping[str, Any], architecture: Architecture) -> Partition:
    """A partition of the network's features by name, or the given one if it fits."""
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
