"""Names in published checkpoints and here: tensors, subjects, and the areas of voxel labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from gnet.errors import ModelFileError

BLOCKS = ("conv4a", "conv4b", "conv5a", "conv5b", "conv6a", "conv6b")
ENCODER = {
    "mu": "input_mean",
    "pre.conv1.0.": "prefilter.conv1.",
    "pre.conv2.0.": "prefilter.conv2.",
    "enc.conv3.": "trunk.conv3.conv.",
    "enc.bn1.": "trunk.conv3.norm.",
    **{f"enc.{block}.conv1.": f"trunk.{block}.conv." for block in BLOCKS},
    **{f"enc.{block}.bn1.": f"trunk.{block}.norm." for block in BLOCKS},
}
"""Beginnings of the names of the published encoder's tensors and of ours."""
READOUT = {"w": "weight", "b": "bias", "rf0": "fields.0", "rf1": "fields.1", "rf2": "fields.2"}
"""Names of the published readout's tensors and of ours."""
AREA_OF_LABEL = ("", "V1", "V1", "V2", "V2", "V3", "V3", "hV4")
"""Area of each label in `voxel_roi` (labels of prf-visualrois). Labels above these have no area here."""
METADATA = "gnet"
"""Key under which an exported checkpoint holds what the published format has no place for."""


def from_published_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published class's encoder tensors under our names; `mu` (1, 3, 1, 1) becomes `input_mean` (3,).

    Raises ModelFileError for a name that the published class does not have.
    """
    renamed = {}
    for name, tensor in state.items():
        ours = _translated(name, ENCODER)
        if ours == name:
            raise ModelFileError(f"encoder state: the published class has no tensor named {name!r}.")
        renamed[ours] = tensor.flatten() if ours == "input_mean" else tensor
    return renamed


def to_published_encoder(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `from_published_encoder`; readout tensors are left out."""
    encoder = {published_name(n): t for n, t in state.items() if not n.startswith("readouts.")}
    return encoder | {"mu": encoder["mu"].reshape(1, 3, 1, 1)}


def from_published_readout(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published readout's tensors under our names; others keep theirs."""
    return {READOUT.get(name, name): tensor for name, tensor in state.items()}


def to_published_readout(state: Mapping[str, Tensor], subject: str) -> dict[str, Tensor]:
    """The inverse of `from_published_readout`, of one subject's readout in a network's state."""
    own = {name: tensor for name, tensor in state.items() if name.startswith(f"readouts.{subject}.")}
    return {published_name(name).rpartition(".")[2]: tensor for name, tensor in own.items()}


def subject_name(key: Any) -> str:
    """`subj01` for the published code's 1; names stay as they are."""
    return f"subj{int(key):02d}" if isinstance(key, (int, np.integer)) else str(key)


def subject_key(subject: str) -> int | str:
    """The inverse of `subject_name`."""
    number = subject.removeprefix("subj")
    return int(number) if number.isdecimal() and subject_name(int(number)) == subject else subject


def published_name(name: str) -> str:
    """Where one of our tensors is found in a published checkpoint.

    >>> published_name("trunk.conv4a.norm.bias"), published_name("readouts.subj02.fields.1")
    ('enc.conv4a.bn1.bias', 'fwrfs[2].rf1')
    """
    if name.startswith("readouts."):
        _, subject, tensor = name.split(".", 2)
        published = {ours: theirs for theirs, ours in READOUT.items()}
        return f"fwrfs[{subject_key(subject)!r}].{published.get(tensor, tensor)}"
    return _translated(name, {ours: theirs for theirs, ours in ENCODER.items()})


def _translated(name: str, prefixes: Mapping[str, str]) -> str:
    """The name with its prefix replaced; the name itself if it has none of them."""
    found = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    return prefixes.get(found, "") + name.removeprefix(found)


def areas_of_labels(labels: np.ndarray) -> np.ndarray:
    """Area of each label of prf-visualrois, "" for labels that name none of V1 to hV4."""
    known = (labels > 0) & (labels < len(AREA_OF_LABEL))
    return np.array(AREA_OF_LABEL)[np.where(known, labels, 0).astype(int)]
