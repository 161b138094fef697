"""Which trial showed which image: NSD's experimental design, counted from 0 (NSD counts from 1)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
        """Row of imgBrick at each position of a subject's list; ParameterError for an unknown subject."""
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

    `stimuli` is the number of images in the stimuli file, if it is known: no index may exceed it. Raises
    ReleaseError for a file that is missing, unreadable, lacks a field or contradicts itself.
    """
    path = layout.design
    if not path.is_file():
        raise layout.missing(path, "the design of the experiment")
    try:
        content = scipy.io.loadmat(path)
    # scipy raises whatever the damaged bytes lead to; a MATLAB 7.3 file is a NotImplementedError
    except Exception as error:
        raise layout.damaged(path, f"expected a MATLAB v5 file, but reading it fails ({error})") from error
    if missing := [name for name in FIELDS if name not in content]:
        held = ", ".join(name for name in content if not name.startswith("__")) or "none"
        raise layout.damaged(
            path,
            f"expected the fields {', '.join(FIELDS)}, found no {', '.join(missing)} (fields there: {held})",
        )
    images = _whole_numbers(layout, content, "subjectim", stimuli, "images of the stimuli file")
    positions = images.shape[1]
    of_subject = "positions in a subject's list of images"
    ordering = _whole_numbers(layout, content, "masterordering", positions, of_subject)
    shared = _whole_numbers(layout, content, "sharedix", stimuli, "images of the stimuli file")
    if 1 not in ordering.shape or 1 not in shared.shape:
        raise layout.damaged(
            path,
            "expected one row of numbers in masterordering and in sharedix, found "
            f"{spell_shape(ordering.shape)} and {spell_shape(shared.shape)}",
        )
    ordering, shared = ordering.ravel(), shared.ravel()
    sessions = _planned_sessions(layout, content)
    if sessions == 0 or len(ordering) % sessions:
        raise layout.damaged(
            path,
            f"expected as many trials in every session, found {len(ordering):,} trials (masterordering) in "
            f"{sessions} sessions (columns of basiccnt)",
        )
    planned = np.bincount(ordering, minlength=positions)
    uneven = np.flatnonzero(planned != REPETITIONS)
    if uneven.size:
        raise layout.damaged(
            path,
            f"expected each of the {positions:,} positions {REPETITIONS} times in masterordering, found "
            f"{uneven.size:,} otherwise, the first of them {uneven[0] + 1}: {planned[uneven[0]]} times",
        )
    for problem in _contradictions(images, shared):
        raise layout.damaged(path, f"expected {problem}")
    return Design(ordering, images, np.arange(positions) < len(shared), len(ordering) // sessions)


def _planned_sessions(layout: Layout, content: Mapping) -> int:
    counts = content["basiccnt"]
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iufb" or counts.ndim != 2:
        problem = "expected numbers in basiccnt, a column for each session, found something else"
        raise layout.damaged(layout.design, problem)
    shown = content.get("stimpattern")  # (session, run, trial)
    if isinstance(shown, np.ndarray) and shown.ndim == 3 and len(shown) != counts.shape[1]:
        raise layout.damaged(
            layout.design,
            f"expected basiccnt and stimpattern to have as many sessions, found {counts.shape[1]} and "
            f"{len(shown)}",
        )
    return counts.shape[1]


def _contradictions(
    images: Int[np.ndarray, "subject position"], shared: Int[np.ndarray, " shared"]
) -> Iterator[str]:
    """What is wrong with lists whose shared images differ, or that have any other image in common."""
    count, positions = len(shared), images.shape[1]
    if count > positions:
        length = f"{positions:,} shared images, the length of a subject's list"
        yield f"at most {length}, found {count:,} (sharedix)"
    differing = np.flatnonzero((images[:, :count] != images[:1, :count]).any(axis=0))
    if differing.size:
        yield (
            f"the first {count:,} columns of subjectim, the shared images, to be the same for every subject, "
            f"found {differing.size:,} that differ, the first of them column {differing[0] + 1}"
        )
    other = np.flatnonzero(shared != images[0, :count])
    if other.size:
        yield (
            f"sharedix to be the first {count:,} columns of subjectim, found {other.size:,} that differ, the "
            f"first of them column {other[0] + 1}"
        )
    listed, times = np.unique(np.concatenate([shared, images[:, count:].ravel()]), return_counts=True)
    if (times > 1).any():
        yield (
            f"every image of subjectim to be shared by all subjects or in one list once, found "
            f"{(times > 1).sum():,} otherwise, the first of them 73k-ID {listed[times > 1][0] + 1}"
        )


def _whole_numbers(
    layout: Layout, content: Mapping, name: str, limit: int | None, limit_meaning: str
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
        raise layout.damaged(layout.design, f"expected whole numbers in {name}, found {found}")
    lowest, highest = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
    if lowest < 1 or highest > (np.iinfo(np.int32).max if limit is None else limit):
        upper = "" if limit is None else f" to {limit:,}, the number of {limit_meaning}"
        problem = f"expected {name} to hold indices from 1{upper}, found {lowest:,} to {highest:,}"
        raise layout.damaged(layout.design, problem)
    return numbers.astype(np.int64) - 1


def check_stimulus_table(layout: Layout, design: Design, subjects: Sequence[str]) -> int:
    """Check that the table of all images agrees with the design; number of images that it lists.

    The table (`nsd_stim_info_merged.csv`) gives the trials of each image and subject, planned ones included.
    Raises ReleaseError if it is missing, unreadable, or contradicts the design.
    """
    path = layout.stimulus_table
    wanted = ["nsdId"]
    for subject in subjects:
        wanted += [f"subject{subject_number(subject)}_rep{repetition}" for repetition in range(REPETITIONS)]
    try:
        table = pd.read_csv(path, usecols=wanted)[wanted].to_numpy()
        if table.dtype.kind not in "iu":
            raise ValueError(f"numbers that are not whole: {table.dtype}")
    except UNREADABLE as error:  # pandas raises whatever the damaged text leads to
        names = ", ".join(wanted)
        problem = f"expected a table of all images with the columns {names}, but reading it fails ({error})"
        raise layout.damaged(path, problem) from error
    rows, count = table[:, 0], len(table)
    if not np.array_equal(np.sort(rows), np.arange(count)) or count <= design.images.max():
        last = max(count - 1, design.images.max())
        raise layout.damaged(path, f"expected each nsdId from 0 to {last:,} once, found others")
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
    """73k-IDs, ascending, of all images planned for these subjects; ParameterError for an unknown one."""
    return np.unique([design.stimulus_rows(subject) for subject in subjects]) + 1


def image_table(design: Design, subjects: Sequence[str]) -> pd.DataFrame:
    """The images that the design plans for each subject, seen or not.

    Columns: subject; position, 0-based in the subject's list; image_id, NSD's 1-based 73k-ID; image_row,
    among all `planned_images` of these subjects; shared, whether every list contains the image. Raises
    ParameterError for an unknown subject.
    """
    columns = {"position": np.arange(design.images.shape[1]), "shared": design.shared}
    tables = [
        pd.DataFrame({"subject": subject, "image_id": design.stimulus_rows(subject) + 1, **columns})
        for subject in subjects
    ]
    table = pd.concat(tables, ignore_index=True)
    table["image_row"] = np.searchsorted(planned_images(design, subjects), table["image_id"])
    return table[["subject", "position", "image_id", "image_row", "shared"]]


def trial_table(design: Design, subject: str, sessions: int) -> pd.DataFrame:
    """The trials of a subject's first `sessions` sessions, in the order they were run.

    Columns: subject; trial, its 0-based position in that order; session, from 1; position, image_id and
    shared, as in `image_table`; repetition, 1 when the subject saw the image for the first time. Raises
    ParameterError for an unknown subject, or more sessions than planned.
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
    "special 515"; with fewer subjects or sessions there are more or fewer. Raises ParameterError for an
    unknown subject, or more sessions than planned.
    """
    special = design.shared.copy()
    for subject, count in sessions.items():
        design.check_sessions(subject, count)
        seen = np.bincount(design.ordering[: count * design.trials_per_session], minlength=len(special))
        special &= seen >= REPETITIONS
    return np.flatnonzero(special)
