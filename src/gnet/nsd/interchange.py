"""The file in which groups exchange prepared images: `S{n}_stimuli_{pixels}.h5py`, one a subject.

Its dataset `stimuli` is uint8 (image, 3, pixels, pixels), the images planned for the subject in the order of
NSD's design (`subjectim`): row i is the image with 10k index i + 1. The original authors' files are of 227
pixels and of 10,000 images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import h5py
import numpy as np
from jaxtyping import Int, UInt8

from gnet.atomic import atomic_path
from gnet.errors import ParameterError, ReleaseError
from gnet.nsd.layout import subject_number
from gnet.nsd.volumes import spell_shape
from gnet.progress import track
from gnet.steady_file import SteadyFile

DATASET = "stimuli"


@runtime_checkable
class Blocks(Protocol):
    """Images made block by block: `gnet.nsd.stimuli.PreparedImages`, or `ChosenImages`."""

    shape: tuple[int, ...]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "image 3 y x"]]: ...


class ChosenImages:
    """Rows of prepared images as consecutive blocks, such as those of one subject in its own order.

    >>> images = np.arange(12, dtype=np.uint8).reshape(4, 3, 1, 1)
    >>> [block[:, 0, 0, 0].tolist() for block in ChosenImages(images, np.array([3, 0, 3]), block=2)]
    [[9, 0], [9]]
    """

    def __init__(
        self, images: UInt8[np.ndarray, "image 3 y x"], rows: Int[np.ndarray, " row"], block: int = 256
    ) -> None:
        self.images, self.rows, self.block = images, rows, block
        self.shape = (len(rows), *images.shape[1:])

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "image 3 y x"]]:
        for start in range(0, len(self.rows), self.block):
            yield np.asarray(self.images[self.rows[start : start + self.block]])


def interchange_path(folder: Path, subject: str, pixels: int = 227) -> Path:
    """Where the original code looks for a subject's images.

    >>> interchange_path(Path("stims"), "subj02").as_posix()
    'stims/S2_stimuli_227.h5py'
    """
    return folder / f"S{subject_number(subject)}_stimuli_{pixels}.h5py"


def write_interchange(path: Path, images: Blocks) -> None:
    """Write images a block at a time; the file appears under its name once it is complete.

    Raises
    ------
    ParameterError : the images are not uint8 (image, 3, pixels, pixels), or not as many as their shape says
    """
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
        raise ParameterError(
            f"images: expected square colour images (image, 3, pixels, pixels), got {spell_shape(shape)}."
        )
    with atomic_path(path) as part, SteadyFile(part) as steady, h5py.File(steady, "w") as file:
        dataset = file.create_dataset(DATASET, shape, np.uint8)
        start = 0
        for block in images:
            stop = start + len(block)
            if block.dtype != np.uint8 or block.shape[1:] != shape[1:] or stop > len(dataset):
                raise ParameterError(
                    f"images: expected uint8 blocks of {spell_shape(shape)} in all, got {block.dtype} of "
                    f"{spell_shape(block.shape)} from image {start:,}."
                )
            dataset[start:stop] = block
            steady.check()
            start = stop
        if start != len(dataset):
            raise ParameterError(f"images: expected {len(dataset):,}, as their shape says, got {start:,}.")


class InterchangeImages:
    """The images of such a file as an array of known shape that is read in part: by rows, or block by block.

    Rows may be in any order and come more than once. Nothing is open between two reads.

    Parameters
    ----------
    path : the file
    expected : number of images that the design has; None takes any
    block : images yielded at a time

    Raises
    ------
    ReleaseError : the file is missing, damaged, not of this kind, or holds another number of images
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, expected: int | None = None, block: int = 256) -> None:
        self.path, self.block = Path(path), block
        with self._opened() as file:
            images = file.get(DATASET)
            if not isinstance(images, h5py.Dataset):
                raise ReleaseError(
                    f"{path}: expected a dataset {DATASET}, found {', '.join(file) or 'nothing'}. "
                    "Is it a file of prepared images?"
                )
            self.shape = tuple(images.shape)
            square = len(self.shape) == 4 and self.shape[1] == 3 and self.shape[2] == self.shape[3]
            if images.dtype != np.uint8 or not square:
                raise ReleaseError(
                    f"{path}: expected {DATASET} to be uint8 (image, 3, pixels, pixels), found "
                    f"{images.dtype} of shape {spell_shape(self.shape)}. Prepare the images again."
                )
        if expected is not None and len(self) != expected:
            raise ReleaseError(
                f"{path}: expected {expected:,} images, one per position of the design, found {len(self):,}. "
                "Prepare the images again."
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> UInt8[np.ndarray, "image 3 pixels pixels"]:
        """Images of the given rows: a slice, or an array of rows or a mask."""
        wanted = np.arange(len(self))[rows]
        if wanted.ndim != 1:
            raise IndexError(f"{self.path}: expected a slice or an array of rows, got {rows!r}")
        ascending, place = np.unique(wanted, return_inverse=True)
        with self._opened() as file:
            dense = len(ascending) and ascending[-1] - ascending[0] + 1 == len(ascending)
            found = file[DATASET][ascending[0] : ascending[-1] + 1] if dense else file[DATASET][ascending]
        return found[place]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "image 3 pixels pixels"]]:
        for start in track(range(0, len(self), self.block), f"read {self.path.name}"):
            yield self[start : start + self.block]

    def _opened(self) -> h5py.File:
        if not self.path.is_file():
            raise ReleaseError(f"{self.path}: expected prepared images of a subject, found no such file.")
        try:
            return h5py.File(self.path, "r")
        except OSError as error:
            raise ReleaseError(
                f"{self.path}: expected an HDF5 file of prepared images, but it cannot be opened ({error}). "
                "Copy it again, or prepare the images again."
            ) from error
