"""Whether every file that a run needs is there and whole, found out from headers before anything is read."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pandas as pd

from gnet.errors import ParameterError, ReleaseError
from gnet.readers.nsd import betas
from gnet.readers.nsd.design import Design, check_stimulus_table, read_design
from gnet.readers.nsd.layout import AGREEMENT, FILE_FORMATS, Layout, check_file_format, subject_number
from gnet.readers.nsd.rois import LABELS, families_there, read_ctab
from gnet.readers.nsd.stimuli import stimulus_shape
from gnet.recording.volumes import UNREADABLE, spell_shape

PROBLEMS_SHOWN = 10
NEAR = 0.5  # voxels: volumes whose voxels lie no farther apart are in one place
UNLIKE = {"betas", "ncsnr", "aseg", "roi"}
"""Kinds of file of which no two can be the same. Masks can: where all of the brain has data, for instance."""

COLUMNS = (
    "subject",
    "session",
    "kind",
    "path",
    "expected",
    "found",
    "size_bytes",
    "shape",
    "problem",
    "command",
)


@dataclass(frozen=True)
class _Header:
    """What a file says of its numbers; `shape` is (x, y, z) or (x, y, z, trial) in either format."""

    dtype: np.dtype
    shape: tuple[int, ...]
    affine: np.ndarray | None = None
    """Where the voxels lie, in millimetres; HDF5 does not say."""
    content: bytes = b""
    """What tells the numbers from others: gzip's checksum, or some of them; b"" where these are all one."""


def inventory(
    layout: Layout,
    sessions: Mapping[str, int],
    families: Sequence[str],
    file_format: str,
    images: bool = True,
) -> pd.DataFrame:
    """List every file that a run needs, what is wrong with it, and the command that fetches it.

    Only headers and file sizes are read: a release of 284 sessions takes seconds. A row's `problem` is ""
    where the file is as it should be. That is: present and readable; as long as its header says; betas of
    int16 with the design's number of trials per session; every volume of a subject of one shape, in one place
    and of plain numbers; NIfTI and HDF5 of a session, where both are there, of one shape; no two files with
    the same content; as many images as the table of all images lists, which agrees with the design, or at
    least as many as the design names.

    Parameters
    ----------
    layout : Layout
        The release.
    sessions : Mapping[str, int]
        Number of sessions of each subject, from the first.
    families : Sequence[str]
        Families of regions whose volumes are needed.
    file_format : str
        Of the betas, "hdf5" or "nifti".
    images : bool
        Whether the stimuli are needed too.

    Returns
    -------
    Columns: subject ("" for files of all subjects); session, from 1, missing for other files; kind: design,
    stimulus_table, stimuli, betas, valid_session, ncsnr, aseg, brainmask, roi or ctab; path below the root;
    expected and found, in words; size_bytes; shape, in the file's own order of axes; problem; command.

    Raises
    ------
    ParameterError
        for no subject, an unknown subject or file format, more sessions than the design plans.
    """
    check_file_format(file_format)
    if not sessions:
        raise ParameterError("expected at least one subject, got none. Name one in the parameters.")
    for subject in sessions:
        subject_number(subject)
    rows = []
    design, problem = None, ""
    try:
        design = read_design(layout)
    except ReleaseError as error:
        problem = _beyond_path(error, layout.design)
    if design is not None:
        problem = _planned_too_little(layout, design, sessions, file_format)
    rows.append(_row(layout, layout.design, "design", "design of the experiment", problem=problem))
    if problem:
        design = None
    listed, row = _stimulus_table_row(layout, design, list(sessions))
    if layout.design.name in row["problem"]:  # which of the two is damaged cannot be known
        rows[0] |= {"found": "unusable", "problem": f"says otherwise than {layout.stimulus_table.name}"}
    rows.append(row)
    if images:
        rows.append(_stimuli_row(layout, design, listed))
    trials = None if design is None else design.trials_per_session
    for subject, count in sessions.items():
        rows += _subject_rows(layout, subject, count, trials, list(dict.fromkeys(families)), file_format)
    _find_copies(rows)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"session": "Int64", "size_bytes": "Int64"})


def refuse_incomplete(inventory: pd.DataFrame) -> None:
    """Stop where a file of the inventory is missing or damaged, saying which and how to fetch them.

    Raises
    ------
    ReleaseError
        naming the first problems, how many more there are, the agreement that comes before any download, and
        the command for every file concerned.
    """
    wrong = inventory[inventory["problem"] != ""]
    if wrong.empty:
        return
    lines = [f"- {row.path}: {row.problem}" for row in wrong.head(PROBLEMS_SHOWN).itertuples()]
    if len(wrong) > PROBLEMS_SHOWN:
        lines.append(f"- and {len(wrong) - PROBLEMS_SHOWN:,} more")
    raise ReleaseError(
        "\n".join(
            [
                f"the release: expected {len(inventory):,} files that are there and whole, "
                f"found {len(wrong):,} that are not:",
                *lines,
                AGREEMENT,
                "Then fetch them:",
                *wrong["command"].drop_duplicates(),
            ]
        )
    )


def _row(
    layout: Layout,
    path: Path,
    kind: str,
    expected: str,
    found: str | None = None,
    problem: str = "",
    subject: str = "",
    session: int | None = None,
    shape: tuple[int, ...] = (),
) -> dict:
    there = path.is_file()
    if found is None:
        found = ("unusable" if problem else "as expected") if there else "missing"
    return {
        "subject": subject,
        "session": session,
        "kind": kind,
        "path": layout.relative(path),
        "expected": expected,
        "found": found,
        "size_bytes": path.stat().st_size if there else None,
        "shape": spell_shape(shape),
        "problem": problem,
        "command": layout.fetch_command(path),
    }


def _beyond_path(error: ReleaseError, path: Path) -> str:
    """The message without the path before it and the command after it, which have columns of their own."""
    return str(error).removeprefix(f"{path}: ").partition(" Fetch ")[0]


def _planned_too_little(layout: Layout, design: Design, sessions: Mapping[str, int], file_format: str) -> str:
    """What is wrong with a design that lacks a session whose betas are there."""
    for subject, count in sessions.items():
        try:
            design.check_sessions(subject, count)
        except ParameterError as error:
            if not layout.betas(subject, count, file_format).is_file():
                raise
            return f"session {count} of {subject} is there, but not in the design: {error}"
    return ""


def _stimulus_table_row(
    layout: Layout, design: Design | None, subjects: Sequence[str]
) -> tuple[int | None, dict]:
    """The number of images in the table of all images, where it is there and agrees with the design."""
    path, kind, expected = layout.stimulus_table, "stimulus_table", "the design, image by image"
    if not path.exists():
        absent = "absent; the design is not compared with it"
        return None, _row(layout, path, kind, expected, absent)
    if design is None:
        return None, _row(layout, path, kind, expected, "not compared: no design")
    try:
        count = check_stimulus_table(layout, design, subjects)
    except ReleaseError as error:
        return None, _row(layout, path, kind, expected, problem=_beyond_path(error, path))
    return count, _row(layout, path, kind, expected, f"{count:,} images")


def _stimuli_row(layout: Layout, design: Design | None, listed: int | None) -> dict:
    needed = None if design is None else int(design.images.max()) + 1
    expected = "uint8 images (image, y, x, 3)" if needed is None else f"{needed:,} uint8 images or more"
    path = layout.stimuli
    try:
        shape = stimulus_shape(layout)
    except ReleaseError as error:
        return _row(layout, path, "stimuli", expected, problem=_beyond_path(error, path))
    found = f"{shape[0]:,} images"
    problem = ""
    if needed is not None and shape[0] < needed:
        problem = f"expected {needed:,} images, as the design names, found {shape[0]:,}"
    elif listed is not None and shape[0] != listed:
        problem = f"expected {listed:,} images, as {layout.stimulus_table.name} lists, found {shape[0]:,}"
    elif _cut_short(path, "imgBrick"):
        problem = f"the file is truncated: {shape[0]:,} images do not fit into its size"
    return _row(layout, path, "stimuli", expected, found, problem, shape=shape)


def _subject_rows(
    layout: Layout,
    subject: str,
    sessions: int,
    trials: int | None,
    families: Sequence[str],
    file_format: str,
) -> list[dict]:
    """Probe a subject's files, agree on one shape for the volumes, then judge each file by it."""
    files = [(layout.betas(subject, n, file_format), "betas", n) for n in range(1, sessions + 1)]
    files += [(layout.valid_session(subject, n), "valid_session", n) for n in range(1, sessions + 1)]
    files += [(layout.ncsnr(subject), "ncsnr", None), (layout.aseg(subject), "aseg", None)]
    files += [(layout.brainmask(subject), "brainmask", None)]
    files += [(layout.roi(subject, family), "roi", None) for family in families]
    headers = {path: _probe(path) for path, _, _ in files}
    shapes = [header.shape[:3] for header in headers.values() if isinstance(header, _Header)]
    volume = Counter(shapes).most_common(1)[0][0] if shapes else None
    place = _common_place([header for header in headers.values() if isinstance(header, _Header)], volume)
    last_there = max((n for path, kind, n in files if kind == "betas" and path.is_file()), default=0)
    rows = []
    for path, kind, session in files:
        header = headers[path]
        expected, found, problem = _judge(path, kind, header, volume, trials)
        if not path.is_file():
            if kind == "valid_session":
                found, problem = "absent; constant voxels are left out instead", ""
            elif kind == "betas" and session < last_there:
                problem = f"missing in the middle: session {last_there} is there, session {session} is not"
            elif kind == "roi":
                problem = f"missing. {families_there(path)}"
        elif not problem:
            problem = _elsewhere(header, place, volume)
            if kind == "betas" and not problem:
                problem = _disagreement(layout, subject, session, file_format, header)
        shape = header.shape if isinstance(header, _Header) else ()
        in_file = shape[::-1] if path.suffix == ".hdf5" else shape
        row = _row(layout, path, kind, expected, found, problem, subject, session, in_file)
        rows.append(row | {"content": header.content if isinstance(header, _Header) else b""})
    return rows + [_ctab_row(layout, subject, family) for family in families]


def _common_place(headers: Sequence[_Header], volume: tuple[int, ...] | None) -> np.ndarray | None:
    """The affine that most of a subject's volumes have."""
    places = [header.affine for header in headers if header.affine is not None and header.shape[:3] == volume]
    if not places:
        return None
    fellows = [sum(_distance(one, other, volume) < NEAR for other in places) for one in places]
    return places[int(np.argmax(fellows))]


def _distance(one: np.ndarray, other: np.ndarray, volume: tuple[int, ...]) -> float:
    """Most that a voxel can lie apart in two places, in voxels along one axis; NaN if that is no number."""
    size = np.linalg.norm(other[:3, :3], axis=0).min()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((np.abs(one - other)[:3] @ [*volume, 1]).max() / size)


def _elsewhere(header: _Header, place: np.ndarray | None, volume: tuple[int, ...]) -> str:
    """What is wrong with where a volume says that its voxels lie."""
    if header.affine is None or place is None or _distance(header.affine, place, volume) < NEAR:
        return ""
    return (
        "expected its voxels where the subject's other volumes have them, found another affine: "
        f"{header.affine[:3].round(2).tolist()}, not {place[:3].round(2).tolist()}"
    )


def _find_copies(rows: Sequence[dict]) -> None:
    """Mark files of different names that hold the same: at most one of them is what it should be."""
    holding = defaultdict(list)
    for row in rows:
        if row["kind"] in UNLIKE and row.get("content") and not row["problem"]:
            holding[row["content"]].append(row)
    for copies in holding.values():
        for row in copies if len(copies) > 1 else ():
            others = ", ".join(other["path"] for other in copies if other is not row)
            row["problem"] = f"the same content as {others}: one of them is not what its name says"


def _judge(
    path: Path, kind: str, header: _Header | str, volume: tuple[int, ...] | None, trials: int | None
) -> tuple[str, str, str]:
    """What was expected of a volume or session, what was found, and the problem."""
    size = "the subject's volume" if volume is None else spell_shape(volume)
    if kind == "betas":
        count = "" if trials is None else f"{trials} "
        expected = f"int16, {count}trials of {size}"
    else:
        expected = f"volume of {size}"
    if not isinstance(header, _Header):
        return expected, "missing" if not path.is_file() else "unreadable", header
    found = spell_shape(header.shape)
    if kind != "betas":
        problem = "" if header.shape == volume else f"expected a volume of {size}, found {found}"
        return expected, f"volume of {found}", problem
    found = f"{header.dtype}, {header.shape[3]} trials of {spell_shape(header.shape[:3])}"
    if header.dtype.kind != "i" or header.dtype.itemsize != 2:
        problem = f"expected int16, found {header.dtype}"
    elif header.shape[:3] != volume:
        problem = f"expected volumes of {size}, as the subject's other files have, found {found}"
    elif trials is not None and header.shape[3] != trials:
        problem = f"expected {trials} trials in the session, as the design plans, found {header.shape[3]}"
    else:
        problem = ""
    return expected, found, problem


def _probe(path: Path) -> _Header | str:
    """The header of a NIfTI or HDF5 file, or what is wrong with it."""
    if not path.is_file():
        return "missing"
    try:
        return _hdf5_header(path) if path.suffix == ".hdf5" else _nifti_header(path)
    except ReleaseError as error:
        return str(error)
    except PermissionError:
        return "no permission to read it: ask its owner (`ls -l`) for it"
    except UNREADABLE as error:
        return f"damaged or truncated: it cannot be opened ({error})"


def _nifti_header(path: Path) -> _Header:
    image = nibabel.load(path)
    dtype, shape = image.get_data_dtype(), image.shape
    whole = image.dataobj.offset + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    with path.open("rb") as file:
        file.seek(-8, 2)
        end = file.read()
    promised = int.from_bytes(end[4:], "little")  # gzip ends with a checksum and the length of what it holds
    if promised != whole % 2**32:
        raise ReleaseError("truncated: its end is not where its header puts it")
    betas_like = path.name.startswith("betas_session")
    if len(shape) != (4 if betas_like else 3):
        raise ReleaseError(
            f"expected axes {'x, y, z, trial' if betas_like else 'x, y, z'}, found shape {spell_shape(shape)}"
        )
    if (image.dataobj.slope, image.dataobj.inter) != (1, 0):
        raise ReleaseError(
            f"expected plain {'int16' if betas_like else 'numbers'}, found numbers to be scaled"
        )
    if dtype.kind not in "iuf":
        raise ReleaseError(f"expected real numbers, found {dtype}")
    return _Header(dtype, shape, image.affine, end)


def _hdf5_header(path: Path) -> _Header:
    with h5py.File(path, "r") as file:
        stored = file.get(betas.DATASET)
        if not isinstance(stored, h5py.Dataset):
            raise ReleaseError(
                f"expected a dataset {betas.DATASET!r}, found {', '.join(file) or 'an empty file'}"
            )
        if stored.ndim != 4:
            found = spell_shape(stored.shape or ())
            raise ReleaseError(f"expected axes trial, z, y, x, found shape {found}")
        header = _Header(stored.dtype, stored.shape[::-1], content=_sample(stored))
    if _cut_short(path, betas.DATASET):
        raise ReleaseError("truncated: its numbers do not fit into its size")
    return header


def _sample(stored: h5py.Dataset) -> bytes:
    """Numbers from the middle of the brain, of few chunks; b"" where they are all the same."""
    if not stored.size:
        return b""
    _, z, y = (length // 2 for length in stored.shape[:3])
    by_voxel = stored.chunks is not None and stored.chunks[0] == len(stored)
    numbers = stored[:, z, y] if by_voxel else stored[0, z]
    return numbers.tobytes() if (numbers != numbers.flat[0]).any() else b""


def _cut_short(path: Path, dataset: str) -> bool:
    """Whether an uncompressed dataset is larger than the file that should hold it.

    A file that was cut is refused when it is opened; one that was never filled, by a writer that was
    interrupted, is not: its missing chunks would read as zeros. Comparing sizes takes no time; asking for the
    storage in use, which would find the last missing chunk, takes 1.6 s for a session of NSD.
    """
    with h5py.File(path, "r") as file:
        stored = file[dataset]
        return stored.id.get_create_plist().get_nfilters() == 0 and stored.nbytes > path.stat().st_size


def _disagreement(layout: Layout, subject: str, session: int, file_format: str, header: _Header) -> str:
    """Compare a session with the same in the other format, where that is there and can be read."""
    for other_format in FILE_FORMATS:
        other = _probe(layout.betas(subject, session, other_format)) if other_format != file_format else None
        if isinstance(other, _Header) and other.shape != header.shape:
            return (
                f"{spell_shape(header.shape)} (x, y, z, trial), but {spell_shape(other.shape)} as "
                f"{other_format}: one of the two is not this session"
            )
    return ""


def _ctab_row(layout: Layout, subject: str, family: str) -> dict:
    path = layout.ctab(subject, family)
    expected = f"names of the labels of {family}"
    if not path.is_file():
        if family in LABELS:
            found, problem = "absent; NSD's documented names are taken instead", ""
        else:
            found, problem = "missing", "missing"
        return _row(layout, path, "ctab", expected, found, problem, subject)
    try:
        names = read_ctab(path)
    except ReleaseError as error:
        return _row(layout, path, "ctab", expected, None, _beyond_path(error, path), subject)
    return _row(layout, path, "ctab", expected, f"{len(names)} names", "", subject)
