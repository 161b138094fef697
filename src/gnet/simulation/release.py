"""A stand-in for the Natural Scenes Dataset: the same files, a few megabytes, and a brain that is known.

`simulate` decides everything that can be known beforehand (images, design, heads, planted brain);
`SimulatedRelease.write` adds the noise, trial by trial, and lays the files out as NSD does. Nothing depends
on anything but the plan: the same plan gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io
from jaxtyping import Bool, Float, Float32, Float64, Int16, Int64, UInt8

from gnet.errors import ParameterError
from gnet.progress import track
from gnet.readers.nsd.betas import DATASET, UNITS_PER_PERCENT, percent
from gnet.readers.nsd.design import REPETITIONS, Design, trial_table
from gnet.readers.nsd.layout import Layout, subject_number
from gnet.readers.nsd.rois import LABELS
from gnet.recording.noise_ceiling import ncsnr
from gnet.recording.responses import zscore_session
from gnet.recording.volumes import flat_index, write_volume
from gnet.simulation import brain
from gnet.simulation.anatomy import AREA_OF_LABEL, FAMILIES, Anatomy, shape_head
from gnet.simulation.images import dead_leaves
from gnet.storage.steady_file import SteadyFile

MATLAB_HEADER = "MATLAB 5.0 MAT-file, simulated"  # scipy's would say when it was written
RUNS = 12  # of a session
WEAK_CEILING = 8.0  # percent: highest single-trial ceiling of visual cortex outside the areas
VEINS = 0.003  # fraction of the voxels outside visual cortex whose betas saturate


@dataclass(frozen=True)
class SimulationPlan:
    """What to simulate. The defaults are the demo: two subjects, one of whom stopped early.

    Raises
    ------
    ParameterError
        for sizes that contradict each other.
    """

    sessions: Mapping[str, int] = field(default_factory=lambda: {"subj01": 10, "subj02": 8})
    """Completed sessions of each subject, at most `planned_sessions`."""
    volume_shapes: Mapping[str, Sequence[int]] = field(
        default_factory=lambda: {"subj01": (20, 24, 18), "subj02": (19, 25, 17)}
    )
    """Voxels along x, y and z in each subject."""
    planned_sessions: int = 10
    trials_per_session: int = 150
    shared_images: int = 100
    """Images that every subject sees."""
    own_images: int = 400
    """Images that only one subject sees, for each subject. Each image is planned three times."""
    stimulus_pixels: int = 112
    """Side of the square images."""
    voxels_per_label: Sequence[int] = (40, 60)
    """Fewest and most voxels of V1v, V1d, V2v, V2d, V3v, V3d, hV4; the number is drawn for each."""
    organisation: str = "parallel"
    """Where the areas' feature maps come from, see `gnet.simulation.brain.area_maps`."""
    ceiling: Sequence[float] = (25.0, 60.0)
    """Lowest and highest noise ceiling of a single trial in the areas, percent; drawn for each voxel."""
    noise_correlation: float = 0.2
    """Fraction of the noise that voxels of the areas have in common with each other."""
    largest_eccentricity: float = 2.8
    """Degrees: receptive fields of the areas are centred no farther from the centre of the image."""
    missing_voxels: int = 3
    """Voxels of the areas that have no data in one session, in each subject."""
    seed: int = 0

    def __post_init__(self) -> None:
        def refuse(problem: str) -> None:
            raise ParameterError(f"simulation: {problem}. Correct it in the parameters.")

        planned = self.planned_sessions * self.trials_per_session
        presentations = REPETITIONS * (self.shared_images + self.own_images)
        if planned != presentations:
            refuse(
                f"expected as many planned trials as presentations of images, got {self.planned_sessions} "
                f"sessions of {self.trials_per_session} trials = {planned:,} and {REPETITIONS} x "
                f"({self.shared_images} + {self.own_images}) images = {presentations:,}"
            )
        if not self.sessions:
            refuse("expected sessions of one subject or more, got none")
        if set(self.sessions) != set(self.volume_shapes):
            refuse(
                f"expected a volume shape for each subject, got sessions of {', '.join(self.sessions)} "
                f"and shapes of {', '.join(self.volume_shapes) or 'nobody'}"
            )
        for subject, sessions in self.sessions.items():
            subject_number(subject)
            if not 1 <= sessions <= self.planned_sessions:
                refuse(
                    f"{subject}: expected 1 to {self.planned_sessions} sessions, as planned, got {sessions}"
                )
        if not 0 < self.ceiling[0] <= self.ceiling[1] < 100:
            refuse(
                f"expected ceilings in ascending order between 0 and 100 percent, got {list(self.ceiling)}"
            )
        if not 0 <= self.noise_correlation <= 1:
            refuse(f"expected a noise_correlation from 0 to 1, got {self.noise_correlation}")
        if not 1 <= self.voxels_per_label[0] <= self.voxels_per_label[1]:
            refuse(
                f"expected voxels_per_label of at least 1, fewest first, got {list(self.voxels_per_label)}"
            )
        if not 0 <= self.missing_voxels <= self.voxels_per_label[0]:
            refuse(
                f"expected 0 to {self.voxels_per_label[0]} missing_voxels, no more than a label has, got "
                f"{self.missing_voxels}"
            )
        if min(self.shared_images, self.own_images) < 1:
            refuse(f"expected shared and own images, got {self.shared_images} and {self.own_images}")
        if self.organisation not in brain.ORGANISATIONS:
            refuse(
                f"organisation: expected one of {', '.join(brain.ORGANISATIONS)}, got {self.organisation!r}"
            )

    def random(self, purpose: str, *numbers: int) -> np.random.Generator:
        """The random numbers of one purpose, whatever was drawn for other purposes before."""
        return np.random.default_rng([self.seed, *purpose.encode(), *numbers])


@dataclass(frozen=True)
class SimulatedSubject:
    """One subject: the head, the planted voxels of the areas, and which of them lack data when."""

    anatomy: Anatomy
    planted: Mapping[str, Any]
    missing: Bool[np.ndarray, "session voxel"]
    """Of the planted voxels, in the order of `planted["voxel_index"]`."""


@dataclass(frozen=True)
class SimulatedRelease:
    """A release that can be written, and what was planted in it."""

    plan: SimulationPlan
    images: UInt8[np.ndarray, "image y x 3"]
    design: Design
    subjects: Mapping[str, SimulatedSubject]

    @property
    def planted(self) -> dict[str, Any]:
        """The truth that a model is to recover: `organisation`, `seed`, and for each subject

        - `voxel_index` (voxel), ascending, `area`, `label`: the voxels of the areas
        - `x`, `y`, `sigma` (voxel), degrees: receptive fields, see `gnet.simulation.brain.fields`
        - `weights` (voxel, map), `offset` (voxel): readout of the area's maps, see
          `gnet.simulation.brain.responses`
        - `ceiling` (voxel), percent: noise ceiling of a single trial
        - `image_id` (image): 73k-IDs in the order of the subject's list, one more than rows of `imgBrick`
        - `responses` (image, voxel): without noise, of zero mean and unit variance over these images
        - `noise_covariance` (voxel, voxel): of the noise added to them
        """
        return {
            "organisation": self.plan.organisation,
            "seed": self.plan.seed,
            **{subject: dict(simulated.planted) for subject, simulated in self.subjects.items()},
        }

    def write(self, root: Path) -> None:
        """Write the whole release below `root`, in NSD's layout."""
        layout = Layout(Path(root))
        write_stimuli(layout, self.images)
        write_design(layout, self.design)
        write_stimulus_table(layout, self.design)
        for subject, simulated in self.subjects.items():
            write_anatomy(layout, subject, simulated.anatomy)
            write_responses(layout, subject, simulated, self.design, self.plan)


def simulate(plan: SimulationPlan) -> SimulatedRelease:
    """Everything about a release except the noise of its trials.

    Raises
    ------
    ParameterError
        for a volume too small for its voxels.

    >>> plan = SimulationPlan(
    ...     sessions={"subj01": 2}, volume_shapes={"subj01": (10, 12, 9)}, voxels_per_label=(4, 6),
    ...     planned_sessions=2, trials_per_session=15, shared_images=4, own_images=6, stimulus_pixels=32,
    ... )
    >>> release = simulate(plan)
    >>> release.planted["subj01"]["responses"].shape[0], release.images.shape
    (10, (10, 32, 32, 3))
    """
    design = plan_experiment(plan)
    images = dead_leaves(int(design.images.max()) + 1, plan.stimulus_pixels, plan.seed)
    energies = brain.gabor_energies(images)
    maps = brain.area_maps(energies, plan.organisation, plan.seed)
    subjects = {subject: plant(plan, subject, design, maps) for subject in plan.sessions}
    return SimulatedRelease(plan, images, design, subjects)


def plan_experiment(plan: SimulationPlan) -> Design:
    """NSD's design at another size: every image three times, in random order over the planned sessions.

    There is a list of images for every subject number up to the highest, as NSD's design file has one for
    everybody.
    """
    positions = plan.shared_images + plan.own_images
    subjects = max(subject_number(subject) for subject in plan.sessions)
    rows = plan.random("images").permutation(plan.shared_images + subjects * plan.own_images)
    shared, own = np.split(rows, [plan.shared_images])
    images = np.concatenate(
        [np.tile(np.sort(shared), (subjects, 1)), own.reshape(subjects, plan.own_images)], axis=1
    )
    ordering = plan.random("ordering").permutation(np.repeat(np.arange(positions), REPETITIONS))
    return Design(ordering, images, np.arange(positions) < plan.shared_images, plan.trials_per_session)


def plant(
    plan: SimulationPlan,
    subject: str,
    design: Design,
    maps: Mapping[str, Float32[np.ndarray, "image map row column"]],
) -> SimulatedSubject:
    """One subject's head and the voxels of its areas, given every area's feature maps of all images.

    Fields lie where the anatomy says: the left hemisphere sees the right half of the image, the ventral
    parts of V1, V2 and V3 its upper half, the dorsal parts its lower half.
    """
    number = subject_number(subject)
    generator = plan.random("head", number)
    fewest, most = plan.voxels_per_label
    voxels = {label: int(generator.integers(fewest, most, endpoint=True)) for label in AREA_OF_LABEL}
    anatomy = shape_head(tuple(plan.volume_shapes[subject]), voxels, generator)

    generator = plan.random("fields", number)
    labels = anatomy.regions["prf-visualrois"]
    voxel_index = flat_index(labels > 0)
    label = np.array([LABELS["prf-visualrois"][value] for value in labels.flat[voxel_index].tolist()])
    area = np.array([AREA_OF_LABEL[name] for name in label.tolist()])
    count = len(voxel_index)
    eccentricity = generator.uniform(0.2, plan.largest_eccentricity, count)
    elevation = generator.uniform(0, np.pi / 2, count)
    upper = np.where(
        area == label, generator.choice([-1, 1], count), np.where(np.char.endswith(label, "v"), 1, -1)
    )
    right = np.where(anatomy.left.flat[voxel_index], 1, -1)
    x, y = right * eccentricity * np.cos(elevation), upper * eccentricity * np.sin(elevation)

    images = design.stimulus_rows(subject)
    sigma, offset = np.empty((2, count))
    weights = np.empty((count, maps["V1"].shape[1]))
    responses = np.empty((len(images), count), np.float32)
    for name in brain.AREAS:
        of_area = area == name
        sigma[of_area] = brain.field_size(name, eccentricity[of_area])
        fields = brain.fields(x[of_area], y[of_area], sigma[of_area])
        pooled = brain.pooled_maps(maps[name][images], fields)
        drawn = brain.drawn_weights(name, len(fields), weights.shape[1], generator)
        responses[:, of_area], weights[of_area], offset[of_area] = brain.responses(pooled, drawn)

    generator = plan.random("noise", number)
    ceiling = generator.uniform(*plan.ceiling, count)
    missing = np.zeros((plan.sessions[subject], count), bool)
    without = generator.permutation(count)[: plan.missing_voxels]
    missing[generator.integers(0, len(missing), plan.missing_voxels), without] = True
    planted = {
        "voxel_index": voxel_index,
        "area": area,
        "label": label,
        "x": x,
        "y": y,
        "sigma": sigma,
        "weights": weights,
        "offset": offset,
        "ceiling": ceiling,
        "image_id": images + 1,
        "responses": responses,
        "noise_covariance": brain.noise_covariance(ceiling, plan.noise_correlation, generator),
    }
    return SimulatedSubject(anatomy, planted, missing)


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

    Trials of planned sessions count, whether they were run or not. The columns on the photographs' origin
    are there but say nothing.
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


def write_responses(
    layout: Layout, subject: str, simulated: SimulatedSubject, design: Design, plan: SimulationPlan
) -> None:
    """Betas of every session in both formats, where they are valid, and the noise ceiling they have.

    There is data in the brain, except where a planted voxel lacks it in a session. `ncsnr` is computed as
    NSD does, from the betas as they are stored, and is NaN outside the brain.
    """
    anatomy, number = simulated.anatomy, subject_number(subject)
    inside = flat_index(anatomy.brainmask)
    column = np.searchsorted(inside, simulated.planted["voxel_index"])
    voxels = Voxels.draw(simulated, inside, column, plan.random("voxels", number))
    trials = trial_table(design, subject, plan.sessions[subject])
    zscored = np.empty((len(trials), len(inside)), np.float32)
    shape = anatomy.brainmask.shape
    for session, of_session in track(list(trials.groupby("session")), f"{subject}: writing sessions"):
        betas = voxels.measure(of_session["position"].to_numpy(), plan.random("trials", number, session))
        valid = np.ones(len(inside), bool)
        valid[column] = ~simulated.missing[session - 1]
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
    snr = ncsnr(zscored, trials["position"].to_numpy()).astype(np.float32)
    write_volume(layout.ncsnr(subject), in_volume(snr, inside, shape, np.nan), anatomy.affine)


@dataclass(frozen=True)
class Voxels:
    """How the voxels of a brain respond to a trial: `level + size * (signal + noise)` percent."""

    signal: Float32[np.ndarray, "position voxel"]
    private: Float32[np.ndarray, " voxel"]
    """Standard deviation of the noise that a voxel does not share with others."""
    planted: Int64[np.ndarray, " planted"]
    """Columns of the planted voxels, whose noise is drawn from `factor`."""
    factor: Float64[np.ndarray, "planted planted"]
    level: Float32[np.ndarray, " voxel"]
    size: Float32[np.ndarray, " voxel"]

    @classmethod
    def draw(
        cls,
        simulated: SimulatedSubject,
        inside: Int64[np.ndarray, " voxel"],
        column: Int64[np.ndarray, " planted"],
        generator: np.random.Generator,
    ) -> Voxels:
        """Planted voxels as planted, weak mixtures of three of them in the rest of nsdgeneral, else noise.

        A few voxels outside nsdgeneral lie in veins, with responses so large that int16 saturates.
        """
        responses = simulated.planted["responses"]
        count = len(inside)
        visual = simulated.anatomy.regions["nsdgeneral"].flat[inside] == 1
        mixture = responses[:, generator.integers(0, responses.shape[1], (3, count))].sum(1)
        mixture /= mixture.std(0)
        share = np.where(visual, generator.uniform(0, WEAK_CEILING / 100, count), 0).astype(np.float32)
        signal, private = mixture * np.sqrt(share), np.sqrt(1 - share)
        signal[:, column], private[column] = responses, 0
        size = generator.uniform(0.5, 2, count)
        size[~visual & (generator.random(count) < VEINS)] *= 60
        level = generator.normal(0.5, 0.5, count)
        factor = np.linalg.cholesky(simulated.planted["noise_covariance"])
        return cls(signal, private, column, factor, level.astype(np.float32), size.astype(np.float32))

    def measure(
        self, position: Int64[np.ndarray, " trial"], generator: np.random.Generator
    ) -> Int16[np.ndarray, "trial voxel"]:
        """The betas of one session, 300 x percent signal change. Level and size drift from session to
        session.
        """
        trials, count = len(position), len(self.level)
        noise = generator.standard_normal((trials, count), np.float32) * self.private
        noise[:, self.planted] += generator.standard_normal((trials, len(self.planted))) @ self.factor.T
        level = self.level + 0.2 * generator.standard_normal(count, np.float32)
        size = self.size * np.exp(0.1 * generator.standard_normal(count, np.float32))
        betas = UNITS_PER_PERCENT * (level + size * (self.signal[position] + noise))
        limits = np.iinfo(np.int16)
        return np.rint(np.clip(betas, limits.min, limits.max)).astype(np.int16)


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
