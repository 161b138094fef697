"""A file is there whole, or not at all.

Everything is written under a hidden name beside its destination, forced to disk, and only then given its
final name, which the file system does in one step. A disk that refuses, being full or read-only, is a
`StorageError`. Needs the standard library only: every layer may use it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from gnet.errors import storage_error


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` when the block ends and vanishes when it raises.

    The yielded name, `.<name>.<random>.part`, does not end in the suffix of `path`, so that no glob takes it
    for the finished file; writers that look at the suffix must be told the format. A file that was there
    before stays as it was until it is replaced. Missing folders are made, and removed again on failure. A
    process that is killed outright leaves the `.part` behind, never a damaged `path`.

    Raises
    ------
    IsADirectoryError
        if `path` is a folder.
    StorageError
        if the disk or the folder refuses; its cause is what raised.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> with atomic_path(folder / "scores" / "r.txt") as part:
    ...     _ = part.write_text("0.7")
    >>> (folder / "scores" / "r.txt").read_text()
    '0.7'
    """
    path = Path(path)
    with _refusals_told(path):
        if path.is_dir():
            raise IsADirectoryError(
                f"{path}: expected a file or nothing, found a folder; move it away or save elsewhere"
            )
        with new_folders(path.parent):
            part = _part(path)
            try:
                yield part
                _flush(part)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _flush(path.parent)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Yield an empty folder to fill, which becomes `path` when the block ends and vanishes when it raises.

    A folder that was there before is replaced as a whole: nothing of its content survives, and whoever calls
    this has made sure that nothing of it is worth keeping. The one moment in which neither is there lies
    between two renames.

    Raises
    ------
    FileExistsError
        if `path` is a file.
    StorageError
        if the disk or the folder refuses; its cause is what raised.

    Examples
    --------
    >>> folder = getfixture("tmp_path")
    >>> with atomic_folder(folder / "masks") as part:
    ...     _ = (part / "V1.txt").write_text("101")
    >>> [file.name for file in (folder / "masks").iterdir()]
    ['V1.txt']
    """
    path = Path(path)
    with _refusals_told(path):
        if path.exists() and not path.is_dir():
            raise FileExistsError(
                f"{path}: expected a folder or nothing, found a file; move it away or save elsewhere"
            )
        with new_folders(path.parent):
            part, former = _part(path), _part(path)
            part.mkdir()
            try:
                yield part
                for member in part.rglob("*"):
                    _flush(member)
                _flush(part)
                if path.exists():
                    path.rename(former)
                part.rename(path)
            except BaseException:
                if former.exists() and not path.exists():
                    former.rename(path)
                shutil.rmtree(part, ignore_errors=True)
                raise
            _flush(path.parent)
            shutil.rmtree(former, ignore_errors=True)


@contextlib.contextmanager
def new_folders(folder: str | os.PathLike) -> Iterator[None]:
    """Make `folder` and its parents for the block; if it raises, remove those that it made and left empty."""
    folder = Path(folder)
    made = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):  # another process has put something there: it stays
            for level in made:
                level.rmdir()
        raise


@contextlib.contextmanager
def _refusals_told(path: Path) -> Iterator[None]:
    """Say what a disk refuses in our words."""
    try:
        yield
    except Exception as error:
        refusal = storage_error(error, path)
        if refusal is None:
            raise
        raise refusal from error


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")


def _flush(path: Path) -> None:
    """Force what was written to `path`, a file or a folder, from the system's memory to the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if path.is_dir():  # Windows opens no folders
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
