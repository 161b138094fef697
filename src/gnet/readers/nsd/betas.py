"""Single-trial responses of chosen voxels, from the release's sessions to z-scored numbers."""

import gzip
import logging
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Bool, Float32, Int, Int16

from gnet.errors import ReleaseError
from gnet.progress import track
from gnet.readers.nsd.consistency import check_session, check_trials
from gnet.readers.nsd.layout import Layout
from gnet.recording.responses import zscore_session
from gnet.recording.volumes import UNREADABLE, open_image, read_volume, spell_shape
from gnet.threads import in_order

VoxelIndex = Int[np.ndarray, " voxel"]
Betas = Int16[np.ndarray, "trial voxel"]

log = logging.getLogger(__name__)

DATASET = "betas"
UNITS_PER_PERCENT = 300
"""NSD stores 300 x percent signal change, so that int16 reaches +-109.2 % and saturates there."""
READ_BYTES = 256 * 2**20
"""Most memory for one piece of a session on its way to the chosen voxels."""
ZSCORED_VOXELS = 4096
"""Voxels z-scored at a time, so that float32 copies of a session stay small whatever the mask."""
SESSIONS_AT_A_TIME = {"hdf5": 1, "nifti": None}
"""Decompressing keeps a core busy, so NIfTI uses all cores; HDF5 waits for the disk and serves one caller at
a time: a second one gains nothing (measured: docs/LOG.md)."""


def percent(betas: Betas) -> Float32[np.ndarray, "trial voxel"]:
    """Percent signal change from the release's int16."""
    return betas.astype(np.float32) / np.float32(UNITS_PER_PERCENT)


def read_session(path: Path, voxel_index: VoxelIndex, shape: tuple[int, int, int], trials: int) -> Betas:
    """The betas of some voxels in one session, in units of 1/300 percent signal change.

    `voxel_index` is C-order over the volume's `shape` (x, y, z), in any order; `trials` is the number that
    the session must have. A `.hdf5` file holds a dataset `betas` (trial, z, y, x), a NIfTI file (x, y, z,
    trial). Both give identical numbers; neither is ever held in memory as a whole. Raises ReleaseError if the
    file is missing, damaged or truncated, or not int16 of this shape.
    """
    if not path.is_file():
        raise ReleaseError(f"{path}: expected a session of betas, found no such file.")
    read = _read_hdf5 if path.suffix == ".hdf5" else _read_nifti
    try:
        return read(path, voxel_index, shape, trials)
    except ReleaseError:
        raise
    except UNREADABLE as error:
        raise ReleaseError(
            f"{path}: expected a session of {trials} trials, but the file is damaged or truncated ({error})."
        ) from error


def prepare_betas(
    layout: Layout,
    subject: str,
    sessions: int,
    trials: int,
    voxel_index: VoxelIndex,
    shape: tuple[int, int, int],
    file_format: str,
) -> tuple[Float32[np.ndarray, "trial voxel"], Bool[np.ndarray, "session voxel"]]:
    """A subject's betas, z-scored per voxel within each session, and where they are valid.

    Row `(session - 1) * trials + t` is trial t of that session. A voxel without data in a session (0 in its
    valid_session volume, or constant, like voxels outside the imaged slab) is NaN there, and False in the
    second array; the log counts them. Errors are those of `read_session`, and ReleaseError if a session's
    numbers cannot be measurements, or a trial repeats another's.
    """
    betas = np.empty((sessions * trials, len(voxel_index)), dtype=np.float32)
    valid = np.empty((sessions, len(voxel_index)), dtype=bool)
    paths = [layout.betas(subject, session, file_format) for session in range(1, sessions + 1)]
    contents: list[list[bytes]] = [[] for _ in paths]

    def prepare_session(row: int) -> None:
        path = paths[row]
        mask_path = layout.valid_session(subject, row + 1)
        called_valid = None
        if mask_path.is_file():
            stored = read_volume(mask_path, shape).data
            if not np.isin(stored, (0, 1)).all():
                raise layout.damaged(
                    mask_path, "expected 1 where the session has data and 0 elsewhere, found other numbers"
                )
            called_valid = stored.ravel()[voxel_index] == 1
        try:
            responses = read_session(path, voxel_index, shape, trials)
            contents[row] = check_session(path, responses, mask_path, called_valid)
        except ReleaseError as error:
            raise ReleaseError(
                f"{subject}, session {row + 1}: {error} Fetch it: {layout.fetch_command(path)}"
            ) from error
        valid[row] = (responses != responses[:1]).any(axis=0)
        if called_valid is not None:
            valid[row] &= called_valid
        session = betas[row * trials : (row + 1) * trials]
        for start in range(0, len(voxel_index), ZSCORED_VOXELS):
            block = slice(start, start + ZSCORED_VOXELS)
            session[:, block] = zscore_session(percent(responses[:, block]))
        session[:, ~valid[row]] = np.nan

    done = in_order(prepare_session, range(sessions), SESSIONS_AT_A_TIME[file_format])
    for _ in track(done, f"{subject}: reading sessions", total=sessions):
        pass
    check_trials(paths, contents)
    affected = ~valid.all(axis=0)
    if affected.any():
        text = "%s: %d of %d voxels have no data in one session or more: their responses there are NaN."
        log.warning(text, subject, affected.sum(), len(voxel_index))
    return betas, valid


def _check_content(
    path: Path, dtype: np.dtype, found: tuple[int, ...], expected: tuple[int, ...], axes: str
) -> None:
    if dtype.kind != "i" or dtype.itemsize != 2:
        raise ReleaseError(f"{path}: expected betas of int16 (300 x percent signal change), found {dtype}.")
    if found != expected:
        raise ReleaseError(
            f"{path}: expected betas of shape {spell_shape(expected)} ({axes}), found {spell_shape(found)}."
        )


def _read_hdf5(path: Path, voxel_index: VoxelIndex, shape: tuple[int, int, int], trials: int) -> Betas:
    with h5py.File(path, "r") as file:
        if not isinstance(file.get(DATASET), h5py.Dataset):
            raise ReleaseError(
                f"{path}: expected a dataset {DATASET!r}, found {', '.join(file) or 'an empty file'}."
            )
        stored = file[DATASET]
        _check_content(path, stored.dtype, stored.shape, (trials, *shape[::-1]), "trial, z, y, x")
        x, y, z = np.unravel_index(voxel_index, shape)
        if stored.chunks is not None and stored.chunks[0] == trials:
            return _read_runs(stored, x, y, z)
        betas = np.empty((trials, len(x)), dtype=np.int16)  # by whole volumes: their order in such files
        block = max(1, READ_BYTES // max(1, stored.dtype.itemsize * int(np.prod(shape, dtype=np.int64))))
        for start in range(0, trials, block):
            betas[start : start + block] = stored[start : start + block][:, z, y, x]
        return betas


def _read_runs(stored: h5py.Dataset, x: VoxelIndex, y: VoxelIndex, z: VoxelIndex) -> Betas:
    """Read runs of neighbours along x: all trials of a voxel are one chunk, those of a run lie side by side.

    Many times faster than h5py's selection by lists, which grows with the square of their length.
    """
    betas = np.empty((len(stored), len(x)), dtype=np.int16)
    if not len(x):
        return betas
    order = np.lexsort((x, y, z))
    x, y, z = x[order], y[order], z[order]
    neighbours = (np.diff(z) == 0) & (np.diff(y) == 0) & (np.diff(x) <= 1)
    starts = np.flatnonzero(np.concatenate([[True], ~neighbours]))
    for start, end in zip(starts, [*starts[1:], len(x)], strict=True):
        first = x[start]
        run = stored[:, z[start], y[start], first : x[end - 1] + 1]
        betas[:, order[start:end]] = run[:, x[start:end] - first]
    return betas


def _read_nifti(path: Path, voxel_index: VoxelIndex, shape: tuple[int, int, int], trials: int) -> Betas:
    """Stream the file from its first byte to its last, a volume at a time: trials are its slowest axis."""
    image = open_image(path)
    dtype, slope, shift = image.get_data_dtype(), image.dataobj.slope, image.dataobj.inter
    _check_content(path, dtype, image.shape, (*shape, trials), "x, y, z, trial")
    if (slope, shift) != (1, 0):
        found = f"numbers to be scaled by {slope} and shifted by {shift}"
        raise ReleaseError(f"{path}: expected betas of plain int16, found {found}.")
    x, y, z = np.unravel_index(voxel_index, shape)
    in_file = x + shape[0] * (y + shape[1] * z)  # NIfTI runs through x first
    betas = np.empty((trials, len(voxel_index)), dtype=np.int16)
    volume = np.empty(int(np.prod(shape)), dtype=dtype)
    into = memoryview(volume).cast("B")
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        file.read(image.dataobj.offset)
        for trial in range(trials):
            filled = 0
            while filled < len(into):
                count = file.readinto(into[filled:])
                if count == 0:
                    found = f"found only {trial} whole ones: the file is truncated."
                    raise ReleaseError(f"{path}: expected {trials} trials, {found}")
                filled += count
            betas[trial] = volume[in_file]
        if file.read(1):  # at the very end, and only there, gzip compares the checksum
            raise ReleaseError(f"{path}: expected {trials} trials, found more bytes: the file is damaged.")
    return betas
