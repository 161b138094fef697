"""Groups and arrays of an HDF5 file, checked before they are read.

A file may come from somebody else. HDF5 follows links into other files, takes data from any file that is
named in it, and believes every size that it declares. Here such members are refused, and named.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

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
    """The file, open for reading.

    Raises
    ------
    StorageError
        if it is not there, cannot be read, or holds what `member` and `attribute` refuse.
    """
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
    """Names of attributes, then of members.

    Raises
    ------
    StorageError
        if a name is not UTF-8.
    """
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
    """A group or array that lies in this file, as a whole and under one name.

    Raises
    ------
    StorageError
        for a soft or external link, a second name (so that no group can contain itself), data that lie in
        other files or were never written, a type that is neither number nor text, a size that the file
        cannot hold, and groups more than `DEPTH` deep.
    """
    link = group.get(key, getlink=True)
    if isinstance(link, h5py.HardLink):
        found = group[key]
        try:
            problem = _problem(found)
        except (TypeError, ValueError) as error:
            problem = f"a type that cannot be read ({error})"
    else:
        problem = {h5py.SoftLink: "a soft link", h5py.ExternalLink: "a link into another file"}.get(
            type(link), "nothing"
        )
    if problem:
        raise refusal(group, key, "a group or an array that lies in this file", problem)
    return found


def attribute(group: h5py.Group, key: str) -> str | bool | int | float:
    """A single value.

    Raises
    ------
    StorageError
        for anything else, and for text that is not UTF-8.
    """
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


def leaves(group: h5py.Group) -> Iterator[tuple[str, str, str, str]]:
    """Path, shape, type and, of single values, the value of everything below `group`."""
    for key in names(group):
        path = f"{group.name}/{key}".strip("/")
        if key in group.attrs:
            value = attribute(group, key)
            shown = str(value)
            yield path, "", type(value).__name__, shown if len(shown) <= 80 else f"{shown[:79]}…"
            continue
        found = member(group, key)
        if isinstance(found, h5py.Group):
            yield from leaves(found)
        else:
            kind = "str" if h5py.check_string_dtype(found.dtype) else str(found.dtype)
            yield path, str(found.shape), kind, ""


def refusal(group: h5py.Group, key: str | bytes, expected: str, found: str) -> StorageError:
    """Say which member cannot be used, and why."""
    shown = key if isinstance(key, str) else key.decode(errors="backslashreplace")
    return StorageError(
        f"{group.file.filename}: '{group.name.rstrip('/')}/{shown}': expected {expected}, found {found}. "
        "The file is damaged, or this project did not make it: delete it and run the pipeline that makes it."
    )


def _problem(found: h5py.Group | h5py.Dataset | h5py.Datatype) -> str:
    """What a member is instead of a group or array that lies in this file; "" if it is one."""
    if isinstance(found, h5py.Datatype):
        return "a committed type"
    if h5py.h5o.get_info(found.id).rc > 1:
        return "one that has a second name"
    if found.name.count("/") > DEPTH:
        return f"one more than {DEPTH} levels deep"
    return "" if isinstance(found, h5py.Group) else _problem_of_array(found)


def _problem_of_array(found: h5py.Dataset) -> str:
    if found.shape is None:
        return "an array without data"
    if found.is_virtual or found.external:
        return "an array whose data lie in other files"
    if found.dtype.kind not in "biufc" and not h5py.check_string_dtype(found.dtype):
        return f"an array of {found.dtype}"
    size = found.file.id.get_filesize()
    compressed = found.id.get_create_plist().get_nfilters() > 0
    if found.nbytes > size * (COMPRESSION if compressed else 1):
        return f"an array of {found.nbytes:,} bytes in a file of {size:,}"
    return ""
