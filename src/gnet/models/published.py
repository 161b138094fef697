"""Checkpoints in the formats of the published code and of BERG: read without running them, and written.

Both are pickles of `torch.save`. A pickle is a program, and one from a stranger may do anything: here torch's
restricted unpickler reads it, which makes tensors, NumPy arrays and plain values and refuses the rest.

The published form (GNet8j, GNet8r, transfer) has `best_params` {`enc`, `fwrfs`}, and says which voxels its
readouts predict: `voxel_index`, for GNet8r those of them in `group_mask`. BERG's has the same tensors, a
pooling field more (on the prefilter's grid), and the voxels of `roi_mask_volume` in C order.
"""

from __future__ import annotations

import argparse
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gnet.errors import ModelFileError, ParameterError
from gnet.models.checkpoints import FORMAT, FittedModel, from_arrays, to_arrays
from gnet.models.gnet import Architecture, GNet
from gnet.models.trunk import grid_sizes, layer_features
from gnet.storage.atomic import atomic_path
from gnet.storage.steady_file import SteadyFile

BLOCKS = ("conv4a", "conv4b", "conv5a", "conv5b", "conv6a", "conv6b")

PREFIXES = {
    "pre.conv1.0.": "prefilter.conv1.",
    "pre.conv2.0.": "prefilter.conv2.",
    "enc.conv3.": "trunk.conv3.conv.",
    "enc.bn1.": "trunk.conv3.norm.",
    **{f"enc.{block}.conv1.": f"trunk.{block}.conv." for block in BLOCKS},
    **{f"enc.{block}.bn1.": f"trunk.{block}.norm." for block in BLOCKS},
}
"""What the published encoder calls its parts, and what they are called here. `mu` is `input_mean`."""

AREA_OF_LABEL = ("", "V1", "V1", "V2", "V2", "V3", "V3", "hV4")
"""Areas of the labels in `voxel_roi` (those of prf-visualrois). The others, of Kastner's atlas, have none."""

METADATA = "gnet"
"""Key under which an exported checkpoint carries what the published format has no place for."""

PLAIN = (bool, int, float, str)


def from_published_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published class's encoder tensors under our names.

    `pre.conv1.0.weight` -> `prefilter.conv1.weight`, `enc.conv3.weight` -> `trunk.conv3.conv.weight`,
    `enc.bn1.*` -> `trunk.conv3.norm.*`, `enc.conv4a.conv1.*` -> `trunk.conv4a.conv.*`,
    `enc.conv4a.bn1.*` -> `trunk.conv4a.norm.*`, `mu` -> `input_mean`.

    Raises
    ------
    ModelFileError
        for a name that the published class does not have.
    """
    renamed = {}
    for name, tensor in state.items():
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if name == "mu":
            renamed["input_mean"] = tensor.flatten()
        elif prefix is not None:
            renamed[PREFIXES[prefix] + name.removeprefix(prefix)] = tensor
        else:
            raise ModelFileError(f"encoder state: the published class has no tensor named {name!r}.")
    return renamed


def to_published_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_published_encoder`; tensors of readouts are left out."""
    renamed = {"mu": state["input_mean"].reshape(1, 3, 1, 1)}
    for published, ours in PREFIXES.items():
        part = {name: tensor for name, tensor in state.items() if name.startswith(ours)}
        renamed |= {published + name.removeprefix(ours): tensor for name, tensor in part.items()}
    return renamed


def from_published_readout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published readout's `rf0, rf1, ..., w, b` as our `fields.0, fields.1, ..., weight, bias`."""
    names = {"w": "weight", "b": "bias"}
    return {names.get(name, re.sub(r"^rf(\d)$", r"fields.\1", name)): array for name, array in state.items()}


def to_published_readout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_published_readout`."""
    names = {"weight": "w", "bias": "b"}
    return {names.get(name, name.replace("fields.", "rf")): array for name, array in state.items()}


def read_pickle(path: Path) -> Any:
    """What `torch.save` wrote: tensors on the CPU, NumPy arrays, containers and plain values.

    The arguments that BERG stores (an `argparse.Namespace`) come as such, which is inert.

    Raises
    ------
    ModelFileError
        for a file that is none, is damaged, or asks for anything else; nothing that it asks for was run.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: expected a checkpoint written by torch.save, found no such file.")
    reconstruct, scalar = np._core.multiarray._reconstruct, np._core.multiarray.scalar
    allowed = [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in "?bhilqBHILQefdgFDSU"},  # no objects
        argparse.Namespace,
        *((reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is None:
            raise ModelFileError(
                f"{path}: expected a checkpoint written by torch.save, {_got(error)}"
            ) from error
        raise ModelFileError(
            f"{path}: refused, because it asks for {refused[1]}, which no checkpoint of a GNet needs and "
            "which may run code. Nothing of it was run. Ask whoever made it for a file of tensors and arrays."
        ) from error
    except Exception as error:  # damaged archives raise a dozen unrelated types
        raise ModelFileError(f"{path}: expected a checkpoint written by torch.save, {_got(error)}") from error


def _got(error: Exception) -> str:
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return f"but it cannot be read ({reason}). Fetch it again."


def import_checkpoints(paths: Iterable[Path | str], *, pixels: int | None = None) -> list[FittedModel]:
    """Models from checkpoints in the published format or BERG's, with the state of their best epoch.

    Files whose networks are the same in every bit, readouts apart, become one model: a subject's voxels are
    concatenated in the order of the files. Other networks stand for themselves: one an area in GNet8r, one a
    part in a split area of BERG's, whose parts were fitted apart.

    Parameters
    ----------
    paths
        The files, in the order in which their voxels are to come.
    pixels
        Side of the images that they were fitted to, which no checkpoint says. Several sizes give the same
        feature maps; when omitted it is, of the eight, that which 227 is for the published 25 x 25.

    Raises
    ------
    ModelFileError
        naming the file and what is missing, misshapen or does not fit together; a voxel that two have.
    ParameterError
        where images of `pixels` do not give maps of the size of the pooling fields.
    """
    imported: list[FittedModel] = []
    for path in map(Path, paths):
        model = from_published(read_pickle(path), str(path), pixels=pixels)
        for position, earlier in enumerate(imported):
            for subject in earlier.voxel_index.keys() & model.voxel_index.keys():
                shared = np.intersect1d(earlier.voxel_index[subject], model.voxel_index[subject])
                if len(shared):
                    raise ModelFileError(
                        f"{path}: expected other voxels than in the files before it, found {len(shared):,} "
                        f"of the same, such as {shared[0]} of {subject}. Import them into another model."
                    )
            if _same_network(earlier.network, model.network):
                imported[position] = _concatenated(earlier, model)
                break
        else:
            imported.append(model)
    return imported


def from_published(checkpoint: Any, origin: str, *, pixels: int | None = None) -> FittedModel:
    """A model from what `read_pickle` read; arguments and errors as `import_checkpoints`."""
    if not isinstance(checkpoint, Mapping) or not checkpoint.get("best_params"):
        found = (
            ", ".join(map(str, checkpoint)) if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        )
        raise ModelFileError(
            f"{origin}: expected a checkpoint of a GNet with best_params, found {found or 'nothing'}. "
            "A file of weights alone does not say whose voxels they are."
        )
    best = checkpoint["best_params"]
    for part in ("enc", "fwrfs"):
        if not isinstance(best.get(part), Mapping) or not best[part]:
            raise ModelFileError(f"{origin}: expected best_params to have enc and fwrfs, found no {part}.")
    for state in (best["enc"], *best["fwrfs"].values()):
        other = [name for name, value in state.items() if not isinstance(value, Tensor)]
        if other:
            raise ModelFileError(f"{origin}: expected {other[0]} to be a tensor, got {state[other[0]]!r}.")
    encoder = from_published_encoder(best["enc"])
    readouts = {subject_name(key): from_published_readout(state) for key, state in best["fwrfs"].items()}
    architecture = recognise(encoder, readouts, origin, pixels)
    state = encoder | {
        f"readouts.{subject}.{name}": tensor
        for subject, readout in readouts.items()
        for name, tensor in readout.items()
    }
    check_tensors(state, architecture, origin)
    if METADATA in checkpoint:
        weights = {name: tensor.detach().numpy() for name, tensor in state.items()}
        return from_arrays({**checkpoint[METADATA], "weights": weights}, origin)

    voxels = {
        subject_name(key): voxels_of(checkpoint, key, len(readouts[subject_name(key)]["bias"]), origin)
        for key in best["fwrfs"]
    }
    network = GNet(architecture, {subject: len(found.index) for subject, found in voxels.items()})
    network.load_state_dict(state)
    named = {area for found in voxels.values() for area in found.area.tolist() if area}
    arguments = vars(checkpoint["args."]) if isinstance(checkpoint.get("args."), argparse.Namespace) else {}
    told = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in {**arguments, **checkpoint}.items()
        if isinstance(key, str)
    }
    return FittedModel(
        network.eval(),
        {subject: found.index for subject, found in voxels.items()},
        tuple(sorted(named, key=lambda area: (area in AREA_OF_LABEL and AREA_OF_LABEL.index(area), area))),
        {"imported": Path(origin).name}
        | {key: value for key, value in told.items() if isinstance(value, PLAIN) or value is None},
        published_history(checkpoint),
        {subject: found.area for subject, found in voxels.items()},
        {subject: found.shape for subject, found in voxels.items()},
    )


def subject_name(key: Any) -> str:
    """`subj01` for the published code's 1; names stay as they are.

    >>> subject_name(1), subject_name("subj12")
    ('subj01', 'subj12')
    """
    return f"subj{int(key):02d}" if isinstance(key, (int, np.integer)) else str(key)


def subject_key(subject: str) -> int | str:
    """The inverse of `subject_name`."""
    match = re.fullmatch(r"subj(\d+)", subject)
    return int(match[1]) if match and subject_name(int(match[1])) == subject else subject


def recognise(
    encoder: Mapping[str, Tensor],
    readouts: Mapping[str, Mapping[str, Tensor]],
    origin: str,
    pixels: int | None = None,
) -> Architecture:
    """The architecture that tensors under our names belong to, from their shapes.

    The last layer has as many maps as the readout sees of the others, the layers before it those that they
    pass through in addition: as many again as published, 192 to 64 in the 256-channel variant. A readout with
    the prefilter's 256 features more sees the prefilter. One field instead of one per grid is the second
    published form of the readout.
    """
    needed = {"trunk.conv6b.conv.weight": encoder, "trunk.conv4a.conv.weight": encoder}
    lacking = [published_name(name) for name, state in needed.items() if name not in state]
    for subject, readout in readouts.items():
        lacking += [
            published_name(f"readouts.{subject}.{name}")
            for name in ("fields.0", "weight", "bias")
            if name not in readout
        ]
    if lacking:
        raise ModelFileError(f"{origin}: expected a whole checkpoint, but {', '.join(lacking)} is missing.")
    dimensions = {name: (encoder[name], 4) for name in needed}
    for subject, readout in readouts.items():
        for name, count in (("fields.0", 3), ("weight", 2), ("bias", 1)):
            dimensions[f"readouts.{subject}.{name}"] = readout[name], count
    for name, (tensor, count) in dimensions.items():
        if tensor.ndim != count:
            raise ModelFileError(
                f"{origin}: expected {published_name(name)} to have {count} dimensions, got shape "
                f"{tuple(tensor.shape)}."
            )
    width = len(encoder["trunk.conv6b.conv.weight"])
    pass_through = len(encoder["trunk.conv4a.conv.weight"]) - width
    subject, readout = next(iter(readouts.items()))
    seen = {sees: sum(layer_features(width, prefilter=sees).values()) for sees in (False, True)}
    found = readout["weight"].shape[-1]
    if found not in seen.values():
        raise ModelFileError(
            f"{origin}: expected {published_name(f'readouts.{subject}.weight')} to have {seen[False]} "
            f"features for a trunk of width {width}, or {seen[True]} with the prefilter's, got {found}."
        )
    sees_prefilter = found == seen[True]
    single = not any(name == "fields.1" for name in readout)
    first = readout["fields.0"].shape[-1]
    fine = first - 2 if sees_prefilter else first
    if pixels is None:
        pixels = 8 * (fine + 3) + 3
    if grid_sizes(pixels)[0] != fine:
        raise ParameterError(
            f"pixels: images of {pixels} give maps of {grid_sizes(pixels)[0]} x {grid_sizes(pixels)[0]}, but "
            f"{origin} has pooling fields for {fine} x {fine}: give {8 * fine + 23} to {8 * fine + 30}."
        )
    return Architecture(
        pixels,
        trunk_width=width,
        pass_through=None if pass_through == width else pass_through,
        readout="single_field" if single else "layerwise",
        prefilter_readout=sees_prefilter,
    )


def check_tensors(state: Mapping[str, Tensor], architecture: Architecture, origin: str) -> None:
    """Raise ModelFileError, with the published names, unless all tensors are there and have their shapes."""
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
        more = f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise ModelFileError(
            f"{origin}: expected the tensors of a GNet of width {architecture.trunk_width}, but "
            f"{', '.join(wrong[:8])}{more}. Fetch the file again, or ask whoever made it."
        )


def published_name(name: str) -> str:
    """How a tensor of ours is found in a checkpoint.

    >>> published_name("trunk.conv4a.norm.bias"), published_name("readouts.subj02.fields.1")
    ('enc.conv4a.bn1.bias', 'fwrfs[2].rf1')
    """
    if name.startswith("readouts."):
        _, subject, tensor = name.split(".", 2)
        return f"fwrfs[{subject_key(subject)!r}].{next(iter(to_published_readout({tensor: torch.zeros(0)})))}"
    for published, ours in PREFIXES.items():
        if name.startswith(ours):
            return published + name.removeprefix(ours)
    return "mu" if name == "input_mean" else name


@dataclass(frozen=True)
class Voxels:
    """Whose rows a readout has."""

    index: np.ndarray
    area: np.ndarray
    shape: tuple[int, int, int]


def voxels_of(checkpoint: Mapping[str, Any], key: Any, count: int, origin: str) -> Voxels:
    """Which voxels the rows of one subject's readout are, from the checkpoint itself.

    Never from a region file: those have been redrawn since.

    Raises
    ------
    ModelFileError
        where the checkpoint does not say, says another number of them, or names one outside its volume.
    """
    try:
        found = _berg_voxels if "betas_info" in checkpoint else _published_voxels
        voxels = found(checkpoint, key, origin)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        wanted = "betas_info" if "betas_info" in checkpoint else "voxel_index and brain_nii_shape"
        raise ModelFileError(
            f"{origin}: expected {wanted} to say which voxels subject {key} has, but it does not ({error!r})."
        ) from error
    subject = subject_name(key)
    if len(voxels.index) != count:
        raise ModelFileError(
            f"{origin}: {subject}: expected as many voxels as its readout has rows, {count:,}, found "
            f"{len(voxels.index):,}. Import the files of a split area as they were published."
        )
    size = int(np.prod(voxels.shape))
    outside = voxels.index[(voxels.index < 0) | (voxels.index >= size)]
    if len(outside):
        raise ModelFileError(
            f"{origin}: {subject}: expected voxel indices below {size:,}, the size of its volume "
            f"{voxels.shape}, found {outside[0]:,}."
        )
    if len(np.unique(voxels.index)) != count:
        twice = next(index for index, times in Counter(voxels.index.tolist()).items() if times > 1)
        raise ModelFileError(f"{origin}: {subject}: expected every voxel once, found {twice:,} again.")
    return voxels


def _published_voxels(checkpoint: Mapping[str, Any], key: Any, origin: str) -> Voxels:
    index = np.asarray(checkpoint["voxel_index"][key], np.int64)
    labels = np.asarray(checkpoint["voxel_roi"][key]) if "voxel_roi" in checkpoint else np.zeros(len(index))
    group = checkpoint.get("group_mask")
    mask = np.ones(len(index), bool) if group is None else np.asarray(group[key], bool)
    if not len(index) == len(labels) == len(mask):
        raise ModelFileError(
            f"{origin}: {subject_name(key)}: expected voxel_index, voxel_roi and group_mask of one length, "
            f"found {len(index):,}, {len(labels):,} and {len(mask):,}."
        )
    label = labels[mask].astype(int)
    area = np.array(AREA_OF_LABEL)[np.where((label > 0) & (label < len(AREA_OF_LABEL)), label, 0)]
    if group is not None and "group_name" in checkpoint:
        area = np.full(len(area), checkpoint["group_name"])
    return Voxels(index[mask], area, _shape(checkpoint["brain_nii_shape"][key]))


def _berg_voxels(checkpoint: Mapping[str, Any], key: Any, origin: str) -> Voxels:
    info = checkpoint["betas_info"][key]
    volume = np.asarray(info["roi_mask_volume"])
    shape = _shape(info.get("volume_shape", volume.shape))
    if volume.shape != shape:
        raise ModelFileError(
            f"{origin}: {subject_name(key)}: expected roi_mask_volume of shape {shape}, got {volume.shape}."
        )
    index = np.flatnonzero(volume)
    arguments = checkpoint.get("args.")
    if getattr(arguments, "split_roi", 0):  # both parts carry the mask of the whole area
        half = -(-len(index) // 2)
        index = index[:half] if arguments.split == 1 else index[half:]
    return Voxels(index, np.full(len(index), str(getattr(arguments, "roi", ""))), shape)


def _shape(shape: Any) -> tuple[int, int, int]:
    x, y, z = (int(length) for length in shape)
    return x, y, z


def published_history(checkpoint: Mapping[str, Any]) -> pd.DataFrame:
    """Losses of each epoch and which was the best, where the checkpoint has them."""
    columns = {}
    for column, names in (
        ("loss", ("trn_loss_history", "trn_hist")),
        ("holdout_loss", ("hold_loss_history", "hold_hist")),
    ):
        values = next((checkpoint[name] for name in names if name in checkpoint), None)
        if isinstance(values, Sequence) and len(values):
            columns[column] = np.asarray(values, float)
    if len({len(column) for column in columns.values()}) != 1:
        return pd.DataFrame()
    epochs = len(next(iter(columns.values())))
    best = np.arange(epochs) == checkpoint.get("best_epoch", -1)
    return pd.DataFrame({"epoch": np.arange(1, epochs + 1), **columns, "best": best})


def to_published(model: FittedModel) -> dict[str, Any]:
    """A model as the published code stores it, and under the key `gnet` what that has no place for.

    Labels in `voxel_roi` are those of the areas' first halves (V1v for V1), 0 where the area has none, and
    `val_cc` is NaN: a model does not hold them. `brain_nii_shape` and `voxel_mask` are there if the model
    knows the volume's shape. A model of one area has a `group_mask`, as GNet8r has.
    """
    state = {name: tensor.detach().cpu().clone() for name, tensor in model.network.state_dict().items()}
    keys = {subject: subject_key(subject) for subject in model.voxel_index}
    fwrfs = {
        key: to_published_readout(
            {
                name.removeprefix(f"readouts.{subject}."): tensor
                for name, tensor in state.items()
                if name.startswith(f"readouts.{subject}.")
            }
        )
        for subject, key in keys.items()
    }
    index = {key: np.asarray(model.voxel_index[subject], np.int64) for subject, key in keys.items()}
    label = {area: AREA_OF_LABEL.index(area) for area in AREA_OF_LABEL}
    single = model.areas[0] if len(model.areas) == 1 else ""
    history, configuration = model.history, model.configuration
    best = np.flatnonzero(history["best"]) if "best" in history else []
    exported = {
        "num_epochs": configuration.get("num_epochs", configuration.get("epochs", len(history))),
        "batch_size": configuration.get("batch_size"),
        "holdout_frac": configuration.get("holdout_frac"),
        "best_params": {"enc": to_published_encoder(state), "fwrfs": fwrfs},
        "final_params": {},
        "trn_loss_history": list(map(float, history.get("loss", ()))),
        "hold_loss_history": list(map(float, history.get("holdout_loss", ()))),
        "hold_cc_history": {},
        "best_epoch": int(best[0]) if len(best) else 0,
        "best_joint_cc_score": float(history["holdout_median_r"].max())
        if "holdout_median_r" in history
        else None,
        "val_cc": {key: np.full(len(voxels), np.nan, np.float32) for key, voxels in index.items()},
        "input_mean": state["input_mean"].reshape(1, 3, 1, 1).numpy(),
        "voxel_index": index,
        "voxel_roi": {
            key: np.array(
                [label.get(area, 0) for area in model.area.get(subject, [single] * len(index[key]))]
            )
            for subject, key in keys.items()
        },
    }
    shapes = {keys[subject]: _shape(shape) for subject, shape in model.volume_shape.items()}
    if len(shapes) == len(keys):
        masks = {key: np.zeros(int(np.prod(shape)), bool) for key, shape in shapes.items()}
        for key, mask in masks.items():
            mask[index[key]] = True
        exported |= {"brain_nii_shape": shapes, "voxel_mask": masks}
    if single:
        masks = {key: np.ones(len(voxels), bool) for key, voxels in index.items()}
        exported |= {"group_name": single, "group_mask": masks}
    metadata = {name: part for name, part in to_arrays(model).items() if name != "weights"}
    assert metadata["format"] == FORMAT
    return exported | {METADATA: metadata}


def export_checkpoint(model: FittedModel, path: Path | str) -> None:
    """Write the model in the published format, whole or not at all."""
    with atomic_path(path) as part, SteadyFile(part) as file:
        torch.save(to_published(model), file)


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

    def join(mine: Mapping[str, np.ndarray], added: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        both = {**mine, **added}
        both |= {
            subject: np.concatenate([mine[subject], added[subject]]) for subject in mine if subject in added
        }
        return both

    index = join(one.voxel_index, other.voxel_index)
    network = GNet(one.network.architecture, {subject: len(voxels) for subject, voxels in index.items()})
    network.load_state_dict(state)
    return replace(
        one,
        network=network.eval(),
        voxel_index=index,
        areas=tuple(dict.fromkeys(one.areas + other.areas)),
        area=join(one.area, other.area),
        volume_shape={**one.volume_shape, **other.volume_shape},
    )
