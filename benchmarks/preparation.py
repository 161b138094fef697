"""How fast a full-size release is prepared: responses of chosen voxels, and images.

    python benchmarks/preparation.py [--folder /tmp] [--repeats 3] [--sessions 4] [--images 2000]

One session of subject 1's real dimensions is made up and stored as NSD stores it, as HDF5 with a chunk for
each voxel and as .nii.gz; so are images of 425 pixels. Every measurement starts with the files out of the
system's cache, and is compared with what nothing can beat: reading the file once from its first byte to its
last, decompressing it and forgetting it, resizing images that are in memory already. Contenders take turns,
and the best of the repeats counts, of seconds and of the seconds of all cores together, which say more on a
busy machine. Needs 7 GB of disk in a folder of its own, which is removed in the end, and Linux.
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
from gnet.recording.volumes import coordinates
from gnet.threads import in_order, usable_cores

SUBJECT, SHAPE, TRIALS = "subj01", (81, 104, 83), 750
SIDE, PIXELS = 425, 227
PIECE = 2**24
"""Bytes read at a time where a file is just read."""


def brain() -> np.ndarray:
    """An ellipsoid that fills the volume (x, y, z)."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, length) for length in SHAPE), indexing="ij")
    return x**2 + y**2 + z**2 < 1


def cortex(voxels: int) -> np.ndarray:
    """Indices of a folded sheet at the back of the brain, as thin and torn as early visual cortex is."""
    field = gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), 4)
    x, y, z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    distance = np.hypot(np.hypot(x - SHAPE[0] / 2, y - 12), z - SHAPE[2] * 0.4)
    distance[(np.abs(field) > field.std() / 4) | ~brain()] = np.inf
    return np.sort(np.argsort(distance, axis=None)[:voxels])


def write_session(layout: Layout) -> None:
    """Noise in the brain, 0 outside: identical numbers in both formats."""
    reverse, inside = SHAPE[::-1], brain().T
    random = np.random.default_rng(0)
    betas = np.zeros((TRIALS, *reverse), np.int16)
    for volume in track(betas, "making up a session"):
        volume[inside] = 500 * random.standard_normal(inside.sum(), np.float32)
    path = layout.betas(SUBJECT, 1, "hdf5")
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("betas", betas.shape, betas.dtype, chunks=(TRIALS, 1, 1, 1))
        for place in track(np.ndindex(reverse), "writing it as HDF5", total=inside.size):
            stored.id.write_direct_chunk((0, *place), betas[:, *place].tobytes())
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((*SHAPE, TRIALS))
    header["vox_offset"] = 352
    with gzip.open(layout.betas(SUBJECT, 1, "nifti"), "wb", compresslevel=1) as file:
        file.write(header.binaryblock + bytes(4))
        for volume in track(betas, "writing it as NIfTI"):
            file.write(volume.tobytes())


def copy_session(layout: Layout, sessions: int, voxel_index: np.ndarray) -> None:
    """The session under the names of others. HDF5 is copied, so that each file comes from disk, and changed.

    Two sessions with the same numbers would be refused: 1 is added where it will be looked at.
    """
    for session in range(2, sessions + 1):
        layout.betas(SUBJECT, session, "nifti").hardlink_to(layout.betas(SUBJECT, 1, "nifti"))
        previous, path = (layout.betas(SUBJECT, number, "hdf5") for number in (session - 1, session))
        shutil.copyfile(previous, path)
        with h5py.File(path, "r+") as file:
            for x, y, z in zip(*coordinates(voxel_index, SHAPE), strict=True):
                file["betas"][:, z, y, x] += 1


def write_images(layout: Layout, count: int, chunks: tuple[int, ...] | None) -> None:
    """Noise of 425 pixels; what an image shows does not change how long it takes."""
    layout.stimuli.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (SIDE + count, SIDE, 3), np.uint8)
    with h5py.File(layout.stimuli, "w") as file:
        brick = file.create_dataset("imgBrick", (count, SIDE, SIDE, 3), np.uint8, chunks=chunks)
        for row in track(range(count), "writing images"):
            brick[row] = noise[row : row + SIDE]


def forget(*paths: Path) -> None:
    """Take files out of the system's cache, so that they must come from disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_once(path: Path) -> None:
    """Read a file from its first byte to its last."""
    piece = mmap.mmap(-1, PIECE)
    with path.open("rb", buffering=0) as file:
        while file.readinto(piece):
            pass


def decompress_once(path: Path) -> None:
    """Decompress a .gz file and forget it."""
    decompressor = zlib.decompressobj(wbits=31)
    with path.open("rb", buffering=0) as file:
        while piece := file.read(2**20):
            decompressor.decompress(piece)


def pillow_alone(images: np.ndarray, count: int) -> None:
    """Resize as many images, taken in turn from those in memory, on all cores, and forget them."""
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
"""What it is called, what it does, and the files that it must find on disk."""


def compare(table: Table, contenders: list[Contender], repeats: int) -> None:
    """Time the contenders in turn; one line each, the first is what the others are compared with."""
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
    """One session of each format, then several one after another and at the same time."""
    index = cortex(arguments.voxels)
    anywhere = np.sort(np.random.default_rng(0).choice(np.prod(SHAPE), arguments.voxels, replace=False))
    files = {name: layout.betas(SUBJECT, 1, name) for name in ("hdf5", "nifti")}

    def read(voxel_index: np.ndarray, name: str, session: int = 1) -> np.ndarray:
        path = layout.betas(SUBJECT, session, name)
        return read_session(path, voxel_index, SHAPE, TRIALS, name)

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
    """Images in one piece, and a chunk each, against Pillow alone."""
    count, path = arguments.images, layout.stimuli
    for storage, chunks in (("in one piece", None), ("a chunk each", (1, SIDE, SIDE, 3))):
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
    """Make everything up, measure, print the table, clean up."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=None, help="for the temporary files")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--voxels", type=int, default=4627, help="4,627: subject 1's early visual areas")
    parser.add_argument("--sessions", type=int, default=4, help="read together, about 1.1 GB of disk each")
    parser.add_argument("--images", type=int, default=2000, help="about 0.7 GB of disk a thousand")
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
