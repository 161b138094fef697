"""Checkpoints of the published code, of BERG and of this package become fitted models.

Published ones have `best_params` {`enc`, `fwrfs`} and the voxels of `voxel_index`, for GNet8r those of
`group_mask` in it. BERG's have one more pooling field, and the voxels of `roi_mask_volume` in C order.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FittedModel, Voxels, from_arrays
from gnet.models.gnet import Architecture, GNet
from gnet.models.interchange.names import (
    AREA_OF_LABEL,
    METADATA,
    areas_of_labels,
    from_published_encoder,
    from_published_readout,
    published_name,
    subject_name,
)
from gnet.models.interchange.pickles import read_pickle
from gnet.models.trunk import grid_sizes, layer_features

WRONG_SHOWN = 8  # tensors


def import_checkpoints(paths: Iterable[Path | str], *, pixels: int | None = None) -> list[FittedModel]:
    """Models from checkpoints in the published format or BERG's, with the state of their best epoch.

    Files whose networks are the same in every bit, readouts apart, become one model: a subject's voxels are
    concatenated in the order of the files. Other networks stay separate, such as one per area in GNet8r.

    `pixels` is the side of the images that they were fitted to, which no checkpoint says. Eight sizes give
    the same feature maps; the default is the one that is 227 for the published maps of 25 x 25.

    Raises ModelFileError, which names the file and what is missing, misshapen, does not fit together or is in
    two; ParameterError if images of `pixels` do not give maps of the size of the pooling fields.
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
    try:
        state, subjects = _read_tensors(content)
        architecture = _recognised(state, subjects, pixels)
        rows = {subject: len(state[f"readouts.{subject}.bias"]) for subject in subjects}
        _check_tensors(state, architecture, rows)
        if METADATA not in content:
            network = GNet(architecture, rows)
            network.load_state_dict(state)
            voxels = _read_voxels(content, rows)
            named = {str(area) for found in voxels.values() for area in np.asarray(found.area) if area}
            areas = sorted(
                named, key=lambda area: (area in AREA_OF_LABEL and AREA_OF_LABEL.index(area), area)
            )
            told = {"imported": Path(origin).name, **_read_told(content)}
            return FittedModel(network.eval(), voxels, tuple(areas), told, _read_history(content))
        if not isinstance(content[METADATA], Mapping):
            raise ModelFileError(f"expected a model's description under {METADATA}, found none.")
    except (ModelFileError, ParameterError) as error:
        raise type(error)(f"{origin}: {error}") from error
    weights = {name: tensor.detach().numpy() for name, tensor in state.items()}
    return from_arrays({**content[METADATA], "weights": weights}, origin)


def _read_tensors(content: Any) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Encoder and readouts under our names, all of them known to be tensors, and the subjects."""
    best = content.get("best_params") if isinstance(content, Mapping) else None
    if not best:
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise ModelFileError(
            f"expected a checkpoint of a GNet with best_params, found {found or 'nothing'}. "
            "A file of weights alone does not say whose voxels they are."
        )
    for part in ("enc", "fwrfs"):
        if not isinstance(best, Mapping) or not isinstance(best.get(part), Mapping) or not best[part]:
            raise ModelFileError(f"expected best_params to have enc and fwrfs, found no {part}.")
    for state in (best["enc"], *best["fwrfs"].values()):
        if not isinstance(state, Mapping):
            raise ModelFileError(f"expected tensors by name in fwrfs, got {type(state).__name__}.")
        other = [name for name, value in state.items() if not isinstance(value, Tensor)]
        if other:
            raise ModelFileError(f"expected {other[0]} to be a tensor, got {state[other[0]]!r}.")
    subjects = tuple(subject_name(key) for key in best["fwrfs"])
    if len(set(subjects)) < len(subjects) or not all(name.isidentifier() for name in subjects):
        raise ModelFileError(
            "expected one readout for each subject, by number or a name like subj01, found "
            f"{', '.join(map(repr, best['fwrfs']))}."
        )
    tensors = from_published_encoder(best["enc"])
    for subject, state in zip(subjects, best["fwrfs"].values(), strict=True):
        readout = from_published_readout(state)
        tensors |= {f"readouts.{subject}.{name}": tensor for name, tensor in readout.items()}
    return tensors, subjects


def _recognised(state: Mapping[str, Tensor], subjects: Sequence[str], pixels: int | None) -> Architecture:
    """The architecture that tensors under our names belong to, from their shapes.

    The last layer has as many maps as the readout sees of each layer, those before it some more. A readout
    with 256 more features sees the prefilter.
    """
    last, wide = "trunk.conv6b.conv.weight", "trunk.conv4a.conv.weight"
    dimensions = {last: 4, wide: 4}
    for subject in subjects:
        of_readout = {"fields.0": 3, "weight": 2, "bias": 1}
        dimensions |= {f"readouts.{subject}.{name}": count for name, count in of_readout.items()}
    for name, count in dimensions.items():
        if name not in state:
            raise ModelFileError(f"expected a whole checkpoint, but {published_name(name)} is missing.")
        found = tuple(state[name].shape)
        if len(found) != count:
            raise ModelFileError(
                f"expected {published_name(name)} to have {count} dimensions, got shape {found}."
            )
    width = len(state[last])
    pass_through = len(state[wide]) - width
    readout = f"readouts.{subjects[0]}"
    plain, more = (sum(layer_features(width, prefilter=sees).values()) for sees in (False, True))
    features = state[f"{readout}.weight"].shape[-1]
    if width < 1 or pass_through < 0 or features not in (plain, more):
        raise ModelFileError(
            f"expected {published_name(f'{readout}.weight')} to have {plain} features for a trunk of width "
            f"{width}, or {more} with the prefilter's, got {features}."
        )
    fine = state[f"{readout}.fields.0"].shape[-1] - (2 if features == more else 0)
    if fine < 1:
        raise ModelFileError(f"expected pooling fields for maps of 1 x 1 or more, got {fine} pixels.")
    pixels = 8 * (fine + 3) + 3 if pixels is None else pixels
    given = grid_sizes(pixels)[0]
    if given != fine:
        raise ParameterError(
            f"pixels: images of {pixels} give maps of {given} x {given}, but the checkpoint has pooling "
            f"fields for {fine} x {fine}: give {8 * fine + 23} to {8 * fine + 30}."
        )
    return Architecture(
        pixels,
        trunk_width=width,
        pass_through=None if pass_through == width else pass_through,
        readout="layerwise" if f"{readout}.fields.1" in state else "single_field",
        prefilter_readout=features == more,
    )


def _check_tensors(state: Mapping[str, Tensor], architecture: Architecture, rows: Mapping[str, int]) -> None:
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
            f"expected the tensors of a GNet of width {architecture.trunk_width}, but {_listed(wrong)}. "
            "Fetch the file again, or ask whoever made it."
        )
    wrong = [f"{published_name(name)} holds {kind}" for name, t in state.items() if (kind := _not_real(t))]
    if wrong:
        raise ModelFileError(
            f"expected finite real numbers in every tensor, but {_listed(wrong)}. "
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


def _read_voxels(content: Mapping[str, Any], rows: Mapping[str, int]) -> dict[str, Voxels]:
    """A possible voxel for each of the `rows` of every readout and none twice, as the checkpoint itself says.

    Never from a region file: those were redrawn.
    """
    berg = "betas_info" in content
    said_by = "betas_info" if berg else "voxel_index and brain_nii_shape"
    voxels = {}
    for key in content["best_params"]["fwrfs"]:
        subject = subject_name(key)
        try:
            voxels[subject] = _berg_voxels(content, key) if berg else _published_voxels(content, key)
            _check_voxels(voxels[subject], rows[subject])
        except ModelFileError as error:
            raise ModelFileError(f"{subject}: {error}") from None
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise ModelFileError(
                f"expected {said_by} to say which voxels subject {key} has, but it does not ({error!r})."
            ) from error
    return voxels


def _published_voxels(content: Mapping[str, Any], key: Any) -> Voxels:
    index = np.asarray(content["voxel_index"][key])
    if index.dtype.kind not in "iu" or index.ndim != 1:
        raise ModelFileError(
            f"expected a list of whole numbers as voxel indices, found {index.dtype} of shape {index.shape}."
        )
    labels = np.asarray(content["voxel_roi"][key]) if "voxel_roi" in content else np.zeros(len(index))
    group = content.get("group_mask")
    mask = np.ones(len(index), bool) if group is None else np.asarray(group[key], bool)
    if not len(index) == len(labels) == len(mask):
        raise ModelFileError(
            f"expected voxel_index, voxel_roi and group_mask of one length, found {len(index):,}, "
            f"{len(labels):,} and {len(mask):,}."
        )
    area = areas_of_labels(labels[mask])
    if group is not None and "group_name" in content:
        area = np.full(len(area), content["group_name"])
    return Voxels(index[mask].astype(np.int64), area, _shape(content["brain_nii_shape"][key]))


def _berg_voxels(content: Mapping[str, Any], key: Any) -> Voxels:
    info = content["betas_info"][key]
    volume = np.asarray(info["roi_mask_volume"])
    shape = _shape(info.get("volume_shape", volume.shape))
    if volume.shape != shape:
        raise ModelFileError(f"expected roi_mask_volume of shape {shape}, got {volume.shape}.")
    index = np.flatnonzero(volume)
    arguments = content.get("args.")
    if getattr(arguments, "split_roi", 0):  # both parts carry the mask of the whole area
        half = -(-len(index) // 2)
        index = index[:half] if getattr(arguments, "split", None) == 1 else index[half:]
    return Voxels(index, np.full(len(index), str(getattr(arguments, "roi", ""))), shape)


def _shape(shape: Any) -> tuple[int, int, int]:
    x, y, z = (int(length) for length in shape)
    if min(x, y, z) < 1:
        raise ValueError(f"a volume of {x} x {y} x {z} voxels")
    return x, y, z


def _check_voxels(found: Voxels, rows: int) -> None:
    assert found.shape is not None
    index, size = found.index, math.prod(found.shape)
    if len(index) != rows:
        raise ModelFileError(
            f"expected as many voxels as its readout has rows, {rows:,}, found {len(index):,}. "
            "Import the files of a split area as they were published."
        )
    outside = index[(index < 0) | (index >= size)]
    if len(outside):
        raise ModelFileError(
            f"expected voxel indices below {size:,}, the size of its volume {found.shape}, found "
            f"{outside[0]:,}."
        )
    listed, times = np.unique(index, return_counts=True)
    if len(listed) < len(index):
        raise ModelFileError(f"expected every voxel once, found {listed[times > 1][0]:,} again.")


def _read_history(content: Mapping[str, Any]) -> pd.DataFrame:
    """Losses of each epoch and which was the best; empty if the checkpoint does not hold them."""
    berg = "betas_info" in content
    names = ("trn_hist", "hold_hist") if berg else ("trn_loss_history", "hold_loss_history")
    kept = dict(zip(("loss", "holdout_loss"), map(content.get, names), strict=True))
    kept = {name: values for name, values in kept.items() if isinstance(values, Sequence) and len(values)}
    try:
        columns = {column: np.asarray(values, float) for column, values in kept.items()}
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"expected numbers in {' and '.join(names)} ({error}).") from error
    if len({len(column) for column in columns.values()}) != 1:
        return pd.DataFrame()
    epochs = len(next(iter(columns.values())))
    best = np.arange(epochs) == content.get("best_epoch", -1)
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns, "best": best})


def _read_told(content: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's plain values and BERG's arguments, named as they are there."""
    arguments = content.get("args.")
    told = {**(vars(arguments) if isinstance(arguments, argparse.Namespace) else {}), **content}
    values = {key: value.item() if isinstance(value, np.generic) else value for key, value in told.items()}
    return {
        key: value
        for key, value in values.items()
        if isinstance(key, str) and (value is None or isinstance(value, (bool, int, float, str)))
    }


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
