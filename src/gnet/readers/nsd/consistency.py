"""Whether responses can be what their files say: known from the numbers, where headers know nothing."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int16

from gnet.errors import ReleaseError
from gnet.readers.nsd.design import Design
from gnet.readers.nsd.layout import Layout

ENOUGH_VOXELS = 8
"""With fewer, two trials may have the same numbers by chance."""
UNEXPLAINED = 0.05
"""Fraction of the voxels with data, as valid_session says, that may be constant all the same."""
BLOCK = 256  # voxels at a time


def check_session(
    path: Path,
    responses: Int16[np.ndarray, "trial voxel"],
    valid_path: Path,
    called_valid: Bool[np.ndarray, " voxel"] | None = None,
) -> list[bytes]:
    """Refuse a session whose numbers are no measurement; what tells each of its trials from any other.

    Parameters
    ----------
    path : the session's file, for the message
    responses : chosen voxels of the session
    valid_path : the session's valid_session volume, for the message
    called_valid : what it says of these voxels, where it is there

    Raises
    ------
    ReleaseError : no voxel varies; all voxels of a trial have the same number, as those of a trial that was
        never written do; valid_session says the contrary of the numbers
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
                f"{path}: expected responses where {valid_path.name} says that there are, found none in "
                f"{constant:,} of {called_valid.sum():,} such voxels, but some in {varying:,} of the "
                f"{(~called_valid).sum():,} others. One of the two is damaged, or of another session."
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
    """Refuse sessions of which two trials are the same in all voxels.

    Parameters
    ----------
    paths : the sessions' files, in their order
    trials : for each of them, what `check_session` gave

    Raises
    ------
    ReleaseError : two trials are the same, of one session or of two
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


def repeatability(
    betas: Float32[np.ndarray, "trial voxel"],
    image: Int[np.ndarray, " trial"],
    weight: Float[np.ndarray, " voxel"],
) -> tuple[Float[np.ndarray, " trial"], Float[np.ndarray, " voxel"], Float[np.ndarray, " voxel"]]:
    """How far responses come again when their image does: products of a trial with the mean of its fellows.

    For z-scored responses the product is, on average, the variance that the image explains; it is 0 where
    trials and images do not belong together. Missing responses count as 0, trials of images that were shown
    once are NaN.

    Returns
    -------
    of each trial, averaged over voxels by `weight` (which sums to 1); of each voxel, averaged over trials;
    the standard error of that.

    >>> betas = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], np.float32)
    >>> of_trials, of_voxels, _ = repeatability(betas, np.array([5, 5, 8, 8]), np.array([0.5, 0.5]))
    >>> of_trials, of_voxels  # the first voxel repeats, the second does the contrary
    (array([0., 0., 0., 0.]), array([ 1., -1.]))
    """
    _, place, count = np.unique(image, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    starts = np.cumsum(count) - count
    repeated = count[place] > 1
    fellows = np.maximum(count[place] - 1, 1).astype(np.float32)[:, None]
    of_trials = np.zeros(len(image))
    of_voxels, error = np.zeros((2, betas.shape[1]))
    for start in range(0, betas.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        responses = np.nan_to_num(betas[:, block])
        product = responses * ((np.add.reduceat(responses[order], starts)[place] - responses) / fellows)
        of_trials += product @ weight[block]
        if repeated.any():
            of_voxels[block] = product[repeated].mean(axis=0)
            error[block] = product[repeated].std(axis=0) / np.sqrt(repeated.sum())
    return np.where(repeated, of_trials, np.nan), of_voxels, error


def check_repetitions(
    layout: Layout,
    subject: str,
    betas: Float32[np.ndarray, "trial voxel"],
    design: Design,
    ncsnr: Float[np.ndarray, " voxel"],
    file_format: str,
) -> None:
    """Refuse responses that do not come again when their image does, though the noise ceiling says they do.

    So it is where sessions were exchanged, their trials are in another order, the design is another, or the
    volumes are not of one brain. Refused is only what is certain: a session that repeats by less than a
    quarter of what ncsnr promises, and by less than half of it for all that chance can do (four standard
    errors); and an ncsnr that does not correlate, over voxels, with how far they repeat, though it varies
    much more than that is uncertain.

    Parameters
    ----------
    betas : of the first sessions, z-scored within each, NaN where there are none
    ncsnr : the release's, of the same voxels

    Raises
    ------
    ReleaseError : sessions, trials and images do not belong together, or betas and ncsnr do not
    """
    promised = np.nan_to_num(ncsnr**2 / (1 + ncsnr**2))  # the variance that images explain
    if not promised.any():
        return
    weight = promised / promised.sum()
    image = design.ordering[: len(betas)]
    of_trials, of_voxels, of_voxels_error = repeatability(betas, image, weight)
    expected = float(weight @ promised)
    suspects, certain = {}, False
    for row, trials in enumerate(of_trials.reshape(-1, design.trials_per_session)):
        known = trials[np.isfinite(trials)]
        if known.size < 2:
            continue
        mean, error = known.mean(), known.std() / np.sqrt(known.size)
        certain |= mean < expected / 4 and mean + 4 * error < expected / 2
        if mean < expected / 2:  # where it is compared with a bad session, a good one looks bad too
            suspects[layout.betas(subject, row + 1, file_format)] = mean
    if certain:
        found = ", ".join(f"{mean:.2f} in {path.name}" for path, mean in suspects.items())
        raise ReleaseError(
            f"{subject}: expected responses that come again when their image does, and make up "
            f"{expected:.2f} of the variance, as {layout.ncsnr(subject).name} says, found {found}. Sessions "
            f"were exchanged, or they and {layout.design.name} do not belong together. Fetch them again: "
            + "; ".join(layout.fetch_command(path) for path in [layout.design, *suspects])
        )
    known = np.isfinite(ncsnr) & (of_voxels_error > 0)
    if known.sum() > ENOUGH_VOXELS and promised[known].var() > 4 * np.mean(of_voxels_error[known] ** 2):
        correlation = np.corrcoef(promised[known], of_voxels[known])[0, 1]
        if correlation < 0.5:
            raise ReleaseError(
                f"{subject}: expected {layout.ncsnr(subject).name} to say in which voxels responses repeat, "
                f"found a correlation of {correlation:.2f} with how far they do. It and "
                f"{', '.join(path.name for path in suspects) or 'the betas'} are not of one brain, or not of "
                f"one space. Fetch it again: {layout.fetch_command(layout.ncsnr(subject))}"
            )
