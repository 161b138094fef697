"""Paths of the release's files, and the commands that fetch them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from gnet.errors import ParameterError, ReleaseError

BUCKET = "s3://natural-scenes-dataset"
AGREEMENT = (
    "The Natural Scenes Dataset may be used only after its Data Access Agreement has been signed "
    "(naturalscenesdataset.org)."
)
SPACE = "func1pt8mm"
"""The functional space of 1.8 mm in which the published models were fitted."""
PREPARATION = "betas_fithrf_GLMdenoise_RR"
"""NSD's third version of the betas (b3), the one the published models were fitted to."""
MARKER = ".simulated"
"""Name of the file that marks a folder as simulated, so that the next simulation may replace it."""
FILE_FORMATS = {"hdf5": ".hdf5", "nifti": ".nii.gz"}


def subject_number(subject: str) -> int:
    """The number in a subject's name, from 1; ParameterError for a name that is not of the form subj01."""
    match = re.fullmatch(r"subj(\d\d)", subject)
    if match is None or match[1] == "00":
        raise ParameterError(
            f"unknown subject {subject!r}: expected a name like 'subj01', two digits counted from 01. "
            "Correct it in the parameters."
        )
    return int(match[1])


def check_file_format(file_format: str) -> None:
    """Raise ParameterError unless betas are published in this format: 'hdf5' or 'nifti'."""
    if file_format not in FILE_FORMATS:
        raise ParameterError(
            f"unknown file format {file_format!r} of the betas: expected one of {', '.join(FILE_FORMATS)}."
        )


@dataclass(frozen=True)
class Layout:
    """Paths of the Natural Scenes Dataset below `root`, as its authors lay them out, and errors about them.

    A subject is a name like "subj01", a session a number counted from 1.
    """

    root: Path

    @property
    def simulated(self) -> bool:
        """Whether a simulation wrote the release; the next one may replace it."""
        return (self.root / MARKER).is_file()

    @property
    def stimuli(self) -> Path:
        """All images, HDF5 dataset `imgBrick`, uint8 (image, y, x, colour)."""
        return self.root / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"

    @property
    def design(self) -> Path:
        """Which trial showed which image: a MATLAB v5 file."""
        return self.root / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat"

    @property
    def stimulus_table(self) -> Path:
        """The trials of each image, and where it comes from: a CSV file."""
        return self.root / "nsddata" / "experiments" / "nsd" / "nsd_stim_info_merged.csv"

    def betas(self, subject: str, session: int, file_format: str) -> Path:
        """One session's betas, int16 of 300 x percent signal change; format 'hdf5' or 'nifti'."""
        check_file_format(file_format)
        return self._betas_folder(subject) / f"betas_session{session:02d}{FILE_FORMATS[file_format]}"

    def ncsnr(self, subject: str) -> Path:
        """Volume of the noise-ceiling signal-to-noise ratio, NaN outside the valid region."""
        return self._betas_folder(subject) / "ncsnr.nii.gz"

    def valid_session(self, subject: str, session: int) -> Path:
        """Volume that is 1 where the session has data, 0 elsewhere."""
        return self._subject_folder(subject) / f"valid_session{session:02d}.nii.gz"

    def brainmask(self, subject: str) -> Path:
        """Volume that is 1 in the brain."""
        return self._subject_folder(subject) / "brainmask.nii.gz"

    def aseg(self, subject: str) -> Path:
        """FreeSurfer's segmentation, 0 outside the brain."""
        return self._subject_folder(subject) / "aseg.nii.gz"

    def anatomy(self, subject: str) -> Path:
        """T1-weighted anatomy in the functional space, for pictures."""
        return self._subject_folder(subject) / f"T1_to_{SPACE}.nii.gz"

    def roi(self, subject: str, family: str, hemisphere: str | None = None) -> Path:
        """Labels of one family of regions; `hemisphere` is None for both, else 'lh' or 'rh'."""
        prefix = "" if hemisphere is None else f"{hemisphere}."
        return self._subject_folder(subject) / "roi" / f"{prefix}{family}.nii.gz"

    def ctab(self, subject: str, family: str) -> Path:
        """Names of the labels of one family, "value name" a line."""
        subject_number(subject)
        return self.root / "nsddata" / "freesurfer" / subject / "label" / f"{family}.mgz.ctab"

    def relative(self, path: Path) -> str:
        """A path relative to the root of the release."""
        return (path.relative_to(self.root) if path.is_relative_to(self.root) else path).as_posix()

    def fetch_command(self, path: Path) -> str:
        """The command that downloads one file to its place."""
        name = self.relative(path)
        return f"aws s3 cp --no-sign-request {BUCKET}/{name} {shlex.quote(str(self.root / name))}"

    def missing(self, path: Path, expected: str) -> ReleaseError:
        """The error for a file that is not there, with the command that fetches it."""
        return ReleaseError(
            f"{path}: expected {expected}, found no such file. Fetch it: {self.fetch_command(path)}"
        )

    def damaged(self, path: Path, problem: str) -> ReleaseError:
        """The error for a file with a problem ("expected ..., found ..."), with the same command."""
        return ReleaseError(f"{path}: {problem}. Fetch the file again: {self.fetch_command(path)}")

    def _subject_folder(self, subject: str, top: str = "nsddata") -> Path:
        subject_number(subject)
        return self.root / top / "ppdata" / subject / SPACE

    def _betas_folder(self, subject: str) -> Path:
        return self._subject_folder(subject, "nsddata_betas") / PREPARATION


def open_release(root: Path | str | None) -> Layout:
    """The layout of a release; ReleaseError if `root` is not given, no folder, or has no `nsddata`."""
    advice = (
        "Set the environment variable NSD_ROOT to the folder that holds nsddata, nsddata_betas and "
        f"nsddata_stimuli. {AGREEMENT}"
    )
    if root is None or str(root) == "":
        raise ReleaseError(f"the folder of the NSD release is not set. {advice}")
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ReleaseError(f"{root}: expected the folder of an NSD release, found no such folder. {advice}")
    if not (root / "nsddata").is_dir():
        held = sorted(path.name for path in root.iterdir())[:5]
        found = f"only {', '.join(held)}" if held else "an empty folder"
        raise ReleaseError(f"{root}: expected a folder nsddata in it, as NSD has, found {found}. {advice}")
    return Layout(root)
