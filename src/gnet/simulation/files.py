"""The files of a simulated release, in NSD's layout and formats."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io
from jaxtyping import Bool

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


def write_hdf5(path: Path, name: str, data: np.ndarray, **storage: Any) -> None:
    """One dataset in a file of its own; the same data always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with SteadyFile(path) as steady, h5py.File(steady, "w") as file:
        file.create_dataset(name, data=data, **storage)


def write_design(layout: Layout, design: Design) -> None:
    """The design as a MATLAB v5 file: indices counted from 1, numbers stored as doubles."""
    sessions = design.ordering.reshape(design.planned_sessions, -1)
    times = [np.unique(session, return_counts=True)[1] for session in sessions]  # that it shows an image
    per_run = -(-design.trials_per_session // RUNS)
    shows = np.arange(RUNS * per_run).reshape(RUNS, per_run) < design.trials_per_session
    stimpattern = np.zeros((design.planned_sessions, RUNS, per_run + 1))  # each run ends with a blank
    stimpattern[:, :, :per_run] = shows
    content = {
        "masterordering": design.ordering[None] + 1,
        "subjectim": design.images + 1,
        "sharedix": design.images[:1, design.shared] + 1,
        "basiccnt": np.stack([np.bincount(count, minlength=4)[1:4] for count in times], axis=1),
        "stimpattern": stimpattern,
    }
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {name: array.astype(np.float64) for name, array in content.items()})
    header = MATLAB_HEADER.ljust(116).encode()
    layout.design.parent.mkdir(parents=True, exist_ok=True)
    layout.design.write_bytes(header + buffer.getvalue()[len(header) :])


def write_stimulus_table(layout: Layout, design: Design) -> None:
    """NSD's table of all images: who sees them and in which trials (from 1; 0 for none).

    Trials of planned sessions count, whether they were run or not. Columns on the photographs' origin are
    constant.
    """
    rows = np.arange(design.images.max() + 1)
    table = {
        **{"cocoId": 0, "cocoSplit": "simulated", "cropBox": "(0, 0, 0, 0)", "loss": 0.0, "nsdId": rows},
        **{"flagged": False, "BOLD5000": False, "shared1000": np.isin(rows, design.images[0, design.shared])},
    }
    when = np.argsort(design.ordering, kind="stable").reshape(-1, REPETITIONS) + 1  # of each position
    for number, images in enumerate(design.images, start=1):
        table[f"subject{number}"] = np.isin(rows, images).astype(int)
    for number, images in enumerate(design.images, start=1):
        for repetition in range(REPETITIONS):
            trial = table[f"subject{number}_rep{repetition}"] = np.zeros(len(rows), int)
            trial[images] = when[:, repetition]
    pd.DataFrame(table, rows).to_csv(layout.stimulus_table)


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
        names = {0: "Unknown", **LABELS[family]}
        ctab.write_text("".join(f"{number} {name}\n" for number, name in names.items()))


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
        path, chunks = layout.betas(subject, session, "hdf5"), (len(betas), 1, 1, 1)  # all trials of a voxel
        write_hdf5(path, DATASET, volume.transpose(0, 3, 2, 1), chunks=chunks)
        with_data = np.zeros(shape, bool)
        with_data.flat[inside] = valid
        write_volume(layout.valid_session(subject, session), with_data, anatomy.affine)
    snr = np.full(shape, np.nan, np.float32)
    snr.flat[inside] = ncsnr(zscored, trials["position"].to_numpy(), REPETITIONS)
    write_volume(layout.ncsnr(subject), snr, anatomy.affine)
