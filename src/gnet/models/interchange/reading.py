"""Checkpoints of the published code and of BERG become fitted models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FittedModel, from_arrays
from gnet.models.gnet import Architecture, GNet
from gnet.models.interchange.dialects import read_history, read_tensors, read_told, read_voxels
from gnet.models.interchange.names import AREA_OF_LABEL, METADATA, published_name
from gnet.models.interchange.pickles import read_pickle
from gnet.models.trunk import grid_sizes, layer_features

WRONG_SHOWN = 8


def import_checkpoints(paths: Iterable[Path | str], *, pixels: int | None = None) -> list[FittedModel]:
    """Models from checkpoints in the published format or BERG's, with the state of their best epoch.

    Files whose networks are the same in every bit, readouts apart, become one model: a subject's voxels are
    concatenated in the order of the files. Other networks stay separate, such as one per area in GNet8r.

    `pixels` is the side of the images that they were fitted to, which no checkpoint says. Eight sizes give
    the same feature maps; the default is the one that is 227 for the published maps of 25 x 25.

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
    """A model from what `read_pickle` read, which errors call `origin`; otherwise as `import_checkpoints`."""
    state, subjects = read_tensors(content, origin)
    architecture = _recognised(state, subjects, origin, pixels)
    rows = {subject: len(state[f"readouts.{subject}.bias"]) for subject in subjects}
    _check_tensors(state, architecture, rows, origin)
    if METADATA in content:
        stored = content[METADATA]
        if not isinstance(stored, Mapping):
            raise ModelFileError(f"{origin}: expected a model's description under {METADATA}, found none.")
        weights = {name: tensor.detach().numpy() for name, tensor in state.items()}
        return from_arrays({**stored, "weights": weights}, origin)
    network = GNet(architecture, rows)
    network.load_state_dict(state)
    voxels = read_voxels(content, rows, origin)
    named = {str(area) for found in voxels.values() for area in np.asarray(found.area) if area}
    return FittedModel(
        network.eval(),
        voxels,
        tuple(sorted(named, key=lambda area: (area in AREA_OF_LABEL and AREA_OF_LABEL.index(area), area))),
        read_told(content, origin),
        read_history(content, origin),
    )


def _recognised(
    state: Mapping[str, Tensor], subjects: Sequence[str], origin: str, pixels: int | None
) -> Architecture:
    """The architecture that tensors under our names belong to, from their shapes.

    The last layer has as many maps as the readout sees of each layer, those before it some more. A readout
    with 256 more features sees the prefilter.
    """
    last, wide = "trunk.conv6b.conv.weight", "trunk.conv4a.conv.weight"
    dimensions = {last: 4, wide: 4}
    for subject in subjects:
        of_readout = {"fields.0": 3, "weight": 2, "bias": 1}
        dimensions |= {f"readouts.{subject}.{name}": count for name, count in of_readout.items()}
    missing = [published_name(name) for name in dimensions if name not in state]
    if missing:
        raise ModelFileError(f"{origin}: expected a whole checkpoint, but {', '.join(missing)} is missing.")
    for name, count in dimensions.items():
        if state[name].ndim != count:
            raise ModelFileError(
                f"{origin}: expected {published_name(name)} to have {count} dimensions, got shape "
                f"{tuple(state[name].shape)}."
            )
    width = len(state[last])
    pass_through = len(state[wide]) - width
    readout = f"readouts.{subjects[0]}"
    seen = {sees: sum(layer_features(width, prefilter=sees).values()) for sees in (False, True)}
    found = state[f"{readout}.weight"].shape[-1]
    if width < 1 or pass_through < 0 or found not in seen.values():
        raise ModelFileError(
            f"{origin}: expected {published_name(f'{readout}.weight')} to have {seen[False]} features for a "
            f"trunk of width {width}, or {seen[True]} with the prefilter's, got {found}."
        )
    sees_prefilter = found == seen[True]
    fine = state[f"{readout}.fields.0"].shape[-1] - (2 if sees_prefilter else 0)
    if fine < 1:
        raise ModelFileError(
            f"{origin}: expected pooling fields for maps of 1 x 1 or more, got {fine} pixels."
        )
    pixels = 8 * (fine + 3) + 3 if pixels is None else pixels
    given = grid_sizes(pixels)[0]
    if given != fine:
        raise ParameterError(
            f"pixels: images of {pixels} give maps of {given} x {given}, but {origin} has pooling fields for "
            f"{fine} x {fine}: give {8 * fine + 23} to {8 * fine + 30}."
        )
    return Architecture(
        pixels,
        trunk_width=width,
        pass_through=None if pass_through == width else pass_through,
        readout="layerwise" if f"{readout}.fields.1" in state else "single_field",
        prefilter_readout=sees_prefilter,
    )


def _check_tensors(
    state: Mapping[str, Tensor], architecture: Architecture, rows: Mapping[str, int], origin: str
) -> None:
    """Refuse other tensors than the network's, other shapes, and numbers that are not finite and real."""
    with torch.device("meta"):
        expected = {name: tuple(t.shape) for name, t in GNet(architecture, rows).state_dict().items()}
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
    return one.architecture == other.architecture and all(
        torch.equal(tensor, theirs[name]) for name, tensor in mine.items() if not name.startswith("readouts.")
    )


def _concatenated(one: FittedModel, other: FittedModel) -> FittedModel:
    """One model with the voxels of both, subject by subject."""
    state = dict(one.network.state_dict())
    for name, tensor in other.network.state_dict().items():
        if name.startswith("readouts."):
            state[name] = torch.cat([state[name], tensor]) if name in state else tensor
    voxels = dict(one.voxels)
    for subject, more in other.voxels.items():
        if subject in one.voxels:
            ours = one.voxels[subject]
            areas = None if ours.area is None or more.area is None else np.concatenate([ours.area, more.area])
            more = replace(ours, index=np.concatenate([ours.index, more.index]), area=areas)
        voxels[subject] = more
    network = GNet(one.architecture, {subject: len(found) for subject, found in voxels.items()})
    network.load_state_dict(state)
    names = tuple(dict.fromkeys(one.areas + other.areas))
    return replace(one, source=network.eval(), voxels=voxels, areas=names)
