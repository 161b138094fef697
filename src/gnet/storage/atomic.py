"""Files are written atomically: a file is complete, or it does not exist.

Everything is written under a hidden name beside its destination, forced to disk, and only then renamed, which
the file system does in one step. A disk that is full or read-only raises a `StorageError`. Uses the standard
library only: every layer may import it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from gnet.errors import GNetError, StorageError

PART = re.compile(r"\.([^/]+)\.(\d+)\.[0-9a-f]{32}\.part")
"""Name of a file that is being written: .<name>.<process>.<random>.part"""
REFUSALS = {
    errno.ENOSPC: "expected room on the disk, found it full. Delete what is not needed",
    errno.EDQUOT: "expected room on the disk, found your quota used up. Delete what is not needed",
    errno.EFBIG: "expected room for all of it, found a limit on the size of files. Raise it (`ulimit -f`)",
    errno.EROFS: "expected a disk that can be written to, found a read-only one. Mount it writable",
    errno.EACCES: "expected permission to read and write there, found none. Ask its owner (`ls -ld`) for it",
    errno.EIO: "expected a disk that works, found one that reports an error. Save what is on it",
}
"""What to say when a disk refuses, by the number of the system's error."""
REFUSALS[errno.EPERM] = REFUSALS[errno.EACCES]


def atomic_path(path: str | os.PathLike) -> AbstractContextManager[Path]:
    """Yield a path to write to, which becomes `path` when the block ends and vanishes when it raises.

    The yielded name (`PART`) does not end in the suffix of `path`, so that no glob takes it for the finished
    file; writers that look at the suffix must be given the format. A file that already exists stays as it is
    until it is replaced. Missing folders are made, and removed again on failure. A process that is killed
    outright leaves the `.part` behind, never a damaged `path`.

    Raises IsADirectoryError if `path` is a folder, and StorageError if the disk or the folder refuses.
    """
    return _replacing(Path(path), is_folder=False)


def atomic_folder(path: str | os.PathLike) -> AbstractContextManager[Path]:
    """As `atomic_path`, but yields an empty folder to fill; FileExistsError if `path` is a file.

    A folder that already exists is replaced as a whole, with all its content: the caller makes sure that
    nothing in it is worth keeping. Between two renames, for a moment, neither folder exists under `path`.
    """
    return _replacing(Path(path), is_folder=True)


@contextlib.contextmanager
def _replacing(path: Path, is_folder: bool) -> Iterator[Path]:
    """What `atomic_path` and `atomic_folder` yield and do."""
    try:
        if path.exists() and path.is_dir() != is_folder:
            kind, found = ("folder", "file") if is_folder else ("file", "folder")
            raise (FileExistsError if is_folder else IsADirectoryError)(
                f"{path}: expected a {kind} or nothing, found a {found}; move it away or save elsewhere"
            )
        made = [level for level in path.parents if not level.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        part, former = _part(path), _part(path)
        try:
            if is_folder:
                part.mkdir()
            yield part
            for written in (*part.rglob("*"), part):
                _flush(written)
            if is_folder and path.exists():
                path.rename(former)
            part.replace(path)
        except BaseException:
            if former.exists() and not path.exists():
                former.rename(path)
            shutil.rmtree(part, ignore_errors=True)
            if not is_folder:
                part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # another process has put something there: it stays
                for level in made:
                    level.rmdir()
            raise
        _flush(path.parent)
        shutil.rmtree(former, ignore_errors=True)
    except Exception as error:
        if refusal := storage_error(error, path):
            raise refusal from error
        raise


def existing_level(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(level for level in (path, *path.parents) if level.exists())


def storage_error(error: BaseException, path: str | os.PathLike | None = None) -> StorageError | None:
    """A StorageError that says what a disk refused; None if `error` and its causes are something else.

    It is about `path` if the error itself does not name a file.
    """
    for cause in causes(error):
        if isinstance(cause, GNetError):
            break
        if isinstance(cause, OSError) and cause.errno in REFUSALS:
            place = PART.sub(r"\1", str(cause.filename or path or "a file"))
            return StorageError(
                f"{place}: {REFUSALS[cause.errno]}, or use another disk (the environment variable GNET_DATA "
                "names the data folder). Then give the same command again: what is finished is kept."
            )
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, what caused that; each once, and none that `raise ... from None` hides."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def readable_bytes(size: int) -> str:
    """A number of bytes for people.

    >>> readable_bytes(74_000_000_000), readable_bytes(1_340_000), readable_bytes(200)
    ('74.0 GB', '1.3 MB', '0.2 kB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def unreadable(path: Path, expected: str, error: Exception) -> StorageError:
    """The error for a stored file that cannot be read: the disk refuses, or the file is damaged."""
    return storage_error(error, path) or StorageError(
        f"{path}: expected {expected}, found a file that cannot be read ({error}). If it was cut short or "
        "damaged, delete it and run the pipeline that makes it."
    )


def _part(path: Path) -> Path:
    """A name that no other process uses, with the number of this process."""
    return path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex}.part")


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
