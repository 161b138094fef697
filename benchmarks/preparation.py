"""Speed of preparing a full-size release: responses of chosen voxels, and images.

    python benchmarks/preparation.py [--folder /tmp] [--repeats 3] [--sessions 4] [--images 2000]

A session with the dimensions of subject 1 is generated and stored as in NSD, as HDF5 with one chunk per voxel
and as .nii.gz; so are images of 425 pixels. Before every measurement the files are dropped from the system's
cache. Each is compared with a lower bound: reading the file once, decompressing it and discarding the result,
resizing images that are already in memory. Contenders take turns, and the best of the repeats counts, in
seconds and in CPU seconds, which are more reliable on a busy machine. Needs Linux and 7 GB of disk in a
temporary folder.
"""

from __future__ import annotations

import argparse
import gzip
import mmap
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import h5py
import nibabel
import numpy as np
from anonymous_memory import Watch
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.ndimage import gaussian_filter

from gnet.readers.nsd.betas import prepare_betas, read_session
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.stimuli import prepared_images
from gnet.threads import in_order, usable_cores

SUBJECT, SHAPE, TRIALS = "subj01", (81, 104, 83), 750
SIDE, PIXELS = 425, 227
PIECE = 2**24
"""Bytes per read when a file is only read."""


def brain() -> np.ndarray:
    """Mask (x, y, z) of an ellipsoid that fills the volume."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, length) for length in SHAPE), indexing="ij")
    return x**2 + y**2 + z**2 < 1


def cortex(voxels: int) -> np.ndarray:
    """Voxel indices of a folded, fragmented sheet at the back of the brain, like early visual cortex."""
    field = gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 4)
    x, y, z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    distance = np.hypot(np.hypot(x - SHAPE[0] / 2, y - 12), z - SHAPE[2] * 0.4)
    distance[(np.abs(field) > field.std() / 4) | ~brain()] = np.inf
    return np.sort(np.argsort(distance, axis=None)[:voxels])


def write_session(layout: Layout) -> None:
    """Write noise in the brain, 0 outside, with the same values in both formats."""
    reverse, inside = SHAPE[::-1], brain().T
    random = np.random.default_rng(0)
    betas = np.zeros((TRIALS, *reverse), np.int16)
    for volume in track(betas, "generating a session"):
        volume[inside] = 500 * random.standard_normal(inside.sum(), np.float32)
    path = layout.betas(SUBJECT, 1, "hdf5")
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("betas", betas.shape, betas.dtype, chunks=(TRIALS, 1, 1, 1))
        for place in track(np.ndindex(reverse), "writing HDF5", total=inside.size):
            stored.id.write_direct_chunk((0, *place), betas[:, *place].tobytes())
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*SHAPE, TRIALS))
    header["vox_offset"] = 352
    with gzip.open(layout.betas(SUBJECT, 1, "nifti"), "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for volume in track(betas, "writing NIfTI"):
            file.write(volume.tobytes())


def copy_session(layout: Layout, sessions: int, voxel_index: np.ndarray) -> None:
    """Copy the session under the names of others: HDF5 as a real copy, so that each is read from disk.

    Sessions with equal responses would be refused, so each copy adds 1 to the voxels that are read.
    """
    for session in range(2, sessions + 1):
        layout.betas(SUBJECT, session, "nifti").hardlink_to(layout.betas(SUBJECT, 1, "nifti"))
        previous, path = (layout.betas(SUBJECT, number, "hdf5") for number in (session - 1, session))
        shutil.copyfile(previous, path)
        with h5py.File(path, "r+") as file:
            for x, y, z in zip(*np.unravel_index(voxel_index, SHAPE), strict=True):
                file["betas"][:, z, y, x] += 1


def write_images(layout: Layout, count: int, chunks: tuple[int, ...] | None) -> None:
    """Write noise images of 425 pixels; their content does not affect the time."""
    layout.stimuli.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE + count, SIDE, 3), np.uint8)
    with h5py.File(layout.stimuli, "w") as file:
        brick = file.create_dataset("imgBrick", (count, SIDE, SIDE, 3), np.uint8, chunks=chunks)
        for row in track(range(count), "writing images"):
            brick[row] = noise[row : row + SIDE]


def forget(*paths: Path) -> None:
    """Drop files from the system's cache, so that they are read from disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_once(path: Path) -> None:
    """Read a file once from start to end."""
    piece = mmap.mmap(-1, PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(piece):
            pass


def decompress_once(path: Path) -> None:
    """Decompress a .gz file and discard the result."""
    decompressor = zlib.decompressobj(wbits=31)
    with path.open("rb", buffering=0) as file:
        while piece := file.read(2**20):
            decompressor.decompress(piece)


def pillow_alone(images: np.ndarray, count: int) -> None:
    """Resize `count` images, cycling through those in memory, on all cores, and discard them."""
    cores = usable_cores()

    def share(first: int) -> None:
        for row in range(first, count, cores):
            Image.fromarray(images[row % len(images)]).resize((PIXELS, PIXELS), Image.Resampling.BILINEAR)

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(share, range(cores)))


def exhaust(layout: Layout, count: int) -> None:
    """Prepare images and forget them."""
    for _ in prepared_images(layout, np.arange(count), PIXELS):
        pass


def store(layout: Layout, count: int, path: Path) -> None:
    """Prepare images and write them to disk, as the pipeline does."""
    with path.open("wb") as file:
        for block in prepared_images(layout, np.arange(count), PIXELS):
            file.write(block.data)


Contender = tuple[str, Callable[[], object], tuple[Path, ...]]
"""Name, function, and the files to drop from the cache beforehand."""


def compare(table: Table, contenders: list[Contender], repeats: int) -> None:
    """Time the contenders in turn; one table row each, with ratios to the first."""
    watches: dict[str, list[Watch]] = {name: [] for name, *_ in contenders}
    for _ in range(repeats):
        for name, function, paths in contenders:
            forget(*paths)
            with Watch() as watch:
                function()
            watches[name].append(watch)
    standard = None
    for name, of_name in watches.items():
        seconds = np.array([(watch.seconds, watch.core_seconds) for watch in of_name]).min(0)
        standard = seconds if standard is None else standard
        peak = max(watch.peak for watch in of_name)
        numbers = zip(seconds, seconds / standard, strict=True)
        table.add_row(name, *(f"{number:.2f}" for pair in numbers for number in pair), f"{peak / 2**20:,.0f}")
    table.add_section()


def measure_responses(table: Table, layout: Layout, arguments: argparse.Namespace) -> None:
    """Measure one session in each format, then several in sequence and in parallel."""
    index = cortex(arguments.voxels)
    anywhere = np.sort(np.random.default_rng(0).choice(np.prod(SHAPE), arguments.voxels, replace=False))
    files = {name: layout.betas(SUBJECT, 1, name) for name in ("hdf5", "nifti")}

    def read(voxel_index: np.ndarray, name: str, session: int = 1) -> np.ndarray:
        path = layout.betas(SUBJECT, session, name)
        return read_session(path, voxel_index, SHAPE, TRIALS)

    np.testing.assert_array_equal(read(index, "hdf5"), read(index, "nifti"))
    hdf5, nifti = ((files[name],) for name in ("hdf5", "nifti"))
    compare(
        table,
        [
            ("HDF5: the file read once", lambda: read_once(*hdf5), hdf5),
            (f"HDF5: {len(index):,} voxels of cortex", lambda: read(index, "hdf5"), hdf5),
            (f"HDF5: {len(index):,} voxels anywhere", lambda: read(anywhere, "hdf5"), hdf5),
        ],
        arguments.repeats,
    )
    compare(
        table,
        [
            ("NIfTI: decompressed once", lambda: decompress_once(*nifti), nifti),
            (f"NIfTI: {len(index):,} voxels of cortex", lambda: read(index, "nifti"), nifti),
        ],
        arguments.repeats,
    )
    numbers = range(1, arguments.sessions + 1)

    def prepare() -> None:
        prepare_betas(layout, SUBJECT, arguments.sessions, TRIALS, index, SHAPE, "hdf5")

    for name in files:
        paths = tuple(layout.betas(SUBJECT, session, name) for session in numbers)

        def together(threads: int, name: str = name) -> None:
            for _ in in_order(partial(read, index, name), numbers, threads):
                pass

        threads = sorted({1, 2, usable_cores()})
        contenders: list[Contender] = [
            (f"{name}, {len(paths)} sessions, threads: {count}", lambda count=count: together(count), paths)
            for count in threads
        ]
        if name == "hdf5":
            contenders.append((f"{name}, {len(paths)} sessions, read and z-scored", prepare, paths))
        compare(table, contenders, arguments.repeats)


def measure_images(table: Table, layout: Layout, arguments: argparse.Namespace) -> None:
    """Measure images stored contiguously and in one chunk each, against Pillow alone."""
    count, path = arguments.images, layout.stimuli
    for storage, chunks in (("contiguous", None), ("one chunk each", (1, SIDE, SIDE, 3))):
        write_images(layout, count, chunks)
        with h5py.File(path) as file:
            images = file["imgBrick"][: min(count, 512)]
        contenders: list[Contender] = [
            (f"{count:,} images, Pillow alone", lambda images=images: pillow_alone(images, count), ()),
            (f"{count:,} images, {storage}, cached", lambda: exhaust(layout, count), ()),
            (f"{count:,} images, {storage}", lambda: exhaust(layout, count), (path,)),
            (
                f"{count:,} images, {storage}, stored",
                lambda: store(layout, count, layout.root / "images"),
                (path,),
            ),
        ]
        compare(table, contenders, arguments.repeats)


def main() -> None:
    """Generate the data, measure, print the table, clean up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=None, help="for the temporary files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--voxels", type=int, default=4627, help="4,627: subject 1's early visual areas")
    parser.add_argument("--sessions", type=int, default=4, help="about 1.1 GB of disk each")
    parser.add_argument("--images", type=int, default=2000, help="about 0.7 GB of disk per thousand")
    parser.add_argument("--only", choices=("responses", "images"), default=None)
    arguments = parser.parse_args()
    table = Table(
        "from disk, unless cached",
        title=f"{usable_cores()} cores, best of {arguments.repeats}, peak of all repeats",
    )
    for column in ("seconds", "ratio", "core seconds", "ratio", "own memory, MiB"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="gnet-preparation-", dir=arguments.folder) as folder:
        layout = Layout(Path(folder))
        if arguments.only != "images":
            write_session(layout)
            copy_session(layout, arguments.sessions, cortex(arguments.voxels))
            measure_responses(table, layout, arguments)
        if arguments.only != "responses":
            measure_images(table, layout, arguments)
    Console().print(table)


if __name__ == "__main__":
    main()
