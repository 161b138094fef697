"""Inventory: whether every file that a run needs is there and intact, from headers only."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd.design import Design, check_stimulus_table, read_design
from gnet.readers.nsd.file_checks import FileCheck, check_subject, mark_copies, problem_in
from gnet.readers.nsd.headers import is_truncated
from gnet.readers.nsd.layout import AGREEMENT, Layout, subject_number
from gnet.readers.nsd.stimuli import DATASET, stimulus_shape

PROBLEMS_SHOWN = 10


def inventory(
    layout: Layout, sessions: Mapping[str, int], families: Sequence[str], file_format: str
) -> pd.DataFrame:
    """List every file that a run needs, what is wrong with it, and the command that fetches it.

    Only headers and file sizes are read: a release of 284 sessions takes seconds. A row's `problem` is "" if
    the file passes every check: those of `gnet.readers.nsd.file_checks`, no copy of another file, and as many
    images as the table of all images lists, which agrees with the design, or at least as many as the design
    names. Raises ParameterError for no subject, an unknown subject or file format, and more sessions than the
    design plans.

    Columns: subject ("" for files of all subjects); session, from 1, missing for other files; kind: design,
    stimulus_table, stimuli, betas, valid_session, ncsnr, aseg, brainmask, roi or ctab; path below the root;
    expected and found, in words; size_bytes; shape, in the file's own order of axes; problem; command.
    """
    if not sessions:
        raise ParameterError("expected at least one subject, got none. Name one in the parameters.")
    for subject in sessions:
        subject_number(subject)
    design, design_file = _check_design(layout, sessions, file_format)
    listed, table_file = _check_stimulus_table(layout, design, list(sessions))
    if layout.design.name in table_file.problem:  # which of the two is damaged cannot be known
        contradiction = f"contradicts {layout.stimulus_table.name}"
        design_file = replace(design_file, found="unusable", problem=contradiction)
    files = [design_file, table_file, _check_stimuli(layout, design, listed)]
    trials = None if design is None else design.trials_per_session
    for subject, count in sessions.items():
        files += check_subject(layout, subject, count, trials, list(dict.fromkeys(families)), file_format)
    rows = [file.row(layout) for file in mark_copies(files, layout)]
    return pd.DataFrame(rows).astype({"session": "Int64", "size_bytes": "Int64"})


def refuse_incomplete(inventory: pd.DataFrame) -> None:
    """Raise ReleaseError if a file is missing or damaged, with the commands that fetch all such files."""
    wrong = inventory[inventory["problem"] != ""]
    if wrong.empty:
        return
    lines = [f"- {row.path}: {row.problem}" for row in wrong.head(PROBLEMS_SHOWN).itertuples()]
    if len(wrong) > PROBLEMS_SHOWN:
        lines.append(f"- and {len(wrong) - PROBLEMS_SHOWN:,} more")
    first = f"the release: expected {len(inventory):,} files that are there and whole, found {len(wrong):,} "
    commands = wrong["command"].drop_duplicates()
    raise ReleaseError("\n".join([f"{first}that are not:", *lines, AGREEMENT, "Then fetch them:", *commands]))


def _check_design(
    layout: Layout, sessions: Mapping[str, int], file_format: str
) -> tuple[Design | None, FileCheck]:
    """The design, if it is there, readable and plans the sessions that are there."""
    file = FileCheck(layout.design, "design", expected="design of the experiment")
    try:
        design = read_design(layout)
    except ReleaseError as error:
        return None, replace(file, problem=problem_in(error, layout.design))
    for subject, count in sessions.items():
        try:
            design.check_sessions(subject, count)
        except ParameterError as error:
            if not layout.betas(subject, count, file_format).is_file():
                raise
            problem = f"session {count} of {subject} is there, but not in the design: {error}"
            return None, replace(file, problem=problem)
    return design, file


def _check_stimulus_table(
    layout: Layout, design: Design | None, subjects: Sequence[str]
) -> tuple[int | None, FileCheck]:
    """The number of images in the table of all images, if it is there and agrees with the design."""
    path = layout.stimulus_table
    file = FileCheck(path, "stimulus_table", expected="the design, image by image")
    if not path.exists():
        return None, replace(file, found="absent; the design is not compared with it")
    if design is None:
        return None, replace(file, found="not compared: no design")
    try:
        count = check_stimulus_table(layout, design, subjects)
    except ReleaseError as error:
        return None, replace(file, problem=problem_in(error, path))
    return count, replace(file, found=f"{count:,} images")


def _check_stimuli(layout: Layout, design: Design | None, listed: int | None) -> FileCheck:
    """The file of images, compared with how many the design names and the table of all images lists."""
    path = layout.stimuli
    needed = None if design is None else int(design.images.max()) + 1
    expected = "uint8 images (image, y, x, 3)" if needed is None else f"{needed:,} uint8 images or more"
    file = FileCheck(path, "stimuli", expected=expected)
    try:
        shape = stimulus_shape(layout)
    except ReleaseError as error:
        return replace(file, problem=problem_in(error, path))
    problem = ""
    if needed is not None and shape[0] < needed:
        problem = f"expected {needed:,} images, as the design names, found {shape[0]:,}"
    elif listed is not None and shape[0] != listed:
        problem = f"expected {listed:,} images, as {layout.stimulus_table.name} lists, found {shape[0]:,}"
    elif is_truncated(path, DATASET):
        problem = f"the file is truncated: {shape[0]:,} images do not fit into its size"
    return replace(file, found=f"{shape[0]:,} images", problem=problem, shape=shape)
