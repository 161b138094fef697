"""Pictures at the size a network takes them, whoever showed them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int, Shaped, UInt8
from PIL import Image, UnidentifiedImageError

from gnet.errors import ParameterError
from gnet.progress import track
from gnet.threads import in_order

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
FIELD_OF_VIEW = 8.4
"""Degrees of visual angle that an image spans (Allen et al. 2022)."""
BLOCK = 16
"""Images that a thread takes at a time: few enough to stay in a core's cache until they are resized."""


def resize(
    images: UInt8[np.ndarray, "image y x 3"], pixels: int, filter: str = "bilinear"
) -> UInt8[np.ndarray, "image 3 pixels pixels"]:
    """Images at `pixels` x `pixels`, colour before space, by Pillow's filter of that name.

    Pillow's filters (nearest excepted) widen with the reduction, so that nothing aliases; the interpolation
    of many other libraries does not, and gives other images. Images that already have the size are passed on
    unchanged.

    Raises
    ------
    ParameterError : an unknown filter, or less than one pixel

    >>> resize(np.full((1, 4, 4, 3), 7, dtype=np.uint8), 2)[0, 0]
    array([[7, 7],
           [7, 7]], dtype=uint8)
    """
    check_resampling(pixels, filter)
    resized = np.empty((len(images), 3, pixels, pixels), dtype=np.uint8)
    pieces = (slice(start, start + BLOCK) for start in range(0, len(images), BLOCK))
    for _ in in_order(lambda piece: resize_into(images[piece], resized[piece], filter), pieces):
        pass
    return resized


def check_resampling(pixels: int, name: str) -> None:
    if name not in FILTERS:
        raise ParameterError(f"unknown resampling filter {name!r}: expected one of {', '.join(FILTERS)}.")
    if pixels < 1:
        raise ParameterError(f"size of the prepared images: expected at least 1 pixel, got {pixels}.")


def resize_into(
    images: Iterable[UInt8[np.ndarray, "y x 3"]],
    resized: UInt8[np.ndarray, "image 3 pixels pixels"],
    name: str,
) -> None:
    """Fill `resized` with the images at its size."""
    pixels = resized.shape[-1]
    for image, planes in zip(images, resized, strict=True):
        if image.shape[:2] == (pixels, pixels):
            planes[...] = image.transpose(2, 0, 1)
            continue
        picture = Image.fromarray(image).resize((pixels, pixels), FILTERS[name])
        for plane, band in zip(planes, "RGB", strict=True):  # twice as fast as transposing the whole
            plane.ravel()[...] = np.frombuffer(picture.tobytes("raw", band), np.uint8)


def mean_colour(
    images: UInt8[np.ndarray, "image 3 y x"], rows: Int[np.ndarray, " row"], block: int = 256
) -> Float64[np.ndarray, 3]:
    """Mean of each colour over some images, in [0, 1]: what a network's input is centred on.

    The sum is exact, in whole numbers, and reads a block of images at a time.

    >>> mean_colour(np.full((2, 3, 4, 4), 51, np.uint8), np.array([0, 1]))
    array([0.2, 0.2, 0.2])
    """
    total = np.zeros(3, np.int64)
    for start in range(0, len(rows), block):
        total += images[rows[start : start + block]].sum(axis=(0, 2, 3), dtype=np.int64)
    return total / (255 * len(rows) * images.shape[2] * images.shape[3])


def read_pictures(
    folder: Path, pixels: int, resampling: str = "bilinear"
) -> tuple[UInt8[np.ndarray, "image 3 pixels pixels"], Shaped[np.ndarray, " image"]]:
    """All pictures in a folder, by name, cut to the largest centred square and resized; and their names.

    Raises
    ------
    ParameterError : no such folder, no file in it that Pillow can read as a picture, or a damaged one
    """
    if not folder.is_dir():
        raise ParameterError(f"pictures: expected a folder, found none at {folder}.")
    prepared, names = [], []
    for path in track(sorted(folder.iterdir()), f"read {folder.name}"):
        try:
            with Image.open(path) as picture:
                side = min(picture.size)
                left, top = ((length - side) // 2 for length in picture.size)
                square = picture.convert("RGB").crop((left, top, left + side, top + side))
        except (UnidentifiedImageError, IsADirectoryError):
            continue
        except OSError as error:
            raise ParameterError(
                f"{path}: expected a whole picture, found one that cannot be read ({error}). Copy it again."
            ) from error
        prepared.append(resize(np.asarray(square)[None], pixels, resampling))
        names.append(path.name)
    if not names:
        raise ParameterError(f"{folder}: expected pictures (PNG, JPEG, ...), found none that can be read.")
    return np.concatenate(prepared), np.array(names)
