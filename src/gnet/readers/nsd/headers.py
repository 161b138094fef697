"""What a file of the release says of its numbers, read from its header without reading the numbers."""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from gnet.errors import ReleaseError
from gnet.readers.nsd.betas import DATASET
from gnet.recording.volumes import UNREADABLE, open_image, spell_shape


@dataclass(frozen=True)
class Header:
    """Type, shape and place of the numbers in a file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    """(x, y, z) or (x, y, z, trial), in either format."""
    affine: np.ndarray | None = None
    """Affine from voxel to millimetres; HDF5 does not say."""
    content: bytes = b""
    """Identifies the numbers: gzip's checksum, or some of the numbers; b"" if these are all the same."""


def read_header(path: Path) -> Header:
    """The header of a NIfTI file, or of an HDF5 file of betas.

    Raises ReleaseError, which does not repeat the path, for a file that is missing, unreadable, shorter than
    its header says, or other than plain numbers on the expected axes.
    """
    if not path.is_file():
        raise ReleaseError("missing")
    try:
        return _hdf5_header(path) if path.suffix == ".hdf5" else _nifti_header(path)
    except ReleaseError:
        raise
    except PermissionError as error:
        raise ReleaseError("no permission to read it: ask its owner (`ls -l`) for it") from error
    except UNREADABLE as error:
        raise ReleaseError(f"damaged or truncated: it cannot be opened ({error})") from error


def is_truncated(path: Path, dataset: str) -> bool:
    """Whether an uncompressed dataset is larger than the HDF5 file that should hold it.

    HDF5 refuses to open a file that was cut, but not one that was never filled because its writer was
    interrupted: its missing chunks would read as zeros. Comparing sizes takes no time; asking for the storage
    in use, which would find the last missing chunk, takes 1.6 s for a session of NSD.
    """
    with h5py.File(path, "r") as file:
        stored = file[dataset]
        return stored.id.get_create_plist().get_nfilters() == 0 and stored.nbytes > path.stat().st_size


def _nifti_header(path: Path) -> Header:
    image = open_image(path)
    dtype, shape = image.get_data_dtype(), image.shape
    whole = image.dataobj.offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    with path.open("rb") as file:
        file.seek(-8, 2)
        end = file.read()
    length = int.from_bytes(end[4:], "little")  # gzip ends with a checksum and the length of its content
    if length != whole % 2**32:
        raise ReleaseError("truncated: its end is not where its header puts it")
    of_betas = path.name.startswith("betas_session")
    if len(shape) != (4 if of_betas else 3):
        raise ReleaseError(
            f"expected axes {'x, y, z, trial' if of_betas else 'x, y, z'}, found shape {spell_shape(shape)}"
        )
    if (image.dataobj.slope, image.dataobj.inter) != (1, 0):
        raise ReleaseError(f"expected plain {'int16' if of_betas else 'numbers'}, found numbers to be scaled")
    if dtype.kind not in "iuf":
        raise ReleaseError(f"expected real numbers, found {dtype}")
    return Header(dtype, shape, image.affine, end)


def _hdf5_header(path: Path) -> Header:
    with h5py.File(path, "r") as file:
        stored = file.get(DATASET)
        if not isinstance(stored, h5py.Dataset):
            raise ReleaseError(f"expected a dataset {DATASET!r}, found {', '.join(file) or 'an empty file'}")
        if stored.ndim != 4:
            raise ReleaseError(f"expected axes trial, z, y, x, found shape {spell_shape(stored.shape or ())}")
        header = Header(stored.dtype, stored.shape[::-1], content=_sample(stored))
    if is_truncated(path, DATASET):
        raise ReleaseError("truncated: its numbers do not fit into its size")
    return header


def _sample(stored: h5py.Dataset) -> bytes:
    """Numbers from the middle of the brain, from few chunks; b"" if they are all the same."""
    if not stored.size:
        return b""
    _, z, y = (length // 2 for length in stored.shape[:3])
    by_voxel = stored.chunks is not None and stored.chunks[0] == len(stored)
    numbers = stored[:, z, y] if by_voxel else stored[0, z]
    return numbers.tobytes() if (numbers != numbers.flat[0]).any() else b""
