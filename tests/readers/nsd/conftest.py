"""A release of a few kilobytes, written by hand in NSD's formats."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
import scipy.io

from gnet.readers.nsd.layout import Layout

TRIALS = 6
PLANNED_SESSIONS = 4
SESSIONS = {"subj01": 4, "subj02": 3}
SHAPES = {"subj01": (5, 6, 4), "subj02": (4, 5, 6)}
POSITIONS, SHARED, STIMULI, PIXELS = 8, 3, 15, 12
FAMILIES = ["prf-visualrois", "Kastner2015", "nsdgeneral", "floc-faces"]
CTABS = {
    "prf-visualrois": ["V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4"],
    "nsdgeneral": ["nsdgeneral"],
    "floc-faces": ["OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"],
}


@dataclass(frozen=True)
class TinyRelease:
    """A release in a folder of its own that a test may damage, and the numbers that were written into it."""

    layout: Layout
    betas: dict[str, np.ndarray]  # subject -> int16 (session, trial, x, y, z)
    images: np.ndarray
    design: dict[str, np.ndarray]

    sessions = SESSIONS
    shapes = SHAPES
    trials = TRIALS
    families = FAMILIES

    def write_hdf5(self, subject: str, session: int, betas: np.ndarray, **storage) -> None:
        """Replace one session's HDF5 file by betas (trial, x, y, z)."""
        reversed_axes = betas.transpose(0, 3, 2, 1)
        storage = storage or {"chunks": (len(betas), 1, 1, 1)}
        with h5py.File(self.layout.betas(subject, session, "hdf5"), "w") as file:
            file.create_dataset("betas", data=reversed_axes, **storage)

    def write_nifti(self, path: Path, data: np.ndarray) -> None:
        """Replace one NIfTI file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(data, np.diag([1.8, 1.8, 1.8, 1]), dtype=data.dtype), path)

    def write_design(self, **fields: np.ndarray | None) -> None:
        """Replace fields of the design file; None takes a field out."""
        content = {k: v for k, v in {**self.design, **fields}.items() if v is not None}
        self.layout.design.parent.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(self.layout.design, content)

    def write_stimuli(self, images: np.ndarray, name: str = "imgBrick") -> None:
        """Replace the stimuli file."""
        self.layout.stimuli.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(self.layout.stimuli, "w") as file:
            file[name] = images


def cut(path: Path, fraction: float = 0.7) -> None:
    """Shorten a file, as an interrupted download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])


@pytest.fixture(name="cut", scope="session")
def cut_fixture():
    return cut


@pytest.fixture(scope="session")
def intact(tmp_path_factory) -> TinyRelease:
    rng = np.random.default_rng(0)
    layout = Layout(tmp_path_factory.mktemp("nsd"))
    subjectim = np.array([[1, 4, 9, 2, 3, 5, 6, 7], [1, 4, 9, 8, 10, 11, 12, 13]])
    ordering = rng.permutation(np.repeat(np.arange(1, POSITIONS + 1), 3))
    design = {
        "masterordering": ordering[None].astype(np.float64),
        "subjectim": subjectim.astype(np.float64),
        "sharedix": np.array([[1, 4, 9]], dtype=np.uint16),
        "basiccnt": np.ones((3, PLANNED_SESSIONS)),
    }
    betas = {
        subject: rng.integers(-900, 900, (count, TRIALS, *SHAPES[subject]), dtype=np.int16)
        for subject, count in SESSIONS.items()
    }
    betas["subj01"][1, :, 2, 3, 1] = 0  # outside the slab in session 2
    betas["subj01"][2, :, 4, 0, 2] = 17  # constant in session 3, though valid_session says otherwise
    images = rng.integers(0, 255, (STIMULI, PIXELS, PIXELS, 3), dtype=np.uint8)
    release = TinyRelease(layout, betas, images, design)
    release.write_design()
    release.write_stimuli(images)
    for subject, sessions in betas.items():
        shape = SHAPES[subject]
        ncsnr = rng.random(shape).astype(np.float32)
        ncsnr[0, 0, 0] = np.nan
        release.write_nifti(layout.ncsnr(subject), ncsnr)
        release.write_nifti(layout.aseg(subject), rng.integers(0, 3, shape).astype(np.int16))
        release.write_nifti(layout.brainmask(subject), np.ones(shape, np.uint8))
        for family, labels in {
            "prf-visualrois": 7,
            "Kastner2015": 25,
            "nsdgeneral": 1,
            "floc-faces": 2,
        }.items():
            volume = rng.integers(-1, labels + 1, shape).astype(np.int16)
            release.write_nifti(layout.roi(subject, family), volume)
        for family, names in CTABS.items():
            layout.ctab(subject, family).parent.mkdir(parents=True, exist_ok=True)
            lines = ["0 Unknown", *(f"{value} {name}" for value, name in enumerate(names, start=1))]
            layout.ctab(subject, family).write_text("\n".join(lines) + "\n")
        for session, responses in enumerate(sessions, start=1):
            release.write_hdf5(subject, session, responses)
            release.write_nifti(layout.betas(subject, session, "nifti"), responses.transpose(1, 2, 3, 0))
            valid = np.ones(shape, dtype=np.uint8)
            if (subject, session) == ("subj01", 2):
                valid[2, 3, 1] = valid[0, 5, 3] = 0
            release.write_nifti(layout.valid_session(subject, session), valid)
    return release


@pytest.fixture
def release(intact, tmp_path) -> TinyRelease:
    root = tmp_path / "nsd"
    shutil.copytree(intact.layout.root, root)
    return TinyRelease(Layout(root), intact.betas, intact.images, intact.design)
