"""Exceptions, grouped by who can fix them.

Every message says what was expected, what was found and what to do.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class GNetError(Exception):
    """Base class of every error that this package raises deliberately."""


class ReleaseError(GNetError, ValueError):
    """A file of the data release is missing, damaged or not what its name promises."""


class ParameterError(GNetError, ValueError):
    """A parameter asks for something that does not exist: a subject, an area, a protocol."""


class ModelFileError(GNetError, ValueError):
    """A model file is damaged, has another format version, or does not fit the data it is used with."""


class DeviceError(GNetError, RuntimeError):
    """The requested device does not exist or has too little memory."""


class OutdatedError(GNetError, ValueError):
    """Stored data were made with other parameters than those of this run, or from other input versions."""


class StorageError(GNetError, OSError):
    """A disk cannot be written (full, read-only, no permission), or a stored file is missing or damaged."""


class BusyError(GNetError, RuntimeError):
    """Another run is writing what this one reads or writes."""


class ClusterError(GNetError, RuntimeError):
    """The cluster on which nodes are to run is not described, cannot be started, or does not fit them."""


def expected_one_of(allowed: Iterable[str], got: object, otherwise: str = "Choose one of them.") -> str:
    """What was expected and found, and the most similar that is allowed; `otherwise` if none is similar.

    >>> expected_one_of(["published", "revised"], "revisd")
    "expected one of published, revised, got 'revisd'. Did you mean revised?"
    """
    allowed = list(allowed)
    similar = get_close_matches(str(got), allowed, n=1)
    hint = f"Did you mean {similar[0]}?" if similar else otherwise
    return f"expected one of {', '.join(allowed)}, got {got!r}. {hint}"
