"""Groups and arrays of an HDF5 file, checked before they are read.

A file may come from somebody else. HDF5 follows links into other files, takes data from any file that is
named in it, and believes every size that it declares. Here such members are refused, and named.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gnet.errors import StorageError
from gnet.storage.atomic import unreadable

DEPTH = 32
"""Most levels of groups below each other."""
COMPRESSION = 1100
"""Most bytes of an array that one byte of a compressed file can stand for: 1,032 with gzip, less with lzf."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """The file, open for reading; StorageError if it is not there or cannot be read, now or in the block."""
    if not path.is_file():
        raise StorageError(f"{path}: expected an HDF5 file, found none; run the pipeline that makes it")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except StorageError:
        raise
    except (OSError, RuntimeError, KeyError, UnicodeError) as error:
        raise unreadable(path, "a complete HDF5 file", error) from error


def names(group: h5py.Group | h5py.Dataset) -> list[str]:
    """Names of attributes, then of members; StorageError if one is not UTF-8, KeyError for an array."""
    if not isinstance(group, h5py.Group):
        raise KeyError(f"'{group.name}' is an array, not a group")
    found = [*group.attrs, *group]
    for name in found:
        if isinstance(name, bytes):
            raise refusal(group, name, "a name in UTF-8", "other bytes")
    return found


def walk(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """The group or array with a path such as `/subj01/betas`; errors as of `member`."""
    found = file["/"]
    for key in name.strip("/").split("/") if name != "/" else ():
        if key not in names(found):
            raise KeyError(f"no '{key}' in '{found.name}'")
        found = member(found, key)
    return found


def member(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset:
    """A group or array that lies in this file; StorageError for other links and what `PROBLEMS` finds."""
    link, found = group.get(key, getlink=True), None
    problem = LINKS.get(type(link), "nothing")
    if isinstance(link, h5py.HardLink):
        found = group[key]
        try:
            problem = next((text for applies, text in PROBLEMS if applies(found)), "")
            problem = problem and problem.format(found, found.file.id.get_filesize())
        except (TypeError, ValueError) as error:
            problem = f"a type that cannot be read ({error})"
    if problem:
        raise refusal(group, key, "a group or an array that lies in this file", problem)
    return found


def attribute(group: h5py.Group, key: str) -> str | bool | int | float:
    """A single value; StorageError for anything else, and for text that is not UTF-8."""
    try:
        value = group.attrs[key]
    except (TypeError, ValueError) as error:
        raise refusal(group, key, "text or a number", f"what cannot be read ({error})") from error
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, (str, bool, int, float)):
        raise refusal(group, key, "text or a number", type(value).__name__)
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise refusal(group, key, "text in UTF-8", "other bytes")
    return value


def refusal(group: h5py.Group, key: str | bytes, expected: str, found: str) -> StorageError:
    """Say which member cannot be used, and why."""
    shown = key if isinstance(key, str) else key.decode(errors="backslashreplace")
    return StorageError(
        f"{group.file.filename}: '{group.name.rstrip('/')}/{shown}': expected {expected}, found {found}. "
        "The file is damaged, or this project did not make it: delete it and run the pipeline that makes it."
    )


def _is_too_large(array: h5py.Dataset) -> bool:
    filters = array.id.get_create_plist().get_nfilters()
    return array.nbytes > array.file.id.get_filesize() * (COMPRESSION if filters else 1)


LINKS = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link into another file"}
"""What is refused by its link alone."""
PROBLEMS: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (lambda found: isinstance(found, h5py.Datatype), "a committed type"),
    (lambda found: h5py.h5o.get_info(found.id).rc > 1, "one that has a second name"),
    (lambda found: found.name.count("/") > DEPTH, f"one more than {DEPTH} levels deep"),
    (lambda found: isinstance(found, h5py.Group), ""),
    (lambda array: array.shape is None, "an array without data"),
    (lambda array: array.is_virtual or bool(array.external), "an array whose data lie in other files"),
    (
        lambda array: array.dtype.kind not in "biufc" and not h5py.check_string_dtype(array.dtype),
        "an array of {0.dtype}",
    ),
    (_is_too_large, "an array of {0.nbytes:,} bytes in a file of {1:,}"),
)
"""Checks in the order in which they are safe, with what each finds: of all members, then of arrays only.

A group can contain itself: then it has a second name or, where the file denies that, levels without end.
"""
