"""Checkpoints of the published code and of BERG become fitted models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FittedModel, Voxels, from_arrays
from gnet.models.gnet import Architecture, GNet
from gnet.models.interchange.dialects import Checkpoint, check_voxels, read_checkpoint
from gnet.models.interchange.names import AREA_OF_LABEL, published_name
from gnet.models.interchange.pickles import read_pickle
from gnet.models.trunk import grid_sizes, layer_features

WRONG_SHOWN = 8


def import_checkpoints(paths: Iterable[Path | str], *, pixels: int | None = None) -> list[FittedModel]:
    """Models from checkpoints in the published format or BERG's, with the state of their best epoch.

    Files whose networks are the same in every bit, readouts apart, become one model: a subject's voxels are
    concatenated in the order of the files. Other networks stay separate: one per area in GNet8r, one per part
    of a split area of BERG's, whose parts were fitted separately.

    Parameters
    ----------
    paths : iterable of Path or str
        The files, in the order in which their voxels are to come.
    pixels : int, optional
        Side of the images that they were fitted to, which no checkpoint says. Eight sizes give the same
        feature maps; when omitted it is, of those eight, the one that corresponds to 227 for the published
        maps of 25 x 25.

    Raises
    ------
    ModelFileError
        naming the file and what is missing, misshapen or does not fit together; a voxel that two have.
    ParameterError
        if images of `pixels` do not give maps of the size of the pooling fields.
    """
    imported: list[FittedModel] = []
    for path in map(Path, paths):
        model = from_published(read_pickle(path), str(path), pixels=pixels)
        for earlier in imported:
            _check_other_voxels(earlier, model, path)
        same = [n for n, earlier in enumerate(imported) if _same_network(earlier.network, model.network)]
        if same:
            imported[same[0]] = _concatenated(imported[same[0]], model)
        else:
            imported.append(model)
    return imported


def from_published(content: Any, origin: str, *, pixels: int | None = None) -> FittedModel:
    """A model from what `read_pickle` read; arguments and errors as `import_checkpoints`."""
    return fitted_model(read_checkpoint(content, origin), origin, pixels=pixels)


def fitted_model(checkpoint: Checkpoint, origin: str, *, pixels: int | None = None) -> FittedModel:
    """The model that a checkpoint of any dialect describes; arguments and errors as `import_checkpoints`."""
    architecture = recognise(checkpoint.encoder, checkpoint.readouts, origin, pixels)
    state = dict(checkpoint.encoder)
    for subject, readout in checkpoint.readouts.items():
        state |= {f"readouts.{subject}.{name}": tensor for name, tensor in readout.items()}
    check_tensors(state, architecture, origin)
    if checkpoint.stored is not None:
        weights = {name: tensor.detach().numpy() for name, tensor in state.items()}
        model = from_arrays({**checkpoint.stored, "weights": weights}, origin)
        check_voxels(model.voxels, model.network.voxels, origin)
        return model
    voxels = checkpoint.voxels
    check_voxels(voxels, {s: len(readout["bias"]) for s, readout in checkpoint.readouts.items()}, origin)
    network = GNet(architecture, {subject: len(found.index) for subject, found in voxels.items()})
    network.load_state_dict(state)
    named = {str(area) for found in voxels.values() for area in np.asarray(found.area) if area}
    return FittedModel(
        network.eval(),
        {subject: replace(found, index=found.index.astype(np.int64)) for subject, found in voxels.items()},
        tuple(sorted(named, key=lambda area: (area in AREA_OF_LABEL and AREA_OF_LABEL.index(area), area))),
        checkpoint.told,
        checkpoint.history,
    )


def recognise(
    encoder: Mapping[str, Tensor],
    readouts: Mapping[str, Mapping[str, Tensor]],
    origin: str,
    pixels: int | None = None,
) -> Architecture:
    """The architecture that tensors under our names belong to, from their shapes.

    The last layer has as many maps as the readout sees of each layer. The layers before it compute some more
    that only the layers above see: as many again in the published network, 192 besides 64 in the variant of
    256 channels. A readout with 256 more features sees the prefilter. A single field instead of one per grid
    is the second published form of the readout.

    Raises
    ------
    ModelFileError
        if a tensor that tells the architecture is missing or has an impossible shape.
    ParameterError
        if images of `pixels` do not give maps of the size of the pooling fields.
    """
    _check_dimensions(encoder, readouts, origin)
    width = len(encoder["trunk.conv6b.conv.weight"])
    pass_through = len(encoder["trunk.conv4a.conv.weight"]) - width
    subject, readout = next(iter(readouts.items()))
    seen = {sees: sum(layer_features(width, prefilter=sees).values()) for sees in (False, True)}
    found = readout["weight"].shape[-1]
    if width < 1 or pass_through < 0 or found not in seen.values():
        raise ModelFileError(
            f"{origin}: expected {published_name(f'readouts.{subject}.weight')} to have {seen[False]} "
            f"features for a trunk of width {width}, or {seen[True]} with the prefilter's, got {found}."
        )
    sees_prefilter = found == seen[True]
    fine = readout["fields.0"].shape[-1] - (2 if sees_prefilter else 0)
    return Architecture(
        _image_size(fine, pixels, origin),
        trunk_width=width,
        pass_through=None if pass_through == width else pass_through,
        readout="layerwise" if "fields.1" in readout else "single_field",
        prefilter_readout=sees_prefilter,
    )


def _check_dimensions(
    encoder: Mapping[str, Tensor], readouts: Mapping[str, Mapping[str, Tensor]], origin: str
) -> None:
    """Check that the tensors that tell the architecture are there and have their number of dimensions."""
    expected = {"trunk.conv6b.conv.weight": 4, "trunk.conv4a.conv.weight": 4}
    tensors = dict(encoder)
    for subject, readout in readouts.items():
        for name, count in (("fields.0", 3), ("weight", 2), ("bias", 1)):
            expected[f"readouts.{subject}.{name}"] = count
        tensors |= {f"readouts.{subject}.{name}": tensor for name, tensor in readout.items()}
    missing = [published_name(name) for name in expected if name not in tensors]
    if missing:
        raise ModelFileError(f"{origin}: expected a whole checkpoint, but {', '.join(missing)} is missing.")
    for name, count in expected.items():
        if tensors[name].ndim != count:
            raise ModelFileError(
                f"{origin}: expected {published_name(name)} to have {count} dimensions, got shape "
                f"{tuple(tensors[name].shape)}."
            )


def _image_size(fine: int, pixels: int | None, origin: str) -> int:
    """Side of the images whose finer maps have `fine` pixels a side: the one asked for, or the usual one."""
    if fine < 1:
        raise ModelFileError(
            f"{origin}: expected pooling fields for maps of 1 x 1 or more, got {fine} pixels."
        )
    if pixels is None:
        pixels = 8 * (fine + 3) + 3
    if grid_sizes(pixels)[0] != fine:
        raise ParameterError(
            f"pixels: images of {pixels} give maps of {grid_sizes(pixels)[0]} x {grid_sizes(pixels)[0]}, but "
            f"{origin} has pooling fields for {fine} x {fine}: give {8 * fine + 23} to {8 * fine + 30}."
        )
    return pixels


def check_tensors(state: Mapping[str, Tensor], architecture: Architecture, origin: str) -> None:
    """Check that exactly the network's tensors are there, with their shapes and with finite real numbers.

    Raises
    ------
    ModelFileError
        naming the tensors concerned as the published code does.
    """
    voxels = {
        name.split(".")[1]: len(tensor)
        for name, tensor in state.items()
        if re.fullmatch(r"readouts\.\w+\.bias", name)
    }
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in GNet(architecture, voxels).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [f"{published_name(name)} is missing" for name in expected if name not in found]
    wrong += [f"{published_name(name)} belongs to no such network" for name in found if name not in expected]
    wrong += [
        f"{published_name(name)} has shape {found[name]} instead of {shape}"
        for name, shape in expected.items()
        if found.get(name, shape) != shape
    ]
    if wrong:
        raise ModelFileError(
            f"{origin}: expected the tensors of a GNet of width {architecture.trunk_width}, but "
            f"{_listed(wrong)}. Fetch the file again, or ask whoever made it."
        )
    wrong = [f"{published_name(name)} holds {kind}" for name, t in state.items() if (kind := _not_real(t))]
    if wrong:
        raise ModelFileError(
            f"{origin}: expected finite real numbers in every tensor, but {_listed(wrong)}. "
            "Ask whoever made it: a fit that diverged leaves such numbers."
        )


def _not_real(tensor: Tensor) -> str:
    """What a tensor holds that a network cannot compute with; "" if nothing."""
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return "sparse or quantised numbers"
    if tensor.is_complex() or tensor.dtype is torch.bool:
        return f"numbers of type {str(tensor.dtype).removeprefix('torch.')}"
    return "" if torch.isfinite(tensor.to(torch.float32)).all() else "NaN or infinity"


def _listed(problems: Sequence[str]) -> str:
    more = f", and {len(problems) - WRONG_SHOWN} more" if len(problems) > WRONG_SHOWN else ""
    return ", ".join(problems[:WRONG_SHOWN]) + more


def _check_other_voxels(earlier: FittedModel, model: FittedModel, path: Path) -> None:
    """Raise ModelFileError if the two predict the same voxel of a subject."""
    for subject in earlier.voxel_index.keys() & model.voxel_index.keys():
        shared = np.intersect1d(earlier.voxel_index[subject], model.voxel_index[subject])
        if len(shared):
            raise ModelFileError(
                f"{path}: expected other voxels than in the files before it, found {len(shared):,} "
                f"of the same, such as {shared[0]} of {subject}. Import them into another model."
            )


def _same_network(one: GNet, other: GNet) -> bool:
    """Whether two networks are the same in every bit, readouts apart."""
    mine, theirs = one.state_dict(), other.state_dict()
    shared = {name for name in mine.keys() | theirs.keys() if not name.startswith("readouts.")}
    return one.architecture == other.architecture and all(
        name in mine and name in theirs and torch.equal(mine[name], theirs[name]) for name in shared
    )


def _concatenated(one: FittedModel, other: FittedModel) -> FittedModel:
    """One model with the voxels of both, subject by subject."""
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    state = dict(ours)
    for name, tensor in theirs.items():
        if name.startswith("readouts."):
            state[name] = torch.cat([ours[name], tensor]) if name in ours else tensor

    both = {
        subject: Voxels(
            np.concatenate([voxels.index, other.voxels[subject].index]),
            np.concatenate([np.asarray(voxels.area), np.asarray(other.voxels[subject].area)]),
            voxels.shape,
            voxels.affine,
        )
        for subject, voxels in one.voxels.items()
        if subject in other.voxels
    }
    voxels = {**one.voxels, **other.voxels, **both}
    network = GNet(one.architecture, {subject: len(found) for subject, found in voxels.items()})
    network.load_state_dict(state)
    return replace(
        one,
        source=network.eval(),
        voxels=voxels,
        areas=tuple(dict.fromkeys(one.areas + other.areas)),
    )
