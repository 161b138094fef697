"""What can be wrong with each file of a subject; the first problem found is reported."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gnet.errors import ReleaseError
from gnet.readers.nsd.headers import Header, read_header
from gnet.readers.nsd.layout import FILE_FORMATS, Layout
from gnet.readers.nsd.rois import LABELS, families_there, read_ctab
from gnet.recording.volumes import spell_shape

NEAR = 0.5  # voxels: volumes whose voxels are closer together than this are in the same place
UNLIKE = {"betas", "ncsnr", "aseg", "roi"}
"""Kinds of file of which no two can be the same. Masks can, for instance if all of the brain has data."""


@dataclass(frozen=True)
class FileCheck:
    """One file that a run needs: what is expected, what was found, and what is wrong with it."""

    path: Path
    kind: str
    subject: str = ""
    session: int | None = None
    header: Header | None = None
    """None if the file was not opened or could not be."""
    problem: str = ""
    """"" if the file is as expected."""
    expected: str = ""
    found: str = ""
    """In words; by default whether the file is missing, unusable or as expected."""
    shape: tuple[int, ...] = ()
    """In the file's own order of axes."""

    def row(self, layout: Layout) -> dict:
        """The file's row in the inventory."""
        there = self.path.is_file()
        state = ("unusable" if self.problem else "as expected") if there else "missing"
        return {
            "subject": self.subject,
            "session": self.session,
            "kind": self.kind,
            "path": layout.relative(self.path),
            "expected": self.expected,
            "found": self.found or state,
            "size_bytes": self.path.stat().st_size if there else None,
            "shape": spell_shape(self.shape),
            "problem": self.problem,
            "command": layout.fetch_command(self.path),
        }


@dataclass(frozen=True)
class Agreement:
    """What most files of a subject agree on, and what its design plans."""

    layout: Layout
    file_format: str
    volume: tuple[int, ...]
    """Shape (x, y, z); () if no volume can be read."""
    affine: np.ndarray | None
    trials: int | None
    """Trials in a session."""
    last_session: int
    """The last session whose betas are there; 0 if none are."""


def check_subject(
    layout: Layout, subject: str, sessions: int, trials: int | None, families: Sequence[str], file_format: str
) -> list[FileCheck]:
    """Every file of a subject: opened, compared with what most of them agree on, and checked.

    `trials` is the number in a session, None if no design says; `families` are those whose volumes and label
    names are needed.
    """
    numbers = range(1, sessions + 1)
    files = [
        *(FileCheck(layout.betas(subject, n, file_format), "betas", subject, n) for n in numbers),
        *(FileCheck(layout.valid_session(subject, n), "valid_session", subject, n) for n in numbers),
        FileCheck(layout.ncsnr(subject), "ncsnr", subject),
        FileCheck(layout.aseg(subject), "aseg", subject),
        FileCheck(layout.brainmask(subject), "brainmask", subject),
        *(FileCheck(layout.roi(subject, family), "roi", subject) for family in families),
    ]
    files = [_opened(file) for file in files]
    agreement = _agreement(files, layout, trials, file_format)
    ctabs = [check_ctab(layout, subject, family) for family in families]
    return [_checked(file, agreement) for file in files] + ctabs


def check_ctab(layout: Layout, subject: str, family: str) -> FileCheck:
    """The file that names a family's labels, which documented families can do without."""
    path = layout.ctab(subject, family)
    file = FileCheck(path, "ctab", subject, expected=f"names of the labels of {family}")
    if not path.is_file() and family in LABELS:
        return replace(file, found="absent; NSD's documented names are taken instead")
    if not path.is_file():
        return replace(file, problem="missing")
    try:
        return replace(file, found=f"{len(read_ctab(path))} names")
    except ReleaseError as error:
        return replace(file, problem=problem_in(error, path))


def mark_copies(files: Sequence[FileCheck], layout: Layout) -> list[FileCheck]:
    """The same files; of those without another problem, copies of each other have that as their problem."""
    holding = defaultdict(list)
    for file in files:
        if file.kind in UNLIKE and file.header is not None and file.header.content and not file.problem:
            holding[file.header.content].append(file.path)
    copies = {path: paths for paths in holding.values() if len(paths) > 1 for path in paths}

    def copy(file: FileCheck) -> str:
        others = ", ".join(layout.relative(path) for path in copies[file.path] if path != file.path)
        return f"the same content as {others}: one of them is not what its name says"

    return [replace(file, problem=copy(file)) if file.path in copies else file for file in files]


def problem_in(error: ReleaseError, path: Path) -> str:
    """The message without the path before it and the command after it, which have columns of their own."""
    return str(error).removeprefix(f"{path}: ").partition(" Fetch ")[0]


def _opened(file: FileCheck) -> FileCheck:
    """The same file with its header, or with what keeps it from being read."""
    try:
        header = read_header(file.path)
    except ReleaseError as error:
        return replace(file, problem=str(error))
    in_file = header.shape[::-1] if file.path.suffix == ".hdf5" else header.shape
    return replace(file, header=header, shape=in_file)


def _agreement(files: Sequence[FileCheck], layout: Layout, trials: int | None, file_format: str) -> Agreement:
    """The shape and the affine that most files have."""
    headers = [file.header for file in files if file.header is not None]
    shapes = Counter(header.shape[:3] for header in headers)
    volume = shapes.most_common(1)[0][0] if shapes else ()
    affines = [h.affine for h in headers if h.affine is not None and h.shape[:3] == volume]
    near = [sum(_distance(one, other, volume) < NEAR for other in affines) for one in affines]
    there = [file.session or 0 for file in files if file.kind == "betas" and file.path.is_file()]
    affine = affines[int(np.argmax(near))] if affines else None
    return Agreement(layout, file_format, volume, affine, trials, max(there, default=0))


def _checked(file: FileCheck, subject: Agreement) -> FileCheck:
    """The same file with what was expected of it, what was found, and its first problem."""
    size = spell_shape(subject.volume) if subject.volume else "the subject's volume"
    expected = f"volume of {size}"
    if file.kind == "betas":
        expected = f"int16, {'' if subject.trials is None else f'{subject.trials} '}trials of {size}"
    return replace(file, problem=next(_problems(file, subject), ""), expected=expected, found=_found(file))


def _problems(file: FileCheck, subject: Agreement) -> Iterator[str]:
    """What is wrong with a file: first itself, then its header, then what other files say of it."""
    betas, header, last = file.kind == "betas", file.header, subject.last_session
    if not file.path.is_file():
        if betas and (file.session or 0) < last:
            yield f"missing in the middle: session {last} is there, session {file.session} is not"
        elif file.kind != "valid_session":  # these are not needed
            yield f"missing. {families_there(file.path)}" if file.kind == "roi" else "missing"
        return
    if header is None:
        yield file.problem
        return
    if betas and (header.dtype.kind != "i" or header.dtype.itemsize != 2):
        yield f"expected int16, found {header.dtype}"
    size = spell_shape(subject.volume)
    if header.shape[:3] != subject.volume and betas:
        yield f"expected volumes of {size}, as the subject's other files have, found {_found(file)}"
    elif header.shape[:3] != subject.volume:
        yield f"expected a volume of {size}, found {spell_shape(header.shape)}"
    if betas and subject.trials not in (None, header.shape[3]):
        yield f"expected {subject.trials} trials in the session, as the design plans, found {header.shape[3]}"
    found, common = header.affine, subject.affine
    if found is not None and common is not None and not _distance(found, common, subject.volume) < NEAR:
        yield (
            "expected its voxels where the subject's other volumes have them, found another affine: "
            f"{found[:3].round(2).tolist()}, not {common[:3].round(2).tolist()}"
        )
    for name in FILE_FORMATS.keys() - {subject.file_format} if betas else ():
        try:
            other = read_header(subject.layout.betas(file.subject, file.session or 0, name))
        except ReleaseError:  # the other format is not needed
            continue
        if other.shape != header.shape:
            yield (
                f"{spell_shape(header.shape)} (x, y, z, trial), but {spell_shape(other.shape)} as "
                f"{name}: one of the two is not this session"
            )


def _found(file: FileCheck) -> str:
    if not file.path.is_file():
        optional = file.kind == "valid_session"
        return "absent; constant voxels are left out instead" if optional else "missing"
    if file.header is None:
        return "unreadable"
    shape = file.header.shape
    if file.kind != "betas":
        return f"volume of {spell_shape(shape)}"
    return f"{file.header.dtype}, {shape[3]} trials of {spell_shape(shape[:3])}"


def _distance(one: np.ndarray, other: np.ndarray, volume: tuple[int, ...]) -> float:
    """Largest displacement of any voxel between two affines, in voxels along one axis; NaN if undefined."""
    size = np.linalg.norm(other[:3, :3], axis=0).min()
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((np.abs(one - other)[:3] @ [*volume, 1]).max() / size)
