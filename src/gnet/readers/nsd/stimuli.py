"""The images that were shown, read from the release and resized for the network."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Int, UInt8

from gnet.errors import ReleaseError
from gnet.progress import track
from gnet.readers.nsd.layout import Layout
from gnet.recording.pictures import BLOCK, check_resampling, resize_into
from gnet.recording.volumes import UNREADABLE, spell_shape
from gnet.storage.blocks import Blocks
from gnet.threads import in_order

DATASET = "imgBrick"


def stimulus_count(layout: Layout) -> int:
    """Number of images in the stimuli file.

    Raises
    ------
    ReleaseError
        if the file is missing, unreadable, truncated, or not an imgBrick of uint8 (image, y, x, 3), x = y.
    """
    return stimulus_shape(layout)[0]


def stimulus_shape(layout: Layout) -> tuple[int, int, int, int]:
    """Shape (image, y, x, 3) of imgBrick, from the header of its file; raises as `stimulus_count` does."""
    with _open(layout) as file:
        return file[DATASET].shape


def prepared_images(
    layout: Layout,
    stimulus_rows: Int[np.ndarray, " image"],
    pixels: int,
    resampling: str = "bilinear",
    block: int = BLOCK,
) -> Blocks:
    """Chosen images at the network's size: uint8 (image, 3, pixels, pixels), made block by block.

    Blocks hold at most `block` images, in the order of `stimulus_rows`. All cores resize; memory holds a few
    blocks for each. Images that lie in the file one after another, neither chunked nor compressed, are
    resized from where they lie, without a copy.

    Parameters
    ----------
    layout : Layout
        The release.
    stimulus_rows : array of int
        0-based rows of imgBrick.
    pixels : int
        Width and height of the prepared images.
    resampling : str
        Pillow's filter, by name.
    block : int
        Number of images that a thread prepares at a time.

    Raises
    ------
    ReleaseError
        if the stimuli file is not readable, has fewer images than the rows name, or, found while iterating,
        one of them is of a single colour.
    ParameterError
        for an unknown filter, or less than one pixel.
    """
    check_resampling(pixels, resampling)
    count = stimulus_count(layout)
    if len(stimulus_rows) and (stimulus_rows.min() < 0 or stimulus_rows.max() >= count):
        wanted = int(stimulus_rows.max() if stimulus_rows.min() >= 0 else stimulus_rows.min())
        raise ReleaseError(
            f"{layout.stimuli}: expected the image with 73k-ID {wanted + 1:,}, which the design names, "
            f"found {count:,} images. Fetch the file again: {layout.fetch_command(layout.stimuli)}"
        )

    def make() -> Iterator[UInt8[np.ndarray, "image 3 pixels pixels"]]:
        starts = range(0, len(stimulus_rows), block)
        with _open(layout) as file:
            brick = file[DATASET]
            mapped = _mapped(layout.stimuli, brick)

            def prepare(start: int) -> UInt8[np.ndarray, "image 3 pixels pixels"]:
                rows = stimulus_rows[start : start + block]
                images = _read(layout, brick, rows) if mapped is None else (mapped[row] for row in rows)
                prepared = np.empty((len(rows), 3, pixels, pixels), dtype=np.uint8)
                resize_into(images, prepared, resampling)
                _refuse_blank(layout, prepared, rows)
                return prepared

            yield from track(in_order(prepare, starts), "preparing images", total=len(starts))

    return Blocks((len(stimulus_rows), 3, pixels, pixels), np.dtype(np.uint8), make)


def _read(
    layout: Layout, brick: h5py.Dataset, rows: Int[np.ndarray, " image"]
) -> UInt8[np.ndarray, "image y x 3"]:
    """Images through HDF5, which wants each of them once and in its own order."""
    ascending, place = np.unique(rows, return_inverse=True)
    try:
        images = brick[ascending]
    except UNREADABLE as error:
        raise ReleaseError(
            f"{layout.stimuli}: expected images {ascending[0] + 1:,} to {ascending[-1] + 1:,}, but "
            f"reading them fails ({error}). Fetch the file again: {layout.fetch_command(layout.stimuli)}"
        ) from error
    return images if np.array_equal(rows, ascending) else images[place]


def _refuse_blank(
    layout: Layout,
    prepared: UInt8[np.ndarray, "image 3 pixels pixels"],
    stimulus_rows: Int[np.ndarray, " image"],
) -> None:
    """Refuse an image of a single colour: a file that was not written to its end reads like that."""
    even_edge = (prepared[:, :, 0] == prepared[:, :, 0, :1]).all(axis=(1, 2))  # of few images, at no cost
    for row in np.flatnonzero(even_edge):
        if (prepared[row] == prepared[row, :, :1, :1]).all():
            raise ReleaseError(
                f"{layout.stimuli}: expected a picture as the image with 73k-ID {stimulus_rows[row] + 1:,}, "
                "found one colour: the file is damaged. "
                f"Fetch the file again: {layout.fetch_command(layout.stimuli)}"
            )


def _open(layout: Layout) -> h5py.File:
    path = layout.stimuli
    command = layout.fetch_command(path)
    if not path.is_file():
        raise ReleaseError(
            f"{path}: expected the images of the release, found no such file. Fetch it: {command}"
        )
    file = None
    try:
        file = h5py.File(path, "r")
        found = _described(file)
    except UNREADABLE as error:
        if file:
            file.close()
        raise ReleaseError(
            f"{path}: expected an HDF5 file of images, but it cannot be opened ({error}). "
            f"Fetch the file again: {command}"
        ) from error
    if found:
        file.close()
        raise ReleaseError(
            f"{path}: expected a dataset {DATASET} of uint8 (image, y, x, 3), square, found {found}. "
            f"Fetch the file again: {command}"
        )
    return file


def _described(file: h5py.File) -> str:
    """What a file holds instead of square colour images; "" if it holds these."""
    brick = file.get(DATASET)
    if not isinstance(brick, h5py.Dataset):
        return f"only {', '.join(file) or 'nothing'}"
    shape = brick.shape or ()
    square = len(shape) == 4 and shape[1] == shape[2] > 0 and shape[3] == 3
    return "" if square and brick.dtype == np.uint8 else f"{brick.dtype} of shape {spell_shape(shape)}"


def _mapped(path: Path, brick: h5py.Dataset) -> UInt8[np.ndarray, "image y x 3"] | None:
    """The dataset's bytes where they lie in the file; None if they do not lie there in one piece."""
    offset = brick.id.get_offset()
    if offset is None or offset + brick.size > path.stat().st_size:
        return None
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hasattr(mmap, "MADV_SEQUENTIAL"):
        content.madvise(mmap.MADV_SEQUENTIAL)
    return np.ndarray(brick.shape, np.uint8, content, offset)
