"""Pictures, read from any folder and resized for the network."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int, Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from gnet.errors import ParameterError
from gnet.progress import track
from gnet.threads import in_order

log = logging.getLogger(__name__)

FILTERS = {filter.name.lower(): filter for filter in Image.Resampling}
"""Pillow's filters by name."""
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
"""Files that count as pictures. Others that Pillow knows start programs (EPS) or are rare."""
EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"}
FIELD_OF_VIEW = 8.4
"""Degrees of visual angle that the side of a picture spans (Allen et al. 2022; St-Yves et al. 2023)."""
SKIPPED_SHOWN = 5
BLOCK = 16
"""Images that a thread resizes at a time: few enough to stay in a core's cache."""


def resize(
    images: UInt8[np.ndarray, "image y x 3"], pixels: int, filter: str = "bilinear"
) -> UInt8[np.ndarray, "image 3 pixels pixels"]:
    """Images at `pixels` x `pixels`, colour before space, by Pillow's filter of that name.

    Pillow's filters (nearest excepted) widen with the reduction, so that nothing aliases; those of many other
    libraries do not, and give other images. Images that already have the size are not changed. Raises
    ParameterError for an unknown filter, or less than one pixel.
    """
    check_resampling(pixels, filter)
    resized = np.empty((len(images), 3, pixels, pixels), dtype=np.uint8)
    pieces = (slice(start, start + BLOCK) for start in range(0, len(images), BLOCK))
    for _ in in_order(lambda piece: resize_into(images[piece], resized[piece], filter), pieces):
        pass
    return resized


def check_resampling(pixels: int, name: str) -> None:
    """Raise ParameterError for an unknown filter, or a size of less than one pixel."""
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

    >>> mean_colour(np.full((2, 3, 4, 4), 51, np.uint8), np.array([0, 1]))
    array([0.2, 0.2, 0.2])
    """
    total = np.zeros(3, np.int64)  # exact
    for start in range(0, len(rows), block):
        total += images[rows[start : start + block]].sum(axis=(0, 2, 3), dtype=np.int64)
    return total / (255 * len(rows) * images.shape[2] * images.shape[3])


def read_pictures(
    folder: Path, pixels: int, resampling: str = "bilinear"
) -> tuple[UInt8[np.ndarray, "image 3 pixels pixels"], Shaped[np.ndarray, " image"]]:
    """All pictures in a folder, sorted by name, and their names.

    Each is turned as its EXIF orientation says, cut to the largest centred square and resized. Pictures are
    files in one of the `FORMATS` (of an animation the first frame); transparency is dropped. Folders, which
    are not searched, and all other files are skipped; the log counts what was skipped and cut. Raises
    ParameterError for no such folder or no picture in it, and for one that is damaged, unpacks to an
    unreasonable size, or has more than 8 bits per colour.
    """
    if not folder.is_dir():
        raise ParameterError(f"prediction.folder: expected a folder of pictures, found none at {folder}.")
    prepared, names, skipped, cut = [], [], [], 0
    for path in track(sorted(folder.iterdir()), f"read {folder.name}"):
        picture = _read_upright(path) if path.is_file() else None
        if picture is None:
            skipped.append(path.name)
            continue
        side = min(picture.size)
        cut += picture.width != picture.height
        left, top = ((length - side) // 2 for length in picture.size)
        square = np.asarray(picture.crop((left, top, left + side, top + side)))
        prepared.append(resize(square[None], pixels, resampling))
        names.append(path.name)
    if not names:
        raise ParameterError(
            f"prediction.folder: expected pictures (PNG, JPEG, ...) in {folder}, found none that can be read."
        )
    if skipped:
        shown = ", ".join(skipped[:SKIPPED_SHOWN]) + (", ..." if len(skipped) > SKIPPED_SHOWN else "")
        log.info("%s: skipped %d files and folders that are not pictures: %s", folder, len(skipped), shown)
    if cut:
        log.warning("%s: %d of %d pictures are not square: their centre was taken.", folder, cut, len(names))
    return np.concatenate(prepared), np.array(names)


def _read_upright(path: Path) -> Image.Image | None:
    """A picture in RGB, turned as it is to be looked at; None for a file that is not a picture."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            # Pillow cuts some deeper files down to 8 bits as it reads them
            stored = str(picture.tile) if picture.format in ("PNG", "TIFF") else ""
            if picture.mode not in EIGHT_BIT_MODES or ";16" in stored:
                raise ParameterError(
                    f"{path}: expected a picture of 8 bits per colour, found more (mode {picture.mode}). "
                    "Convert it first: only you know which of its values are to become 0 and 255."
                )
            upright = ImageOps.exif_transpose(picture)
            if "transparency" in upright.info:
                upright = upright.convert("RGBA")
            return upright.convert("RGB")
    except UnidentifiedImageError:
        return None
    except ParameterError:
        raise
    except Image.DecompressionBombError as error:
        raise ParameterError(
            f"{path}: expected a picture of reasonable size, found one that is too large ({error}). "
            "Make it smaller, or take it out of the folder."
        ) from error
    except Exception as error:  # decoders raise whatever damaged bytes lead to
        raise ParameterError(
            f"{path}: expected a whole picture, found one that cannot be read ({error}). Copy it again."
        ) from error
