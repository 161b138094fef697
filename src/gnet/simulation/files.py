"""The files of a simulated release, in NSD's layout and formats."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.io
from jaxtyping import Bool, Float, Int16, Int64, UInt8

from gnet.progress import track
from gnet.readers.nsd.betas import DATASET, percent
from gnet.readers.nsd.design import REPETITIONS, Design, trial_table
from gnet.readers.nsd.layout import Layout
from gnet.readers.nsd.rois import LABELS
from gnet.recording.noise_ceiling import ncsnr
from gnet.recording.responses import zscore_session
from gnet.recording.volumes import write_volume
from gnet.simulation.anatomy import FAMILIES, Anatomy
from gnet.simulation.trials import VoxelModel
from gnet.storage.steady_file import SteadyFile

MATLAB_HEADER = "MATLAB 5.0 MAT-file, simulated"  # scipy's would contain the time of writing
RUNS = 12  # of a session


def write_stimuli(layout: Layout, images: UInt8[np.ndarray, "image y x 3"]) -> None:
    """All images as `imgBrick`; row i is the image with 73k-ID i + 1."""
    layout.stimuli.parent.mkdir(parents=True, exist_ok=True)
    with SteadyFile(layout.stimuli) as steady, h5py.File(steady, "w") as file:
        file.create_dataset("imgBrick", data=images)


def write_design(layout: Layout, design: Design) -> None:
    """The design as a MATLAB v5 file: indices counted from 1, numbers stored as doubles."""
    sessions = design.ordering.reshape(design.planned_sessions, -1)
    # of each session: the number of images that it shows once, twice, three times
    counts = [
        np.bincount(np.unique(session, return_counts=True)[1], minlength=4)[1:4] for session in sessions
    ]
    trials = design.trials_per_session
    per_run = -(-trials // RUNS)
    shows = np.arange(RUNS * per_run).reshape(RUNS, per_run) < trials
    stimpattern = np.zeros((design.planned_sessions, RUNS, per_run + 1))  # each run ends with a blank
    stimpattern[:, :, :per_run] = shows
    content = {
        "masterordering": design.ordering[None] + 1,
        "subjectim": design.images + 1,
        "sharedix": design.images[:1, design.shared] + 1,
        "basiccnt": np.stack(counts, axis=1),
        "stimpattern": stimpattern,
    }
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: array.astype(np.float64) for name, array in content.items()})
    header = MATLAB_HEADER.ljust(116).encode()
    layout.design.parent.mkdir(parents=True, exist_ok=True)
    layout.design.write_bytes(header + buffer.getvalue()[len(header) :])


def write_stimulus_table(layout: Layout, design: Design) -> None:
    """NSD's table of all images: who sees them and in which trials (from 1; 0 for none).

    Trials of planned sessions count, whether they were run or not. The columns on where the photographs come
    from exist but carry no information.
    """
    count = int(design.images.max()) + 1
    table = pd.DataFrame(
        {"cocoId": 0, "cocoSplit": "simulated", "cropBox": "(0, 0, 0, 0)", "loss": 0.0}, np.arange(count)
    )
    table["nsdId"] = np.arange(count)
    table["flagged"] = False
    table["BOLD5000"] = False
    table["shared1000"] = np.isin(np.arange(count), design.images[0, design.shared])
    when = np.argsort(design.ordering, kind="stable").reshape(-1, REPETITIONS) + 1  # of each position
    for number, images in enumerate(design.images, start=1):
        table[f"subject{number}"] = np.isin(np.arange(count), images).astype(int)
    for number, images in enumerate(design.images, start=1):
        for repetition in range(REPETITIONS):
            trial = np.zeros(count, int)
            trial[images] = when[:, repetition]
            table[f"subject{number}_rep{repetition}"] = trial
    table.to_csv(layout.stimulus_table)


def write_anatomy(layout: Layout, subject: str, anatomy: Anatomy) -> None:
    """Brain mask, segmentation, T1, every family of regions (both hemispheres, left, right), label names."""
    write_volume(layout.brainmask(subject), anatomy.brainmask, anatomy.affine)
    write_volume(layout.aseg(subject), anatomy.aseg, anatomy.affine)
    write_volume(layout.anatomy(subject), anatomy.t1, anatomy.affine)
    for family in FAMILIES:
        write_volume(layout.roi(subject, family), anatomy.regions[family], anatomy.affine)
        for side in ("lh", "rh"):
            write_volume(layout.roi(subject, family, side), anatomy.hemisphere(family, side), anatomy.affine)
        ctab = layout.ctab(subject, family)
        ctab.parent.mkdir(parents=True, exist_ok=True)
        ctab.write_text(
            "".join(f"{number} {name}\n" for number, name in [(0, "Unknown"), *LABELS[family].items()])
        )


def write_sessions(
    layout: Layout,
    subject: str,
    anatomy: Anatomy,
    missing: Bool[np.ndarray, "session planted"],
    voxels: VoxelModel,
    design: Design,
    generators: Sequence[np.random.Generator],
) -> None:
    """Betas of every session in both formats, where they are valid, and the noise ceiling they have.

    There is data in the brain, except where a planted voxel lacks it in a session. `ncsnr` is computed from
    the betas as they are stored, as NSD does, and is NaN outside the brain.

    Parameters
    ----------
    layout : Layout
        Where to write.
    subject : str
        Name of the subject.
    anatomy : Anatomy
        The subject's head.
    missing : array of bool, (session, planted)
        In which sessions the planted voxels have no data.
    voxels : VoxelModel
        How the voxels of the brain respond.
    design : Design
        Which trial shows which image.
    generators : Sequence[Generator]
        Random numbers of each session.
    """
    shape, inside = anatomy.brainmask.shape, voxels.voxel_index
    trials = trial_table(design, subject, len(generators))
    zscored = np.empty((len(trials), len(inside)), np.float32)
    for session, of_session in track(list(trials.groupby("session")), f"{subject}: writing sessions"):
        betas = voxels.measure(of_session["position"].to_numpy(), generators[session - 1])
        valid = np.ones(len(inside), bool)
        valid[voxels.planted] = ~missing[session - 1]
        betas[:, ~valid] = 0
        zscored[of_session["trial"]] = np.where(valid, zscore_session(percent(betas)), np.nan)
        volume = np.zeros((len(betas), anatomy.brainmask.size), np.int16)
        volume[:, inside] = betas
        volume = volume.reshape(len(betas), *shape)
        write_volume(layout.betas(subject, session, "nifti"), np.moveaxis(volume, 0, -1), anatomy.affine)
        write_hdf5_session(layout.betas(subject, session, "hdf5"), volume)
        write_volume(
            layout.valid_session(subject, session), in_volume(valid, inside, shape, False), anatomy.affine
        )
    snr = ncsnr(zscored, trials["position"].to_numpy(), REPETITIONS).astype(np.float32)
    write_volume(layout.ncsnr(subject), in_volume(snr, inside, shape, np.nan), anatomy.affine)


def in_volume(
    values: Bool[np.ndarray, " voxel"] | Float[np.ndarray, " voxel"],
    voxel_index: Int64[np.ndarray, " voxel"],
    shape: tuple[int, ...],
    elsewhere: bool | float,
) -> Bool[np.ndarray, "x y z"] | Float[np.ndarray, "x y z"]:
    """A volume that holds the values of some voxels, and `elsewhere` in all others."""
    volume = np.full(shape, elsewhere, values.dtype)
    volume.flat[voxel_index] = values
    return volume


def write_hdf5_session(path: Path, betas: Int16[np.ndarray, "trial x y z"]) -> None:
    """One session as dataset `betas` (trial, z, y, x), all trials of a voxel in a chunk of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with SteadyFile(path) as steady, h5py.File(steady, "w") as file:
        file.create_dataset(DATASET, data=betas.transpose(0, 3, 2, 1), chunks=(len(betas), 1, 1, 1))
