"""Whether betas are plausible, judged from the numbers themselves; headers cannot tell."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int16

from gnet.errors import ReleaseError
from gnet.readers.nsd.design import Design
from gnet.readers.nsd.layout import Layout
from gnet.recording.repeat_reliability import Sources, check_repeat_reliability

ENOUGH_VOXELS = 8
"""With fewer, two trials may have the same numbers by chance."""
UNEXPLAINED = 0.05
"""Fraction of the voxels that valid_session calls valid which may be constant nevertheless."""


def check_session(
    path: Path,
    responses: Int16[np.ndarray, "trial voxel"],
    valid_path: Path,
    called_valid: Bool[np.ndarray, " voxel"] | None = None,
) -> list[bytes]:
    """Refuse a session whose numbers cannot be measurements; returns a digest of each trial.

    `called_valid` is what the valid_session volume says of these voxels, None if it is absent; the paths are
    for the message. Raises ReleaseError if no voxel varies, all voxels of a trial have the same number, as in
    one that was never written, or valid_session contradicts the numbers.
    """
    voxels = responses.shape[1]
    if voxels < ENOUGH_VOXELS:
        return []
    varies = (responses != responses[:1]).any(axis=0)
    if not varies.any() and (called_valid is None or called_valid.any()):
        raise ReleaseError(
            f"{path}: expected responses that vary from trial to trial, found one number for each of the "
            f"{voxels:,} voxels: the file is damaged."
        )
    if called_valid is not None:
        constant, varying = (called_valid & ~varies).sum(), (~called_valid & varies).sum()
        if constant > UNEXPLAINED * called_valid.sum() or varying > 0.5 * (~called_valid).sum():
            raise ReleaseError(
                f"{path}: expected responses where {valid_path.name} says that there are some, found none in "
                f"{constant:,} of {called_valid.sum():,} such voxels, but some in {varying:,} of the "
                f"{(~called_valid).sum():,} others. One of the two is damaged or belongs to another session."
            )
    if varies.sum() < ENOUGH_VOXELS:
        return []
    seen = responses[:, varies]
    lost = np.flatnonzero((seen == seen[:, :1]).all(axis=1))
    if lost.size:
        raise ReleaseError(
            f"{path}: expected another response in each voxel, found the same number in all of them in "
            f"{lost.size} trials, the first of them trial {lost[0] + 1}: the file was not written to its end."
        )
    return [hashlib.blake2b(trial.tobytes(), digest_size=16).digest() for trial in responses]


def check_trials(paths: Sequence[Path], trials: Sequence[Sequence[bytes]]) -> None:
    """Raise ReleaseError if two trials are the same in all voxels, within a session or across sessions.

    `trials` are the digests of each session, from `check_session`.
    """
    first: dict[bytes, tuple[Path, int]] = {}
    for path, of_session in zip(paths, trials, strict=True):
        for trial, content in enumerate(of_session):
            earlier, position = first.setdefault(content, (path, trial))
            if (earlier, position) != (path, trial):
                raise ReleaseError(
                    f"{path}: expected other responses in each trial, found those of trial {position + 1} of "
                    f"{earlier.name} again in trial {trial + 1}: one of the two is not what its name says."
                )


def check_repetitions(
    layout: Layout,
    subject: str,
    betas: Float32[np.ndarray, "trial voxel"],
    design: Design,
    ncsnr: Float[np.ndarray, " voxel"],
    file_format: str,
) -> None:
    """Refuse betas that do not repeat when their image does, although the release's ncsnr says they do.

    `betas` are those of the first sessions, z-scored within each, NaN where there is no measurement. Errors
    as `gnet.recording.repeat_reliability.check_repeat_reliability`, with the commands that fetch the files.
    """
    session = np.arange(len(betas)) // design.trials_per_session + 1
    sessions = {n: layout.betas(subject, n, file_format) for n in np.unique(session).tolist()}
    paths = {path.name: path for path in (layout.design, layout.ncsnr(subject), *sessions.values())}

    def advice(names: Sequence[str]) -> str:
        again = "Fetch it again: " if len(names) == 1 else "Fetch them again: "
        return again + "; ".join(layout.fetch_command(paths[name]) for name in names)

    sources = Sources(
        {number: path.name for number, path in sessions.items()},
        layout.design.name,
        layout.ncsnr(subject).name,
        advice,
    )
    check_repeat_reliability(subject, betas, design.ordering[: len(betas)], session, ncsnr, sources)
