"""NIfTI volumes in (x, y, z), and the flat voxel index that every table of the project uses."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from nibabel.spatialimages import SpatialImage

from gnet.errors import ReleaseError
from gnet.storage.atomic import atomic_path

UNREADABLE = Exception
"""Exceptions that reading a damaged file can raise: in nibabel and h5py it may be any."""
PIECE = 2**20  # bytes decompressed at a time where only the checksum at the end is wanted
Affine = Float[np.ndarray, "4 4"]


@dataclass(frozen=True)
class Volume:
    """Numbers on a grid of voxels and where that grid lies: `affine` takes (x, y, z, 1) to millimetres."""

    data: Shaped[np.ndarray, "x y z *trial"]
    affine: Affine


def spell_shape(shape: tuple[int, ...]) -> str:
    """A shape as messages and tables spell it: 81 x 104 x 83."""
    return " x ".join(str(length) for length in shape)


def open_image(path: Path) -> SpatialImage:
    """A NIfTI file whose header is read, but not its numbers; TypeError if it holds no volume."""
    image = nibabel.load(path)
    if not isinstance(image, SpatialImage):
        raise TypeError(f"a {type(image).__name__}")
    return image


def read_volume(path: Path, shape: tuple[int, ...] | None = None) -> Volume:
    """Read one NIfTI file, in the data type that it has on disk unless the file scales its numbers.

    A gzipped file is read to its end, where its checksum is: flipped bits do not pass as numbers. Raises
    ReleaseError for a file that is missing, damaged, not of the given `shape`, or of other than real numbers.
    """
    if not path.is_file():
        raise ReleaseError(f"{path}: expected a NIfTI volume, found no such file. Fetch it.")
    try:
        image = open_image(path)
        data = np.asanyarray(image.dataobj)
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                while file.read(PIECE):
                    pass
    except UNREADABLE as error:
        raise ReleaseError(
            f"{path}: expected a NIfTI volume, but it cannot be read ({error}). Fetch the file again."
        ) from error
    if data.dtype.kind not in "iuf":
        raise ReleaseError(
            f"{path}: expected a volume of real numbers, found {data.dtype}. Fetch the file again."
        )
    if shape is not None and data.shape != tuple(shape):
        raise ReleaseError(
            f"{path}: expected a volume of {spell_shape(shape)} voxels, as the subject's other files have, "
            f"found {spell_shape(data.shape)}. Fetch the file again, from the same space as the others."
        )
    return Volume(data, np.asarray(image.affine, dtype=np.float64))


def write_volume(
    path: Path, data: Num[np.ndarray, "x y z *trial"] | Bool[np.ndarray, "x y z *trial"], affine: Affine
) -> None:
    """Write one NIfTI file atomically (gzipped where the name ends in .gz), making its folder.

    Booleans become uint8, other data types are kept. The same numbers always give the same bytes.
    """
    data = data.astype(np.uint8) if data.dtype == bool else data
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm")
    with atomic_path(path) as part, part.open("wb") as file:
        if path.suffix == ".gz":
            # level 1: measured noise hardly compresses, and higher levels only take time
            with gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as stream:
                image.to_stream(stream)
        else:
            image.to_stream(file)


def flat_index(mask: Bool[np.ndarray, "x y z"]) -> Int[np.ndarray, " voxel"]:
    """Ascending voxel indices of a mask: C-order over (x, y, z), `(x * Y + y) * Z + z`."""
    return np.flatnonzero(mask).astype(np.int64)
