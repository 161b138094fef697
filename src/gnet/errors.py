"""What can be wrong, by who can mend it. Every message says what was expected, what was found, what to do."""


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
    """Stored data were made with other parameters than those of this run, or from other versions."""


class StorageError(GNetError, OSError):
    """A disk refuses (full, read-only, not permitted), or a stored file is missing or damaged."""


class BusyError(GNetError, RuntimeError):
    """Another run is making what this one reads or makes."""
