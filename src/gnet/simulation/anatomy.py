"""The simulated head: an ellipsoid of white matter in a shell of cortex, on which the areas are drawn.

The first voxel of a volume is the left, posterior, inferior one, as in NSD. Early visual cortex lies at the
posterior pole: seen from there, bands of V1, V2 and V3 follow each other outwards in each quarter of the
shell (dorsal and ventral, left and right), and hV4 after V3 in the ventral ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int16

from gnet.errors import ParameterError
from gnet.readers.nsd.rois import LABELS

VOXEL_SIZE = 1.8  # millimetres
BRAIN, WHITE_MATTER = 0.95, 0.65  # radii, as fractions of half the volume
WHITE, GREY = {"left": 2, "right": 41}, {"left": 3, "right": 42}  # FreeSurfer's numbers in aseg
BANDS = {"dorsal": ("V1d", "V2d", "V3d"), "ventral": ("V1v", "V2v", "V3v", "hV4")}
AREA_OF_LABEL = {label: label.rstrip("vd") for band in BANDS.values() for label in band}

FAMILIES = ("prf-visualrois", "Kastner2015", "streams", "floc-faces", "nsdgeneral")
VENTRAL = ("VO1", "VO2", "PHC1", "PHC2")
DORSAL = ("V3b", "V3a", "LO1", "LO2", "MST", "hMT", *(f"IPS{number}" for number in range(6)), "SPL1", "FEF")

Mask = Bool[np.ndarray, "x y z"]
Numbers = Int16[np.ndarray, "x y z"]
Coordinate = Float64[np.ndarray, "x y z"]


@dataclass(frozen=True)
class Anatomy:
    """Volumes of one head. Region volumes hold -1 outside cortex, 0 in cortex without a label, 1..N."""

    brainmask: Mask
    left: Mask
    aseg: Numbers
    t1: Numbers
    regions: Mapping[str, Numbers]

    @property
    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """From voxel to millimetres: diagonal, the origin at the centre of the volume."""
        affine = np.diag([VOXEL_SIZE] * 3 + [1.0])
        affine[:3, 3] = -VOXEL_SIZE * (np.array(self.brainmask.shape) - 1) / 2
        return affine

    def hemisphere(self, family: str, name: str) -> Numbers:
        """Labels of one hemisphere, `lh` or `rh`; the other counts as not cortex."""
        kept = self.left if name == "lh" else ~self.left
        return np.where(kept, self.regions[family], -1).astype(np.int16)


def label_number(family: str, name: str) -> int:
    """The number that stands for a region in the volumes of its family."""
    return next(number for number, label in LABELS[family].items() if label == name)


def shape_head(
    shape: tuple[int, int, int], voxels: Mapping[str, int], generator: np.random.Generator
) -> Anatomy:
    """A head that fills a volume, with the requested number of voxels in each label of prf-visualrois.

    Half of them, rounded down, lie in the left hemisphere. Raises ParameterError for a cortex too small.
    """
    x, y, z = np.meshgrid(*(2 * (np.arange(n) - (n - 1) / 2) / n for n in shape), indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    brain, left = radius <= BRAIN, x < 0
    cortex = brain & (radius > WHITE_MATTER)
    aseg = np.zeros(shape, np.int16)
    for side, half in (("left", left), ("right", ~left)):
        aseg[brain & half] = WHITE[side]
        aseg[cortex & half] = GREY[side]
    t1 = np.choose(brain.astype(int) + cortex, [0, 900, 600]) + generator.normal(0, 20, shape)
    # angle seen from the centre of the head, 0 at the posterior pole; noise breaks the ties of a regular grid
    pole = np.arccos(np.clip(-y / np.maximum(radius, 1e-9), -1, 1)) + generator.normal(0, 1e-3, shape)
    prf = np.where(cortex, 0, -1).astype(np.int16)
    for band, side in itertools.product(BANDS, ("left", "right")):
        quarter = cortex & (z < 0 if band == "ventral" else z >= 0) & (left if side == "left" else ~left)
        nearest = np.flatnonzero(quarter)[np.argsort(pole[quarter])]
        sizes = [voxels[label] // 2 if side == "left" else -(-voxels[label] // 2) for label in BANDS[band]]
        if sum(sizes) > len(nearest) / 2:
            raise ParameterError(
                f"volume of {' x '.join(map(str, shape))} voxels: expected {sum(sizes)} voxels of "
                f"{', '.join(BANDS[band])} in a quarter of the cortex, and it has room for "
                f"{len(nearest) // 2}. Ask for a larger volume or for fewer voxels."
            )
        for label, members in zip(BANDS[band], np.split(nearest, np.cumsum(sizes)), strict=False):
            prf.flat[members] = label_number("prf-visualrois", label)
    return Anatomy(brain, left, aseg, t1.astype(np.int16), draw_regions(prf, pole, x, z, generator))


def draw_regions(
    prf: Numbers, pole: Coordinate, x: Coordinate, z: Coordinate, generator: np.random.Generator
) -> dict[str, Numbers]:
    """Every family of regions, given the labels of prf-visualrois and the position of each voxel.

    nsdgeneral is the visual third of cortex, a little larger than all areas together; the other families
    divide what prf-visualrois leaves of it. Kastner2015 lacks a tenth of the voxels of prf-visualrois.
    """
    blank = np.where(prf >= 0, 0, -1).astype(np.int16)
    visual = (prf >= 0) & (pole < pole[prf > 0].max() + 0.35)
    free = visual & (prf == 0)
    ventral, dorsal = free & (z < 0), free & (z >= 0)

    def chain(volume: Numbers, family: str, names: tuple[str, ...], within: Mask) -> None:
        """Divide the voxels `within` among the names, the first nearest to the pole."""
        ordered = np.flatnonzero(within)[np.argsort(pole[within])]
        for name, members in zip(names, np.array_split(ordered, len(names)), strict=True):
            volume.flat[members] = label_number(family, name)

    kastner = np.where((prf > 0) & (generator.random(prf.shape) < 0.1), 0, prf).astype(np.int16)
    labelled = generator.random(prf.shape) < 0.9
    chain(kastner, "Kastner2015", VENTRAL, ventral & labelled)
    chain(kastner, "Kastner2015", DORSAL, dorsal & labelled)

    streams = blank.copy()
    streams[(prf > 0) & (prf != label_number("prf-visualrois", "hV4"))] = 1
    lateral = np.abs(x) > 0.5
    chain(streams, "streams", ("midventral", "ventral"), visual & (streams == 0) & (z < 0) & ~lateral)
    chain(streams, "streams", ("midparietal", "parietal"), dorsal & ~lateral)
    chain(streams, "streams", ("midlateral", "lateral"), visual & (streams == 0) & lateral)

    faces = blank.copy()
    chain(faces, "floc-faces", tuple(LABELS["floc-faces"].values()), ventral & (np.abs(x) > 0.3))

    return {
        "prf-visualrois": prf,
        "Kastner2015": kastner,
        "streams": streams,
        "floc-faces": faces,
        "nsdgeneral": np.where(visual, 1, blank).astype(np.int16),
    }
