"""What several pipelines name, and select from the stored tables, in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, update_wrapper
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from kedro.pipeline import Node

from gnet.errors import ModelFileError
from gnet.models.checkpoints import FittedModel


def model_files(areas: tuple[str, ...]) -> dict[str, list[str]]:
    """The datasets that make up each kind of model: one for the joint, one per area for the area-wise."""
    return {"gnet8j": ["gnet8j"], "gnet8r": [f"{area}.gnet8r" for area in areas]}


def by_keyword(*names: str) -> dict[str, str]:
    """Inputs of a node for a function that takes them by keyword, in the order of its signature.

    Kedro finds the classes of parameters by position.

    >>> by_keyword("params:fitting", "V1.gnet8r")
    {'fitting': 'params:fitting', 'V1_gnet8r': 'V1.gnet8r'}
    """
    return {name.removeprefix("params:").replace(".", "_"): name for name in names}


def given(function: Callable[..., Any], **arguments: Any) -> Callable[..., Any]:
    """The function with some arguments set, under its own name."""
    return update_wrapper(partial(function, **arguments), function)


def named_node(function: Callable[..., Any], inputs: Any, outputs: Any) -> Node:
    """A node with the name of its function."""
    return Node(function, inputs, outputs, name=function.__name__)


def common_subjects(models: Sequence[FittedModel], voxels: pd.DataFrame) -> list[str]:
    """Subjects in use that any of the models has, in the order of the voxel table; ModelFileError if none."""
    fitted = list(dict.fromkeys(subject for model in models for subject in model.voxels))
    here = voxels["subject"].unique().tolist()
    common = [subject for subject in here if subject in fitted]
    if not common:
        raise ModelFileError(
            f"models: expected voxels of {', '.join(here)}, found those of {', '.join(fitted)}. Set "
            "release.subjects to subjects that both have, or take another model."
        )
    return common


def model_voxels(model: FittedModel, voxels: pd.DataFrame, subject: str) -> pd.DataFrame:
    """`voxels_of` a fitted model; `area` is one that the model was fitted to, also of a voxel in several."""
    table = voxels_of(model.voxels[subject].index, voxels, subject)
    known = table["area"].isin(model.areas) if model.areas else True  # an imported model may not say
    return table.assign(area=table["area"].where(known, *model.areas[:1]))


def voxels_of(voxel_index: Int[np.ndarray, " voxel"], voxels: pd.DataFrame, subject: str) -> pd.DataFrame:
    """Rows of the voxel table for a model's voxels, in the model's order, with their `column` in the betas.

    Raises ModelFileError if the release that was prepared does not have all of them.
    """
    table = voxels[voxels["subject"] == subject]
    column = pd.Index(table["voxel_index"]).get_indexer(voxel_index)
    if missing := int((column < 0).sum()):
        found = "none" if missing == len(voxel_index) else f"only {len(voxel_index) - missing:,}"
        raise ModelFileError(
            f"{subject}: expected the model's {len(voxel_index):,} voxels in the voxel table, found "
            f"{found} of them. Was the model fitted to another release, or to areas that are no longer "
            "configured? Add them to `areas`, or fit it again."
        )
    return table.iloc[column].assign(column=column).reset_index(drop=True)


def positions(among: Int[np.ndarray, " item"], wanted: Int[np.ndarray, " want"]) -> Int[np.ndarray, " want"]:
    """Where each wanted number stands among others, which may be in any order and include all of them.

    >>> positions(np.array([7, 3, 5]), np.array([5, 7]))
    array([2, 0])
    """
    order = np.argsort(among, kind="stable")
    return order[np.searchsorted(among, wanted, sorter=order)]


def models_of(named: Mapping[str, FittedModel | list[FittedModel]]) -> list[FittedModel]:
    """All models of some datasets, which hold one each or, imported ones, several."""
    lists = [[found] if isinstance(found, FittedModel) else found for found in named.values()]
    return [model for models in lists for model in models]
