"""The images that were shown, read from the release and resized for the network."""

import mmap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Int, UInt8

from gnet.progress import track
from gnet.readers.nsd.layout import Layout
from gnet.recording.pictures import BLOCK, check_resampling, resize_into
from gnet.recording.volumes import UNREADABLE, spell_shape
from gnet.storage.blocks import Blocks
from gnet.threads import in_order

DATASET = "imgBrick"


def stimulus_shape(layout: Layout) -> tuple[int, int, int, int]:
    """Shape (image, y, x, 3) of imgBrick, from the header of its file.

    Raises ReleaseError for a file that is missing, unreadable, truncated, or not of square uint8 images.
    """
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

    Blocks hold at most `block` images, in the order of `stimulus_rows`, the 0-based rows of imgBrick. All
    cores resize; memory holds a few blocks for each. Images that lie in the file one after another, neither
    chunked nor compressed, are resized from where they lie, without a copy. Raises ReleaseError if the file
    is not readable, has too few images or, found while iterating, one of a single colour; ParameterError for
    an unknown filter, or less than one pixel.
    """
    check_resampling(pixels, resampling)
    count = stimulus_shape(layout)[0]
    if len(stimulus_rows) and (stimulus_rows.min() < 0 or stimulus_rows.max() >= count):
        wanted = int(stimulus_rows.max() if stimulus_rows.min() >= 0 else stimulus_rows.min())
        named = f"the image with 73k-ID {wanted + 1:,}, which the design names"
        raise layout.damaged(layout.stimuli, f"expected {named}, found {count:,} images")

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
        wanted = f"images {ascending[0] + 1:,} to {ascending[-1] + 1:,}"
        problem = f"expected {wanted}, but reading them fails ({error})"
        raise layout.damaged(layout.stimuli, problem) from error
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
            wanted = f"a picture as the image with 73k-ID {stimulus_rows[row] + 1:,}"
            raise layout.damaged(layout.stimuli, f"expected {wanted}, found one colour: the file is damaged")


@contextmanager
def _open(layout: Layout) -> Iterator[h5py.File]:
    path = layout.stimuli
    if not path.is_file():
        raise layout.missing(path, "the images of the release")
    with ExitStack() as opened:
        try:
            file = opened.enter_context(h5py.File(path, "r"))
            found = _described(file)
        except UNREADABLE as error:
            problem = f"expected an HDF5 file of images, but it cannot be opened ({error})"
            raise layout.damaged(path, problem) from error
        if found:
            wanted = f"a dataset {DATASET} of uint8 (image, y, x, 3), square"
            raise layout.damaged(path, f"expected {wanted}, found {found}")
        yield file


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
