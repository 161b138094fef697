"""Regions of the visual cortex: their labels, and the masks made of them."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd.layout import Layout
from gnet.recording.units import Atlas
from gnet.recording.volumes import read_volume

log = logging.getLogger(__name__)

Labels = Int[np.ndarray, "x y z"]
"""Number of each voxel's label."""
Mask = Bool[np.ndarray, "x y z"]

_EARLY = ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4")
LABELS: dict[str, dict[int, str]] = {
    family: dict(enumerate(names, start=1))
    for family, names in {
        "prf-visualrois": _EARLY,
        "Kastner2015": (
            *(*_EARLY, "VO1", "VO2", "PHC1", "PHC2", "MST", "hMT", "LO2", "LO1", "V3b", "V3a"),
            *("IPS0", "IPS1", "IPS2", "IPS3", "IPS4", "IPS5", "SPL1", "FEF"),
        ),
        "streams": ("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal"),
        "floc-bodies": ("EBA", "FBA-1", "FBA-2", "mTL-bodies"),
        "floc-faces": ("OFA", "FFA-1", "FFA-2", "mTL-faces", "aTL-faces"),
        "floc-places": ("OPA", "PPA", "RSC"),
        "floc-words": ("OWFA", "VWFA-1", "VWFA-2", "mfs-words", "mTL-words"),
        "nsdgeneral": ("nsdgeneral",),
    }.items()
}
"""Names of the labels as NSD documents them, for families without a ctab file, which takes precedence."""

MASK_FAMILIES = ("prf-visualrois", "Kastner2015", "nsdgeneral")
"""The families that the masks are drawn from."""


def read_ctab(path: Path) -> dict[int, str]:
    """Names of a family's labels from its colour table: "value name" a line, anything after that ignored.

    Raises ReleaseError for a line of another form, and a value with two names.
    """
    names: dict[int, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words or line.lstrip().startswith("#"):
            continue
        if len(words) < 2 or not re.fullmatch(r"-?\d{1,9}", words[0]):
            raise ReleaseError(
                f"{path}: expected 'value name' in line {number}, found {line[:80]!r}. Fetch the file again."
            )
        value, name = int(words[0]), words[1]
        if names.setdefault(value, name) != name:
            raise ReleaseError(
                f"{path}: expected one name for each value, found {names[value]!r} and, in line {number}, "
                f"{name!r} for {value}. Fetch the file again."
            )
    return names


def read_atlas(layout: Layout, subject: str, family: str, shape: tuple[int, int, int] | None = None) -> Atlas:
    """Read a family's labels, and their names from its ctab file or else, with a warning, from `LABELS`.

    Raises ReleaseError for a volume that is missing, damaged, of another shape, not of whole numbers from -1,
    or holds a label without a name; for a family with neither documented names nor a ctab file, and for a
    documented one with no voxel outside the cortex or none with a label.
    """
    path = layout.roi(subject, family)
    if not path.is_file():
        raise ReleaseError(
            f"{path}: expected the volume of the regions {family!r}, found no such file. "
            f"{families_there(path)} Correct the family in the parameters, or fetch it: "
            f"{layout.fetch_command(path)}"
        )
    labels = _whole_labels(layout, path, shape, lowest=-1)
    names = _label_names(layout, subject, family)
    nameless = sorted(set(np.unique(labels[labels > 0]).tolist()) - set(names))
    if nameless:
        raise ReleaseError(
            f"{path}: expected labels that {layout.ctab(subject, family).name} names, found {nameless} "
            "without a name. The two do not belong together: fetch both again, "
            f"{layout.fetch_command(path)} and {layout.fetch_command(layout.ctab(subject, family))}"
        )
    if family in LABELS and not ((labels == -1).any() and (labels > 0).any()):
        values = ", ".join(map(str, np.unique(labels)[:10]))
        problem = f"expected -1 outside the cortex and labels in some of it, found only the values {values}"
        raise layout.damaged(path, problem)
    return Atlas(family, labels, names, subject)


def read_segmentation(layout: Layout, subject: str, shape: tuple[int, int, int]) -> Labels:
    """FreeSurfer's segmentation `aseg`: 0 outside the brain, a structure's number in it.

    Raises ReleaseError for a volume that is missing, damaged, of another shape, not of whole numbers from 0,
    or wholly inside or outside the brain.
    """
    path = layout.aseg(subject)
    segments = _whole_labels(layout, path, shape, lowest=0)
    if segments.all() or not segments.any():
        found = "no 0" if segments.all() else "nothing but 0"
        raise layout.damaged(path, f"expected a brain and 0 around it, found {found}")
    return segments


def read_ncsnr(layout: Layout, subject: str, shape: tuple[int, int, int]) -> Float[np.ndarray, "x y z"]:
    """The release's noise-ceiling signal-to-noise ratio, NaN outside the valid region.

    Raises ReleaseError for a volume that is missing, damaged, of another shape, or of whole numbers.
    """
    path = layout.ncsnr(subject)
    ncsnr = read_volume(path, shape).data
    if ncsnr.dtype.kind != "f":
        raise layout.damaged(path, f"expected real numbers, found {ncsnr.dtype}: this is another volume")
    return ncsnr


def _whole_labels(layout: Layout, path: Path, shape: tuple[int, int, int] | None, lowest: int) -> Labels:
    stored = read_volume(path, shape).data
    whole = np.isfinite(stored) & (stored == np.rint(stored)) & (np.abs(stored) < np.iinfo(np.int32).max)
    if not whole.all():
        raise layout.damaged(path, "expected whole numbers as labels, found others")
    labels = stored.astype(np.int32) if stored.dtype.kind in "uf" else stored
    if labels.min(initial=0) < lowest:
        raise layout.damaged(path, f"expected labels from {lowest}, found {labels.min()}")
    return labels


def families_there(path: Path) -> str:
    """A sentence that lists the families in the folder of a missing one, in case its name is wrong."""
    there = sorted(
        file.name.removesuffix(".nii.gz")
        for file in path.parent.glob("*.nii.gz")
        if not file.name.startswith(("lh.", "rh."))
    )
    return f"Families there: {', '.join(there) or 'none'}."


def _label_names(layout: Layout, subject: str, family: str) -> dict[int, str]:
    path = layout.ctab(subject, family)
    documented = LABELS.get(family)
    if not path.is_file():
        if documented is None:
            raise layout.missing(path, f"the names of the labels of {family!r}")
        log.warning("%s: no ctab file for %s, its documented labels are taken instead.", subject, family)
        return dict(documented)
    names = {value: name for value, name in read_ctab(path).items() if value > 0}
    if documented is not None and names != documented:
        differing = ", ".join(
            f"{value} ({names.get(value)}, not {documented.get(value)})"
            for value in sorted(names.keys() | documented.keys())
            if names.get(value) != documented.get(value)
        )
        text = "%s: the ctab file of %s differs from NSD's documentation in labels %s; the file is followed."
        log.warning(text, subject, family, differing)
    return names


def early_visual(prf: Labels) -> Mask:
    """V1 to hV4: every label of prf-visualrois."""
    return prf > 0


def joined_visual(kastner: Labels, prf: Labels) -> Labels:
    """Kastner2015's labels, overwritten by those of prf-visualrois where it has one.

    The first seven labels of both name the same areas; those mapped in the subject are more accurate than
    those of the probabilistic atlas.
    """
    return np.where(prf > 0, prf, kastner)


def visual(kastner: Labels, prf: Labels) -> Mask:
    """All visual areas: every label of either atlas."""
    return joined_visual(kastner, prf) > 0


def nsdgeneral(labels: Labels) -> Mask:
    """NSD's own mask of responsive posterior cortex: label 1 only, not every voxel that is not -1."""
    return labels == 1


def tight_whole_brain(aseg: Labels, nsdgeneral: Labels, kastner: Labels) -> Mask:
    """The brain without its surroundings: segmented, in nsdgeneral, or cortex in Kastner2015 (label 0 too).

    The published mask is this one after `inflate`.
    """
    return (aseg != 0) | (nsdgeneral == 1) | (kastner >= 0)


def inflate(mask: Mask) -> Mask:
    """The mask with its gaps filled and its surface moved out by a voxel; single voxels do not grow.

    After smoothing with weights (0.5, 1, 0.5) along each axis in turn, voxels of at least 1 belong to it.
    The volume wraps around at its sides, as in the published code.
    """
    weight = mask.astype(np.float32)  # sums of eighths: exact
    for axis in range(weight.ndim):
        weight = weight + 0.5 * (np.roll(weight, 1, axis) + np.roll(weight, -1, axis))
    return weight >= 1


def area_mask(atlas: Atlas, labels: Sequence[str]) -> Mask:
    """The voxels that carry any of these labels of one family.

    Raises ParameterError if the family has no label of that name; ReleaseError if no voxel carries any of
    them, or the family's ctab file lacks a name that NSD documents.
    """
    unknown = [label for label in labels if label not in atlas.names.values()]
    documented = LABELS.get(atlas.family, {}).values()
    if unknown and all(label in documented for label in unknown):
        raise ReleaseError(
            f"{atlas.subject}: expected {', '.join(unknown)} in {atlas.family}.mgz.ctab, "
            f"as NSD documents, found only {', '.join(atlas.names.values())}. Fetch the file again."
        )
    if unknown:
        raise ParameterError(
            f"unknown label {', '.join(unknown)} in the family {atlas.family!r}: expected one of "
            f"{', '.join(atlas.names.values())}. Correct the area in the parameters."
        )
    values = [value for value, name in atlas.names.items() if name in labels]
    mask = np.isin(atlas.labels, values)
    if not mask.any():
        named = ", ".join(f"{value} {atlas.names[value]}" for value in values)
        raise ReleaseError(
            f"{atlas.subject}: expected voxels labelled {', '.join(labels)} in "
            f"{atlas.family}.nii.gz, found none ({named} in {atlas.family}.mgz.ctab). Take the area out of "
            "the parameters, or the subject."
        )
    return mask
