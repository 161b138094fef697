"""Which trial showed which image: NSD's experimental design, counted from 0 (NSD counts from 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.io
from jaxtyping import Bool, Int

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd.layout import Layout, subject_number
from gnet.recording.volumes import UNREADABLE, spell_shape

REPETITIONS = 3
"""Presentations of each image that NSD planned (Allen et al. 2022)."""
FIELDS = ("masterordering", "subjectim", "sharedix", "basiccnt")


@dataclass(frozen=True)
class Design:
    """The planned experiment, the same order of trials for every subject.

    Two steps lead from a trial to its image: `ordering` gives the image's *position* in the subject's own
    list (NSD's 10k index minus 1), `images` the row of imgBrick at that position (NSD's 73k-ID minus 1). A
    position is not an image: only the shared positions hold the same image in every subject.
    """

    ordering: Int[np.ndarray, " trial"]
    images: Int[np.ndarray, "subject position"]
    shared: Bool[np.ndarray, " position"]
    trials_per_session: int

    @property
    def planned_sessions(self) -> int:
        """Number of sessions planned for each subject."""
        return len(self.ordering) // self.trials_per_session

    def stimulus_rows(self, subject: str) -> Int[np.ndarray, " position"]:
        """Row of imgBrick at each position of one subject's list.

        Raises
        ------
        ParameterError
            if the design has no such subject.
        """
        number = subject_number(subject)
        if number > len(self.images):
            raise ParameterError(
                f"unknown subject {subject!r}: expected one of subj01 to subj{len(self.images):02d}, the "
                "subjects of the design file. Correct it in the parameters."
            )
        return self.images[number - 1]

    def check_sessions(self, subject: str, sessions: int) -> None:
        """Raise ParameterError for an unknown subject, or a number of sessions that was not planned."""
        self.stimulus_rows(subject)
        if not 1 <= sessions <= self.planned_sessions:
            raise ParameterError(
                f"{subject}: expected between 1 and {self.planned_sessions} sessions, as the design file "
                f"plans, got {sessions}. Correct the subject's number of sessions in the parameters."
            )


def read_design(layout: Layout, stimuli: int | None = None) -> Design:
    """Read `nsd_expdesign.mat` and check that it is consistent.

    `stimuli` is the number of images in the stimuli file, if it is known: no index may exceed it.

    Raises
    ------
    ReleaseError
        if the file is missing or unreadable; a field is missing, or holds numbers that are not whole or out
        of range, or does not have the shape of the others; an image is not planned as often as every other;
        the shared images differ between subjects or from `sharedix`; any other image is in two lists.
    """
    path = layout.design
    advice = f"Fetch the file again: {layout.fetch_command(path)}"
    if not path.is_file():
        raise ReleaseError(
            f"{path}: expected the design of the experiment, found no such file. "
            f"Fetch it: {layout.fetch_command(path)}"
        )
    try:
        content = scipy.io.loadmat(path)
    # scipy raises whatever the damaged bytes lead to; a MATLAB 7.3 file is a NotImplementedError
    except Exception as error:
        raise ReleaseError(
            f"{path}: expected a MATLAB v5 file, but reading it fails ({error}). {advice}"
        ) from error
    missing = [name for name in FIELDS if name not in content]
    if missing:
        held = ", ".join(name for name in content if not name.startswith("__")) or "none"
        raise ReleaseError(
            f"{path}: expected the fields {', '.join(FIELDS)}, found no {', '.join(missing)} "
            f"(fields there: {held}). {advice}"
        )
    images = _whole_numbers(path, content, "subjectim", stimuli, "images of the stimuli file", advice)
    positions = images.shape[1]
    of_subject = "positions in a subject's list of images"
    ordering = _whole_numbers(path, content, "masterordering", positions, of_subject, advice)
    shared = _whole_numbers(path, content, "sharedix", stimuli, "images of the stimuli file", advice)
    if 1 not in ordering.shape or 1 not in shared.shape:
        raise ReleaseError(
            f"{path}: expected one row of numbers in masterordering and in sharedix, found "
            f"{spell_shape(ordering.shape)} and {spell_shape(shared.shape)}. {advice}"
        )
    ordering, shared = ordering.ravel(), shared.ravel()
    sessions = _planned_sessions(path, content, advice)
    if sessions == 0 or len(ordering) % sessions:
        raise ReleaseError(
            f"{path}: expected as many trials in every session, found {len(ordering):,} trials "
            f"(masterordering) in {sessions} sessions (columns of basiccnt). {advice}"
        )
    planned = np.bincount(ordering, minlength=positions)
    uneven = np.flatnonzero(planned != REPETITIONS)
    if uneven.size:
        raise ReleaseError(
            f"{path}: expected each of the {positions:,} positions {REPETITIONS} times in masterordering, "
            f"found {uneven.size:,} otherwise, the first of them {uneven[0] + 1}: {planned[uneven[0]]} "
            f"times. {advice}"
        )
    _check_lists(path, images, shared, advice)
    return Design(ordering, images, np.arange(positions) < len(shared), len(ordering) // sessions)


def _planned_sessions(path: Path, content: Mapping, advice: str) -> int:
    counts = content["basiccnt"]
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iufb" or counts.ndim != 2:
        raise ReleaseError(
            f"{path}: expected numbers in basiccnt, a column for each session, found something else. {advice}"
        )
    shown = content.get("stimpattern")  # (session, run, trial)
    if isinstance(shown, np.ndarray) and shown.ndim == 3 and len(shown) != counts.shape[1]:
        raise ReleaseError(
            f"{path}: expected basiccnt and stimpattern to have as many sessions, found {counts.shape[1]} "
            f"and {len(shown)}. {advice}"
        )
    return counts.shape[1]


def _check_lists(
    path: Path, images: Int[np.ndarray, "subject position"], shared: Int[np.ndarray, " shared"], advice: str
) -> None:
    """Refuse lists whose shared images differ between subjects, or that have any other image in common."""
    count, positions = len(shared), images.shape[1]
    if count > positions:
        raise ReleaseError(
            f"{path}: expected at most {positions:,} shared images, the length of a subject's list, found "
            f"{count:,} (sharedix). {advice}"
        )
    differing = np.flatnonzero((images[:, :count] != images[:1, :count]).any(axis=0))
    if differing.size:
        raise ReleaseError(
            f"{path}: expected the first {count:,} columns of subjectim, the shared images, to be the "
            f"same for every subject, found {differing.size:,} that differ, the first of them column "
            f"{differing[0] + 1}. {advice}"
        )
    other = np.flatnonzero(shared != images[0, :count])
    if other.size:
        raise ReleaseError(
            f"{path}: expected sharedix to be the first {count:,} columns of subjectim, found {other.size:,} "
            f"that differ, the first of them column {other[0] + 1}. {advice}"
        )
    listed, times = np.unique(np.concatenate([shared, images[:, count:].ravel()]), return_counts=True)
    if (times > 1).any():
        raise ReleaseError(
            f"{path}: expected every image of subjectim to be shared by all subjects or in one list once, "
            f"found {(times > 1).sum():,} otherwise, the first of them 73k-ID {listed[times > 1][0] + 1}. "
            f"{advice}"
        )


def _whole_numbers(
    path: Path, content: Mapping, name: str, limit: int | None, limit_meaning: str, advice: str
) -> Int[np.ndarray, "row column"]:
    """One 1-based field of the design, checked and counted from 0."""
    numbers = np.atleast_2d(content[name])
    if (
        numbers.dtype.kind not in "iuf"
        or numbers.ndim != 2
        or not np.isfinite(numbers).all()
        or (numbers != np.floor(numbers)).any()
    ):
        found = f"others ({numbers.dtype})" if numbers.ndim == 2 else f"shape {spell_shape(numbers.shape)}"
        raise ReleaseError(f"{path}: expected whole numbers in {name}, found {found}. {advice}")
    lowest, highest = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
    if lowest < 1 or highest > (np.iinfo(np.int32).max if limit is None else limit):
        upper = "" if limit is None else f" to {limit:,}, the number of {limit_meaning}"
        raise ReleaseError(
            f"{path}: expected {name} to hold indices from 1{upper}, found {lowest:,} to {highest:,}. "
            f"{advice}"
        )
    return numbers.astype(np.int64) - 1


def check_stimulus_table(layout: Layout, design: Design, subjects: Sequence[str]) -> int:
    """Check that the table of all images agrees with the design; number of images that it lists.

    The table (`nsd_stim_info_merged.csv`) gives the trials of each image and subject, planned ones included.

    Raises
    ------
    ReleaseError
        if the table is missing, unreadable, or contradicts the design.
    """
    path = layout.stimulus_table
    advice = f"Fetch the file again: {layout.fetch_command(path)}"
    columns = [
        [f"subject{subject_number(subject)}_rep{repetition}" for repetition in range(REPETITIONS)]
        for subject in subjects
    ]
    wanted = ["nsdId", *(name for names in columns for name in names)]
    try:
        table = pd.read_csv(path, usecols=wanted)[wanted].to_numpy()
        if table.dtype.kind not in "iu":
            raise ValueError(f"numbers that are not whole: {table.dtype}")
    except UNREADABLE as error:  # pandas raises whatever the damaged text leads to
        raise ReleaseError(
            f"{path}: expected a table of all images with the columns {', '.join(wanted)}, but reading it "
            f"fails ({error}). {advice}"
        ) from error
    rows, count = table[:, 0], len(table)
    if not np.array_equal(np.sort(rows), np.arange(count)) or count <= design.images.max():
        raise ReleaseError(
            f"{path}: expected each nsdId from 0 to {max(count - 1, design.images.max()):,} once, found "
            f"others. {advice}"
        )
    when = np.argsort(design.ordering, kind="stable").reshape(-1, REPETITIONS) + 1  # trials of each position
    for subject, first in zip(subjects, range(1, len(wanted), REPETITIONS), strict=True):
        expected = np.zeros((count, REPETITIONS), np.int64)
        expected[design.stimulus_rows(subject)] = when
        listed = np.empty_like(expected)
        listed[rows] = np.sort(table[:, first : first + REPETITIONS], axis=1)
        differing = np.flatnonzero((listed != expected).any(axis=1))
        if differing.size:
            image = differing[0]
            raise ReleaseError(
                f"{path}: expected the trials that {layout.design.name} plans, found others for "
                f"{differing.size:,} images of {subject}, the first of them nsdId {image}: "
                f"{listed[image].tolist()}, not {expected[image].tolist()}. One of the two files is damaged. "
                f"Fetch both again: {layout.fetch_command(layout.design)} and {layout.fetch_command(path)}"
            )
    return count


def planned_images(design: Design, subjects: Sequence[str]) -> Int[np.ndarray, " image"]:
    """73k-IDs, ascending, of all images that the design plans for any of these subjects.

    Raises
    ------
    ParameterError
        for an unknown subject.
    """
    return np.unique([design.stimulus_rows(subject) for subject in subjects]) + 1


def image_table(design: Design, subjects: Sequence[str]) -> pd.DataFrame:
    """The images that the design plans for each subject, seen or not.

    Columns: subject; position, 0-based in the subject's list; image_id, NSD's 1-based 73k-ID; image_row,
    among all `planned_images` of these subjects; shared.

    Raises
    ------
    ParameterError
        for an unknown subject.
    """
    planned = planned_images(design, subjects)
    tables = []
    for subject in subjects:
        image_id = design.stimulus_rows(subject) + 1
        tables.append(
            pd.DataFrame(
                {
                    "subject": subject,
                    "position": np.arange(len(image_id)),
                    "image_id": image_id,
                    "image_row": np.searchsorted(planned, image_id),
                    "shared": design.shared,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def trial_table(design: Design, subject: str, sessions: int) -> pd.DataFrame:
    """The trials of a subject's first `sessions` sessions, in the order they were run.

    Columns: subject; trial, its 0-based position in that order; session, from 1; position, 0-based in the
    subject's list of images; image_id, NSD's 1-based 73k-ID; repetition, 1 when the subject saw the image
    for the first time; shared, whether every subject's list contains the image.

    Raises
    ------
    ParameterError
        for an unknown subject, or more sessions than planned.
    """
    design.check_sessions(subject, sessions)
    position = design.ordering[: sessions * design.trials_per_session]
    table = pd.DataFrame(
        {
            "subject": subject,
            "trial": np.arange(len(position)),
            "session": np.arange(len(position)) // design.trials_per_session + 1,
            "position": position,
            "image_id": design.stimulus_rows(subject)[position] + 1,
            "shared": design.shared[position],
        }
    )
    table.insert(5, "repetition", table.groupby("position").cumcount() + 1)
    return table


def special_positions(design: Design, sessions: Mapping[str, int]) -> Int[np.ndarray, " position"]:
    """Positions of the shared images that every one of these subjects saw three times, ascending.

    `sessions` is the number of sessions each subject completed. With all eight subjects of NSD these are its
    "special 515"; with fewer subjects or sessions there are more or fewer.

    Raises
    ------
    ParameterError
        for an unknown subject, or more sessions than planned.
    """
    special = design.shared.copy()
    for subject, count in sessions.items():
        design.check_sessions(subject, count)
        seen = np.bincount(design.ordering[: count * design.trials_per_session], minlength=len(special))
        special &= seen >= REPETITIONS
    return np.flatnonzero(special)
