"""A simulated Natural Scenes Dataset: the same files, a few megabytes, and a brain that is known.

`simulate` decides everything that is known beforehand (images, design, heads, planted brain);
`SimulatedRelease.write` adds the noise and writes the files. The same plan gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from gnet.errors import ParameterError
from gnet.models.prefilter import gabor_weights
from gnet.readers.nsd.design import REPETITIONS, Design
from gnet.readers.nsd.layout import Layout, subject_number
from gnet.readers.nsd.rois import LABELS
from gnet.recording.pictures import resize
from gnet.recording.volumes import flat_index
from gnet.simulation import brain, files
from gnet.simulation.anatomy import AREA_OF_LABEL, Anatomy, shape_head
from gnet.simulation.images import dead_leaves
from gnet.simulation.stages import ORGANISATIONS, Chains
from gnet.simulation.trials import VoxelModel

PIXELS = 75
"""Side of the images as the brain sees them: the first layers of a network for such images come before it."""


@dataclass(frozen=True)
class SimulationPlan:
    """What to simulate (the demo: `conf/base`); ParameterError for sizes that contradict each other."""

    sessions: Mapping[str, int]
    """Completed sessions of each subject."""
    volume_shapes: Mapping[str, Sequence[int]]
    """Voxels along x, y and z in each subject."""
    planned_sessions: int
    """Of every subject."""
    trials_per_session: int
    shared_images: int
    """Images that every subject sees. Each image is planned three times."""
    own_images: int
    """Images that only one subject sees, for each subject."""
    stimulus_pixels: int
    """Side of the square images."""
    voxels_per_label: Sequence[int]
    """Fewest and most voxels of V1v, V1d, V2v, V2d, V3v, V3d, hV4; the number is drawn for each."""
    organisation: str
    """Where the areas' feature maps come from, see `gnet.simulation.stages.Chains`."""
    ceiling: Sequence[float]
    """Lowest and highest noise ceiling of a single trial in the areas, percent; drawn for each voxel."""
    noise_correlation: float
    """Fraction of the noise that voxels of the areas have in common with each other."""
    missing_voxels: int
    """Voxels of the areas that have no data in one session, in each subject."""
    seed: int

    def __post_init__(self) -> None:
        planned, shared, own = self.planned_sessions, self.shared_images, self.own_images
        trials, presentations = planned * self.trials_per_session, REPETITIONS * (shared + own)
        (fewest, most), (lowest, highest) = self.voxels_per_label, self.ceiling
        noise, missing, organisation = self.noise_correlation, self.missing_voxels, self.organisation
        named, shaped = ", ".join(self.sessions), ", ".join(self.volume_shapes) or "nobody"
        ascending, known = 0 < lowest <= highest < 100, organisation in ORGANISATIONS
        same_subjects = set(self.sessions) == set(self.volume_shapes)
        valid = {
            f"as many planned trials as presentations of images, got {planned} sessions of "
            f"{self.trials_per_session} trials = {trials:,} and {REPETITIONS} x ({shared} + {own}) images = "
            f"{presentations:,}": trials == presentations,
            "sessions of one subject or more, got none": len(self.sessions) > 0,
            f"a volume shape for each subject, got sessions of {named} and shapes of {shaped}": same_subjects,
            f"voxels_per_label of at least 1, fewest first, got {[fewest, most]}": 1 <= fewest <= most,
            f"0 to {fewest} missing_voxels, no more than a label has, got {missing}": 0 <= missing <= fewest,
            f"ceilings in ascending order between 0 and 100 percent, got {[lowest, highest]}": ascending,
            f"a noise_correlation from 0 to 1, got {noise}": 0 <= noise <= 1,
            f"shared and own images, got {shared} and {own}": min(shared, own) >= 1,
            f"one of {', '.join(ORGANISATIONS)} as organisation, got {organisation!r}": known,
        }
        for subject, sessions in self.sessions.items():
            subject_number(subject)
            possible = 1 <= sessions <= planned
            valid[f"1 to {planned} sessions of {subject}, as planned, got {sessions}"] = possible
        for expected, met in valid.items():
            if not met:
                raise ParameterError(f"simulation: expected {expected}. Correct it in the parameters.")

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
    chains: Chains
    """The stages from which the areas' maps follow."""

    def maps(
        self, area: str, images: Int64[np.ndarray, " image"]
    ) -> Iterator[Float32[np.ndarray, "block map pixel"]]:
        """The feature maps that an area's voxels read, of some images, block after block."""
        seen = resize(self.images[images], PIXELS)
        return (
            of_area[area].reshape(*of_area[area].shape[:2], -1) for of_area in self.chains.maps(seen, [area])
        )

    def fields(
        self, subject: str, voxels: Int64[np.ndarray, " voxel"], area: str
    ) -> Float64[np.ndarray, "voxel pixel"]:
        """The planted receptive fields of some of a subject's planted voxels, on the maps of their area."""
        planted = self.subjects[subject].planted
        where = (planted[name][voxels] for name in ("x", "y", "sigma"))
        return brain.fields(*where, brain.grid(self.chains, area, PIXELS)).reshape(len(voxels), -1)

    @property
    def planted(self) -> dict[str, Any]:
        """The truth that a model is to recover: `organisation`, `seed`, and for each subject

        - `voxel_index` (voxel), ascending, `area`, `label`: the voxels of the areas
        - `x`, `y`, `sigma` (voxel), degrees: receptive fields, see `gnet.simulation.brain.fields`
        - `weights` (voxel, map), `offset` (voxel): readout of the area's maps, see
          `gnet.simulation.brain.planted_responses`
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
        files.write_hdf5(layout.stimuli, "imgBrick", self.images)  # row i is the image with 73k-ID i + 1
        files.write_design(layout, self.design)
        files.write_stimulus_table(layout, self.design)
        for subject, simulated in self.subjects.items():
            number = subject_number(subject)
            files.write_anatomy(layout, subject, simulated.anatomy)
            voxels = VoxelModel.draw(simulated.anatomy, simulated.planted, self.plan.random("voxels", number))
            sessions = range(1, self.plan.sessions[subject] + 1)
            generators = [self.plan.random("trials", number, session) for session in sessions]
            head, missing = simulated.anatomy, simulated.missing
            files.write_sessions(layout, subject, head, missing, voxels, self.design, generators)


def simulate(plan: SimulationPlan) -> SimulatedRelease:
    """Everything about a release except the noise of its trials.

    Raises ParameterError for a volume too small for its voxels.
    """
    design = plan_experiment(plan)
    images = dead_leaves(int(design.images.max()) + 1, plan.stimulus_pixels, plan.seed)
    seen = resize(images, PIXELS, "bilinear")
    chains = Chains(seen[: brain.REFERENCE], brain.AREAS, plan.organisation, gabor_weights(), plan.seed)
    subjects = {subject: plant(plan, subject, design, chains, seen) for subject in plan.sessions}
    return SimulatedRelease(plan, images, design, subjects, chains)


def plan_experiment(plan: SimulationPlan) -> Design:
    """NSD's design at another size: every image three times, in random order over the planned sessions.

    There is a list of images for every subject number up to the highest, as in NSD's design file.
    """
    positions = plan.shared_images + plan.own_images
    subjects = max(subject_number(subject) for subject in plan.sessions)
    rows = plan.random("images").permutation(plan.shared_images + subjects * plan.own_images)
    shared, own = np.split(rows, [plan.shared_images])
    images = np.hstack([np.tile(np.sort(shared), (subjects, 1)), own.reshape(subjects, plan.own_images)])
    ordering = plan.random("ordering").permutation(np.repeat(np.arange(positions), REPETITIONS))
    return Design(ordering, images, np.arange(positions) < plan.shared_images, plan.trials_per_session)


def plant(
    plan: SimulationPlan,
    subject: str,
    design: Design,
    chains: Chains,
    seen: UInt8[np.ndarray, "image 3 v u"],
) -> SimulatedSubject:
    """One subject's head and the voxels of its areas, which read the chains' maps of what they have seen.

    Head, fields and noise have random numbers of their own: changing one leaves the others as they are.
    """
    number = subject_number(subject)
    head = plan.random("head", number)
    fewest, most = plan.voxels_per_label
    voxels = {label: int(head.integers(fewest, most, endpoint=True)) for label in AREA_OF_LABEL}
    x, y, z = plan.volume_shapes[subject]
    anatomy = shape_head((x, y, z), voxels, head)
    images = design.stimulus_rows(subject)
    planted = draw_voxels(plan, anatomy, chains, seen[images], plan.random("fields", number))
    noise, count = plan.random("noise", number), len(planted["area"])
    lowest, highest = plan.ceiling
    ceiling = noise.uniform(lowest, highest, count)
    missing = np.zeros((plan.sessions[subject], count), bool)
    without = noise.permutation(count)[: plan.missing_voxels]
    missing[noise.integers(0, len(missing), plan.missing_voxels), without] = True
    covariance = brain.noise_covariance(ceiling, plan.noise_correlation, noise)
    responses = planted.pop("responses")  # stored in this order, so that the same plan gives the same bytes
    planted |= {"ceiling": ceiling, "image_id": images + 1, "responses": responses}
    return SimulatedSubject(anatomy, planted | {"noise_covariance": covariance}, missing)


def draw_voxels(
    plan: SimulationPlan,
    anatomy: Anatomy,
    chains: Chains,
    seen: UInt8[np.ndarray, "position 3 v u"],
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    """The voxels of the areas, their receptive fields and noiseless responses to some images.

    Receptive fields lie where the anatomy says: the left hemisphere sees the right half of the image, the
    ventral parts of V1, V2 and V3 its upper half, the dorsal parts its lower half; hV4 sees both. Keys, units
    and shapes are those of `SimulatedRelease.planted`.
    """
    labels = anatomy.regions["prf-visualrois"]
    voxel_index = flat_index(labels > 0)
    label = np.array([LABELS["prf-visualrois"][value] for value in labels.flat[voxel_index].tolist()])
    area = np.array([AREA_OF_LABEL[name] for name in label.tolist()])
    count = len(voxel_index)
    eccentricity = generator.uniform(*brain.ECCENTRICITIES, count)
    elevation = generator.uniform(0, np.pi / 2, count)
    either, ventral = generator.choice([-1, 1], count), np.char.endswith(label, "v")
    upper = np.where(area == label, either, np.where(ventral, 1, -1))
    right = np.where(anatomy.left.flat[voxel_index], 1, -1)
    x, y = right * eccentricity * np.cos(elevation), upper * eccentricity * np.sin(elevation)
    sigma = np.empty(count)
    for name in brain.AREAS:
        here = area == name
        sigma[here] = brain.field_size(name, eccentricity[here])
    where = brain.Voxels(area, x, y, sigma)
    responses, weights, offset = brain.planted_responses(chains, seen, where, generator)
    return {
        **{"voxel_index": voxel_index, "area": area, "label": label, "x": x, "y": y},
        **{"sigma": sigma, "weights": weights, "offset": offset, "responses": responses},
    }
