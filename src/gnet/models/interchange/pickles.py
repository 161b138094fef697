"""Pickles of `torch.save`, read without running them: a pickle from a stranger may do anything."""

from __future__ import annotations

import argparse
import importlib
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gnet.errors import ModelFileError

EXPECTED = "expected a checkpoint written by torch.save"


def read_pickle(path: Path) -> Any:
    """What `torch.save` wrote: tensors on the CPU, NumPy arrays, containers, plain values, BERG's arguments.

    The checksums of a zip archive, which `torch.save` writes since 2020, are compared first. Raises
    ModelFileError for a file that is missing, damaged or asks for anything else; nothing in it was run.
    """
    if not path.is_file():
        found = "a folder. Give the file in it" if path.is_dir() else "no such file"
        raise ModelFileError(f"{path}: {EXPECTED}, found {found}.")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if part := archive.testzip():
                    stated = "the checksum that the file states, so the file is damaged"
                    raise zipfile.BadZipFile(f"{part} in it does not have {stated}")
        with torch.serialization.safe_globals(_allowed()), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelFileError(f"{path}: {_refusal(str(error))}") from None  # torch's text advises to run it
    except Exception as error:  # damaged archives raise a dozen unrelated types
        reason = str(error).strip().split("\n")[0]
        if not reason or "weights_only" in reason:  # advice that must not be followed
            reason = type(error).__name__
        raise ModelFileError(
            f"{path}: {EXPECTED}, but it cannot be read: {reason}. Fetch it again."
        ) from None


def _allowed() -> list[Any]:
    """Classes beside tensors that a checkpoint of a GNet is made of; none of them runs anything."""
    multiarray = importlib.import_module("numpy._core.multiarray")
    functions = [
        (getattr(multiarray, name), f"numpy.{core}.multiarray.{name}")
        for name in ("_reconstruct", "scalar")
        for core in ("core", "_core")  # of NumPy 1 and 2
    ]
    types = {type(np.dtype(code)) for code in "?bhilqBHILQefdgFDSU"}  # no objects
    return [np.ndarray, np.dtype, *types, argparse.Namespace, *functions]


def _refusal(text: str) -> str:
    """Our words for what the restricted unpickler did not accept."""
    if asked := re.search(r"GLOBAL (\S+)", text):
        return (
            f"refused, because it asks for {asked[1]}, which no checkpoint of a GNet needs and which may run "
            "code. Nothing of it was run. Ask whoever made it for a file of tensors and arrays."
        )
    return (
        f"{EXPECTED}, but it cannot be read and was refused: it is damaged, another kind of file, or asks "
        "for more than tensors, arrays and plain values. Nothing of it was run. Fetch it again, or ask "
        "whoever made it for a file of tensors and arrays."
    )
