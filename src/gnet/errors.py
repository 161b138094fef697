"""What can be wrong, by who can mend it. Every message says what was expected, what was found, what to do."""

from __future__ import annotations

import errno
import os
import re


class GNetError(Exception):
    """Base of every error this package raises on purpose."""


class ReleaseError(GNetError, ValueError):
    """A file of the data release is missing, damaged or not what its name promises."""


class ParameterError(GNetError, ValueError):
    """A parameter asks for something that does not exist: a subject, an area, a protocol."""


class ModelFileError(GNetError, ValueError):
    """A model file is damaged, of another version, or does not fit the data it is used with."""


class DeviceError(GNetError, RuntimeError):
    """The requested device is not there, or too small."""


class OutdatedError(GNetError, ValueError):
    """Stored data were made with other parameters than those of this run."""


class StorageError(GNetError, OSError):
    """A disk, a folder or a file refuses: full, read-only, not permitted, damaged."""


class BusyError(GNetError, RuntimeError):
    """Another run is making what this one reads or makes."""


REFUSALS = {
    errno.ENOSPC: "expected room on the disk, found it full. Delete what is not needed",
    errno.EDQUOT: "expected room on the disk, found your quota used up. Delete what is not needed",
    errno.EFBIG: "expected room for all of it, found a limit on the size of files. Raise it (`ulimit -f`)",
    errno.EROFS: "expected a disk that can be written to, found a read-only one. Mount it writable",
    errno.EACCES: "expected permission to read and write there, found none. Ask its owner (`ls -ld`) for it",
    errno.EIO: "expected a disk that works, found one that reports an error. Save what is on it",
}
"""What a disk can refuse, by the system's number of it."""
REFUSALS[errno.EPERM] = REFUSALS[errno.EACCES]


def storage_error(error: BaseException, path: str | os.PathLike | None = None) -> StorageError | None:
    """What a disk refused, as a message of ours; None if `error` and what caused it are something else.

    `path` is what was read or written, for errors that do not name a file themselves.

    >>> str(storage_error(OSError(errno.ENOSPC, "No space left on device"), "data/betas.h5"))[:60]
    'data/betas.h5: expected room on the disk, found it full. Del'
    >>> storage_error(KeyError("betas")) is None
    True
    """
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, GNetError):
        if isinstance(cause, OSError) and cause.errno in REFUSALS:
            # gnet.atomic writes under names such as .betas.h5.<random>.part: nobody knows them
            place = re.sub(r"\.([^/]+)\.[0-9a-f]{32}\.part", r"\1", str(cause.filename or path or "a file"))
            return StorageError(
                f"{place}: {REFUSALS[cause.errno]}, or use another disk (the environment variable GNET_DATA "
                "names the data folder). Then give the same command again: what is finished is kept."
            )
        cause = cause.__cause__ or cause.__context__
    return None
